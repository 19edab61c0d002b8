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

// entries copies by way of variables, since what is in a map has no address.
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

// labelsPart copies a map from strings to scalars or strings without package
// reflect. The type of the map may have a name, but key and elements have none.
type labelsPart[V any] struct {
	text      bool // keys must be UTF-8
	elem      *program
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
	*(*map[string]V)(dst) = to
	var elem V // what the program reads and writes: it is the same before and after
	at := unsafe.Pointer(&elem)
	for key, value := range from {
		if l.text && !isText(key) {
			return false
		}
		if elem = value; !l.elem.copy(at, at, depth+1) {
			return false
		}
		to[key] = value
	}
	return true
}

// labels returns the part for a map whose types are of the most common kinds, nil
// for others.
func labels(t reflect.Type, text, omitEmpty bool, elem *program) part {
	if t.Key() != reflect.TypeFor[string]() {
		return nil
	}
	switch t.Elem() {
	case reflect.TypeFor[string]():
		return &labelsPart[string]{text, elem, omitEmpty}
	case reflect.TypeFor[int]():
		return &labelsPart[int]{text, elem, omitEmpty}
	case reflect.TypeFor[int64]():
		return &labelsPart[int64]{text, elem, omitEmpty}
	case reflect.TypeFor[float64]():
		return &labelsPart[float64]{text, elem, omitEmpty}
	case reflect.TypeFor[bool]():
		return &labelsPart[bool]{text, elem, omitEmpty}
	}
	return nil
}
