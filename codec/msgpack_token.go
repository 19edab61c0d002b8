package codec

import (
	"encoding/binary"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// kind is the kind of an item of MessagePack. See the specification,
// https://github.com/msgpack/msgpack/blob/master/spec.md
type kind uint8

const (
	kindNil kind = iota
	kindBool
	kindUint // an integer that is not negative, signed or not
	kindInt  // a negative integer
	kindFloat32
	kindFloat64
	kindString
	kindBytes
	kindArray
	kindMap
	kindExt
)

func (k kind) String() string {
	return [...]string{"nil", "a bool", "an integer", "a negative integer", "a float", "a float",
		"a string", "bytes", "an array", "a map", "an extension type"}[k]
}

// token is the head of an item.
type token struct {
	kind kind
	ext  int8
	size int    // of strings, bytes and extensions in bytes, of arrays in items, of maps in pairs
	bits uint64 // of bools, integers and floats; of negative integers in two's complement
}

// body reports whether size bytes follow the head.
func (t token) body() bool {
	return t.kind == kindString || t.kind == kindBytes || t.kind == kindExt
}

// items is the number of items that follow the head.
func (t token) items() int {
	switch t.kind {
	case kindArray:
		return t.size
	case kindMap:
		return 2 * t.size
	}
	return 0
}

// readToken reads the head at pos and returns its end. The returned sizes fit into the rest of
// data.
func readToken(data []byte, pos int) (t token, next int, err error) {
	if pos >= len(data) {
		return t, pos, endsEarly
	}
	c := data[pos]
	pos++
	switch {
	case c <= msgpcode.PosFixedNumHigh:
		return token{kind: kindUint, bits: uint64(c)}, pos, nil
	case c >= msgpcode.NegFixedNumLow:
		return token{kind: kindInt, bits: uint64(int64(int8(c)))}, pos, nil
	case msgpcode.IsFixedString(c):
		return sized(kindString, data, pos, uint64(c&msgpcode.FixedStrMask))
	case msgpcode.IsFixedArray(c):
		return sized(kindArray, data, pos, uint64(c&msgpcode.FixedArrayMask))
	case msgpcode.IsFixedMap(c):
		return sized(kindMap, data, pos, uint64(c&msgpcode.FixedMapMask))
	}
	return readLong(c, data, pos)
}

const endsEarly = problem("the message ends early")

// form is the information that a code gives about its item.
type form struct {
	kind  kind
	width int    // of the number that follows, in bytes
	value uint64 // without such a number
}

// forms are the codes 0xc0 to 0xdf, in order. The unused code, 0xc1, has none.
var forms = [...]*form{
	{kindNil, 0, 0}, nil, {kindBool, 0, 0}, {kindBool, 0, 1},
	{kindBytes, 1, 0}, {kindBytes, 2, 0}, {kindBytes, 4, 0},
	{kindExt, 1, 0}, {kindExt, 2, 0}, {kindExt, 4, 0},
	{kindFloat32, 4, 0}, {kindFloat64, 8, 0},
	{kindUint, 1, 0}, {kindUint, 2, 0}, {kindUint, 4, 0}, {kindUint, 8, 0},
	{kindInt, 1, 0}, {kindInt, 2, 0}, {kindInt, 4, 0}, {kindInt, 8, 0},
	{kindExt, 0, 1}, {kindExt, 0, 2}, {kindExt, 0, 4}, {kindExt, 0, 8}, {kindExt, 0, 16},
	{kindString, 1, 0}, {kindString, 2, 0}, {kindString, 4, 0},
	{kindArray, 2, 0}, {kindArray, 4, 0}, {kindMap, 2, 0}, {kindMap, 4, 0},
}

func readLong(c byte, data []byte, pos int) (t token, next int, err error) {
	f := forms[c-msgpcode.Nil]
	if f == nil {
		return t, pos, problem("0xc1 is not a code of MessagePack")
	}
	if f.width > len(data)-pos {
		return t, pos, endsEarly
	}
	n := f.value
	if f.width > 0 {
		n = bigEndian(data[pos : pos+f.width])
		pos += f.width
	}
	switch f.kind {
	case kindNil, kindBool, kindUint, kindFloat32, kindFloat64:
		return token{kind: f.kind, bits: n}, pos, nil
	case kindInt:
		return signed(n, f.width), pos, nil
	}
	return sized(f.kind, data, pos, n)
}

func bigEndian(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}

// signed extends the sign of an integer of some bytes.
func signed(n uint64, width int) token {
	unused := 64 - 8*width
	i := int64(n<<unused) >> unused
	if i < 0 {
		return token{kind: kindInt, bits: uint64(i)}
	}
	return token{kind: kindUint, bits: uint64(i)}
}

// sized makes the token of an item of n bytes, items or pairs, if data has room for them: an
// item takes at least a byte.
func sized(k kind, data []byte, pos int, n uint64) (t token, next int, err error) {
	t = token{kind: k}
	if k == kindExt {
		if pos == len(data) {
			return t, pos, endsEarly
		}
		t.ext = int8(data[pos])
		pos++
	}
	need, left := n, uint64(len(data)-pos)
	if k == kindMap {
		need = 2 * n
	}
	if need > left {
		return t, pos, problemf("%v is declared longer than the message", k)
	}
	t.size = int(n)
	return t, pos, nil
}
