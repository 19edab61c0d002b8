package copier

import (
	"reflect"
	"unsafe"
)

// pointerPart copies the value that a pointer points to.
type pointerPart struct {
	elem *program

	// hollow means that the value may be nil itself. The encoding cannot distinguish
	// that from a nil pointer, so a nil pointer is decoded.
	hollow bool
}

func (p *pointerPart) copy(dst, src unsafe.Pointer, depth int) bool {
	from := *(*unsafe.Pointer)(src)
	switch {
	case from == nil:
		return true
	case depth >= maxDepth:
		return false
	case p.hollow && *(*unsafe.Pointer)(from) == nil:
		return true
	}
	to := p.elem.new()
	if !p.elem.copy(to, from, depth+1) {
		return false
	}
	if p.hollow && *(*unsafe.Pointer)(to) == nil {
		return true
	}
	*(*unsafe.Pointer)(dst) = to
	return true
}

// new returns a new zero value.
func (p *program) new() unsafe.Pointer {
	switch {
	case p.bare:
		return allocate(p.t.Size())
	case p.t.Kind() == reflect.String:
		return unsafe.Pointer(new(string))
	}
	return reflect.New(p.t).UnsafePointer()
}

// valuePart copies a struct or an array that is omitted when it is zero by the rules of
// package reflect. These differ from those of a copy in the signs of zeros.
type valuePart struct {
	elem *program
}

func (p *valuePart) copy(dst, src unsafe.Pointer, depth int) bool {
	if reflect.NewAt(p.elem.t, src).Elem().IsZero() {
		return true
	}
	return p.elem.copy(dst, src, depth)
}
