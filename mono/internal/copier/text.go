package copier

import (
	"encoding/binary"
	"unicode/utf8"
	"unsafe"
)

// isText reports whether a string is valid UTF-8. It checks short ASCII strings, the
// most common ones, a word at a time.
func isText(s string) bool {
	const high64, high32 = 0x8080808080808080, 0x80808080
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	n := len(b)
	switch {
	case n > 32:
		return utf8.ValidString(s)
	case n >= 8:
		bits := binary.NativeEndian.Uint64(b[n-8:])
		for ; len(b) >= 8; b = b[8:] {
			bits |= binary.NativeEndian.Uint64(b)
		}
		return bits&high64 == 0 || utf8.ValidString(s)
	case n >= 4:
		bits := binary.NativeEndian.Uint32(b) | binary.NativeEndian.Uint32(b[n-4:])
		return bits&high32 == 0 || utf8.ValidString(s)
	}
	return utf8.ValidString(s)
}
