package copier

import (
	"reflect"
	"unsafe"
)

// mapPart copies a map. Nil stays nil.
type mapPart struct {
	t         reflect.Type
	key, elem *program
	omitEmpty bool
}

func (m *mapPart) copy(dst, src unsafe.Pointer, depth int) bool {
	from := reflect.NewAt(m.t, src).Elem()
	switch {
	case from.IsNil(), m.omitEmpty && from.Len() == 0:
		return true
	case depth >= maxDepth:
		return false
	}
	to := reflect.MakeMapWithSize(m.t, from.Len())
	*(*unsafe.Pointer)(dst) = to.UnsafePointer()
	if from.Len() == 0 {
		return true
	}
	return m.entries(to, from, depth+1)
}

// entries copies by way of four variables, since what is in a map has no address.
func (m *mapPart) entries(to, from reflect.Value, depth int) bool {
	key, elem := reflect.New(m.key.t), reflect.New(m.elem.t)
	keyCopy, elemCopy := reflect.New(m.key.t), reflect.New(m.elem.t)
	for i := from.MapRange(); i.Next(); {
		key.Elem().SetIterKey(i)
		elem.Elem().SetIterValue(i)
		keyCopy.Elem().SetZero()
		elemCopy.Elem().SetZero()
		if !m.key.copy(keyCopy.UnsafePointer(), key.UnsafePointer(), depth) {
			return false
		}
		if !m.elem.copy(elemCopy.UnsafePointer(), elem.UnsafePointer(), depth) {
			return false
		}
		to.SetMapIndex(keyCopy.Elem(), elemCopy.Elem())
	}
	return true
}
