package copier

import (
	"reflect"
	"unsafe"
)

// maxDepth is the depth of nesting at which a value is left to the codec: it may
// contain itself, or be deeper than the codec allows. Pointers count too. Both codecs
// allow more than maxDepth.
const maxDepth = 500

// program copies values of one type, step by step. It does not change after
// compilation.
//
// It accesses memory by the offsets that package reflect gave for the type. This is
// safe because the steps access only memory within a value of the type. They write
// pointers by the field's own type, so that the garbage collector sees every pointer
// that is written. They copy runs of bytes only if these contain no pointers.
type program struct {
	t     reflect.Type
	steps []step
	bytes bool // the program only copies all bytes
	bare  bool // values contain no pointers
	made  bool // compilation is over
}

// step copies a part of a value. The memory between the parts is not sent, and stays
// zero.
type step struct {
	do     action
	offset uintptr
	size   uintptr // of actBytes
	level  int     // number of structs and arrays around it
	part   part    // of actPart
}

// part copies a value that takes more than a few instructions. depth is the depth of
// nesting around it.
type part interface {
	copy(dst, src unsafe.Pointer, depth int) bool
}

type action uint8

const (
	actBytes action = iota
	actByte
	actWord
	actString
	actText     // a string that must be UTF-8
	actFloat32  // a number, neither NaN nor infinite
	actFloat64  // the same
	actNumber32 // not NaN: its bits may change
	actSigned32 // copies nothing, checks that the number is not a negative zero
	actSigned64 // the same
	actPart
)

// copy copies the value at src to the zero value at dst. It returns false if only the
// codec can determine the result.
func (p *program) copy(dst, src unsafe.Pointer, depth int) bool {
	for i := range p.steps {
		s := &p.steps[i]
		to, from := unsafe.Add(dst, s.offset), unsafe.Add(src, s.offset)
		switch s.do {
		case actWord:
			*(*[8]byte)(to) = *(*[8]byte)(from) // aligned or not
		case actByte:
			*(*byte)(to) = *(*byte)(from)
		case actString:
			*(*string)(to) = *(*string)(from)
		case actText:
			text := *(*string)(from)
			if !isText(text) {
				return false
			}
			*(*string)(to) = text
		case actBytes:
			copy(unsafe.Slice((*byte)(to), s.size), unsafe.Slice((*byte)(from), s.size))
		case actFloat64:
			x := *(*float64)(from)
			if x-x != 0 {
				return false
			}
			*(*float64)(to) = x
		case actFloat32:
			x := *(*float32)(from)
			if x-x != 0 {
				return false
			}
			*(*float32)(to) = x
		case actNumber32:
			x := *(*float32)(from)
			if x != x {
				return false
			}
			*(*float32)(to) = x
		case actSigned32:
			if *(*uint32)(from) == 1<<31 {
				return false
			}
		case actSigned64:
			if *(*uint64)(from) == 1<<63 {
				return false
			}
		case actPart:
			if !s.part.copy(to, from, depth+s.level) {
				return false
			}
		}
	}
	return true
}
