package copier

import "unsafe"

// rawPart copies bytes. Nil becomes an empty slice.
type rawPart struct{}

func (rawPart) copy(dst, src unsafe.Pointer, _ int) bool {
	*(*[]byte)(dst) = append([]byte{}, *(*[]byte)(src)...)
	return true
}
