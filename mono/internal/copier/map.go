package copier

import (
	"reflect"
	"unsafe"
)

// mapPart copies a map of any type. Nil stays nil.
type mapPart struct {
	t         reflect.Type
	key, elem *program
	omitEmpty bool
}

func (m *mapPart) copy(dst, src unsafe.Pointer, depth int) bool {
	from := reflect.NewAt(m.t, src).Elem()
	n := from.Len()
	switch {
	case from.IsNil(), m.omitEmpty && n == 0:
		return true
	case depth >= maxDepth:
		return false
	}
	to := reflect.MakeMapWithSize(m.t, n)
	*(*unsafe.Pointer)(dst) = to.UnsafePointer()
	return n == 0 || m.entries(to, from, depth+1)
}

// entries copies through variables, since the entries of a map have no address.
func (m *mapPart) entries(to, from reflect.Value, depth int) bool {
	key, keyCopy := variable(m.key.t), variable(m.key.t)
	elem, elemCopy := variable(m.elem.t), variable(m.elem.t)
	var entry reflect.MapIter
	for entry.Reset(from); entry.Next(); {
		key.value.SetIterKey(&entry)
		elem.value.SetIterValue(&entry)
		elemCopy.value.SetZero()
		if !m.key.copy(keyCopy.address, key.address, depth) || !m.elem.copy(elemCopy.address, elem.address, depth) {
			return false
		}
		to.SetMapIndex(keyCopy.value, elemCopy.value)
	}
	return true
}

type slot struct {
	value   reflect.Value
	address unsafe.Pointer
}

func variable(t reflect.Type) slot {
	p := reflect.New(t)
	return slot{p.Elem(), p.UnsafePointer()}
}

// labelsPart copies a map from strings to scalars or strings without package reflect.
// The map's type may have a name, but its key and element types have none. The copy is
// as large as the entries of the map. (With maps.Clone, a map that is cleared and
// reused would keep its largest size.)
type labelsPart[V any] struct {
	text      bool         // keys must be UTF-8
	sound     func(V) bool // nil: every element is sound
	omitEmpty bool
}

func (l *labelsPart[V]) copy(dst, src unsafe.Pointer, depth int) bool {
	from := *(*map[string]V)(src)
	switch {
	case from == nil, l.omitEmpty && len(from) == 0:
		return true
	case depth >= maxDepth:
		return false
	}
	to := make(map[string]V, len(from))
	for key, value := range from {
		if l.text && !isText(key) || l.sound != nil && !l.sound(value) {
			return false
		}
		to[key] = value
	}
	*(*map[string]V)(dst) = to
	return true
}

// labels returns the part for a map of one of the most common types, nil for others.
// JSON needs strings in UTF-8 and finite numbers.
func labels(t reflect.Type, json, omitEmpty bool) part {
	if t.Key() != reflect.TypeFor[string]() {
		return nil
	}
	switch t.Elem() {
	case reflect.TypeFor[string]():
		l := &labelsPart[string]{text: json, omitEmpty: omitEmpty}
		if json {
			l.sound = isText
		}
		return l
	case reflect.TypeFor[int]():
		return &labelsPart[int]{text: json, omitEmpty: omitEmpty}
	case reflect.TypeFor[int64]():
		return &labelsPart[int64]{text: json, omitEmpty: omitEmpty}
	case reflect.TypeFor[float64]():
		l := &labelsPart[float64]{text: json, omitEmpty: omitEmpty}
		if json {
			l.sound = func(x float64) bool { return x-x == 0 }
		}
		return l
	case reflect.TypeFor[bool]():
		return &labelsPart[bool]{text: json, omitEmpty: omitEmpty}
	}
	return nil
}
