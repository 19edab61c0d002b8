package copier

import (
	"reflect"
	"unsafe"
)

// slice is the memory layout of a slice.
type slice struct {
	data     unsafe.Pointer
	len, cap int
}

// slicePart copies a slice. Nil stays nil.
type slicePart struct {
	t         reflect.Type
	elem      *program
	size      uintptr
	empty     unsafe.Pointer // the data pointer of an empty slice
	omitEmpty bool           // an empty slice is not sent, so it becomes nil
}

func (s *slicePart) copy(dst, src unsafe.Pointer, depth int) bool {
	from := (*slice)(src)
	switch {
	case from.data == nil:
		return true
	case from.len == 0:
		if !s.omitEmpty {
			(*slice)(dst).data = s.empty
		}
		return true
	case depth >= maxDepth:
		return false
	}
	if s.elem.bytes {
		s.copyBytes((*slice)(dst), from)
		return true
	}
	to := s.make(dst, from.len)
	for i := range uintptr(from.len) {
		if !s.elem.copy(unsafe.Add(to, i*s.size), unsafe.Add(from.data, i*s.size), depth+1) {
			return false
		}
	}
	return true
}

// copyBytes copies elements without pointers.
func (s *slicePart) copyBytes(to, from *slice) {
	size := uintptr(from.len) * s.size
	to.data = allocate(size)
	to.len, to.cap = from.len, from.len
	copy(unsafe.Slice((*byte)(to.data), size), unsafe.Slice((*byte)(from.data), size))
}

// make sets dst to a new slice and returns its first element. It creates the two most
// common kinds of slices without package reflect, which is faster.
func (s *slicePart) make(dst unsafe.Pointer, n int) unsafe.Pointer {
	to := (*slice)(dst)
	if s.elem.bare {
		to.data, to.len, to.cap = allocate(uintptr(n)*s.size), n, n
		return to.data
	}
	if s.elem.t.Kind() == reflect.String {
		strings := make([]string, n)
		to.data, to.len, to.cap = unsafe.Pointer(unsafe.SliceData(strings)), n, n
		return to.data
	}
	reflect.NewAt(s.t, dst).Elem().Grow(n)
	to.len = n
	return to.data
}

// allocate returns zeroed memory for values without pointers, aligned for any type.
func allocate(size uintptr) unsafe.Pointer {
	return unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
}

// arrayPart copies an array, element by element.
type arrayPart struct {
	elem *program
	size uintptr
	len  uintptr
}

func (a *arrayPart) copy(dst, src unsafe.Pointer, depth int) bool {
	for i := range a.len {
		if !a.elem.copy(unsafe.Add(dst, i*a.size), unsafe.Add(src, i*a.size), depth+1) {
			return false
		}
	}
	return true
}
