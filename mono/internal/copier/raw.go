package copier

import "unsafe"

// rawPart copies bytes. Nil arrives as an empty slice.
type rawPart struct{}

func (rawPart) copy(dst, src unsafe.Pointer, _ int) bool {
	*(*[]byte)(dst) = append([]byte{}, *(*[]byte)(src)...)
	return true
}
