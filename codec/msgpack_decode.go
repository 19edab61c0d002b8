package codec

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// decoder fills values from a well-formed message.
type decoder struct {
	data   []byte
	pos    int
	strict bool // an unknown field is an error
}

// next reads the head of an item.
func (d *decoder) next() token {
	t, next, err := readToken(d.data, d.pos)
	if err != nil {
		panic(err) // scan has accepted the message
	}
	d.pos = next
	return t
}

// body returns the bytes after the head of a string, bytes or an extension. It is part of the
// message.
func (d *decoder) body(t token) []byte {
	d.pos += t.size
	return d.data[d.pos-t.size : d.pos]
}

// item returns the item at start, which is part of the message, and moves behind it.
func (d *decoder) item(start int) []byte {
	d.pos = d.skip(start)
	return d.data[start:d.pos]
}

func (d *decoder) skip(start int) int {
	end, err := scan(d.data, start)
	if err != nil {
		panic(err)
	}
	return end
}

func failure(pos int, format string, args ...any) *Error {
	return &Error{Offset: int64(pos), Err: problemf(format, args...)}
}

func mismatch(pos int, t token, n *node) *Error {
	return failure(pos, "%v cannot become %v", t.kind, n.t)
}

// value fills v, which is zero and can be set, from the next item.
func (d *decoder) value(n *node, v reflect.Value) *Error {
	start := d.pos
	t := d.next()
	if t.kind == kindNil {
		v.SetZero()
		return nil
	}
	switch n.decode {
	case decodePointer:
		d.pos = start
		v.Set(reflect.New(n.t.Elem()))
		return d.value(n.elem, v.Elem())
	case decodeAny:
		x, err := d.any(start, t)
		if err == nil && x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	case decodeTime:
		return d.time(start, t, v.Addr().Interface().(*time.Time))
	case decodeByLibrary:
		return d.delegate(start, n, v)
	case decodeByMsgpack, decodeByBinary, decodeByText:
		return d.methods(start, t, n, v)
	}
	return d.kind(start, t, n, v)
}

// kind fills a value by the kind of its Go type.
func (d *decoder) kind(start int, t token, n *node, v reflect.Value) *Error {
	if t.kind == kindExt && n.decode != decodeMap {
		return d.delegate(start, n, v)
	}
	switch n.decode {
	case decodeBool:
		if t.kind == kindBool {
			v.SetBool(t.bits != 0)
			return nil
		}
	case decodeInt, decodeUint, decodeFloat:
		return number(start, t, n, v)
	case decodeString, decodeBytes, decodeByteArray, decodeError:
		if t.kind == kindString || t.kind == kindBytes {
			return d.text(start, d.body(t), n, v)
		}
	case decodeSlice, decodeArray:
		if t.kind == kindArray {
			return d.sequence(start, t, n, v)
		}
	case decodeMap:
		if t.kind == kindMap {
			return d.mapping(t, n, v)
		}
	case decodeStruct:
		return d.structure(start, t, n, v)
	}
	return mismatch(start, t, n)
}

func number(start int, t token, n *node, v reflect.Value) *Error {
	switch t.kind {
	case kindUint, kindInt, kindFloat32, kindFloat64:
	default:
		return mismatch(start, t, n)
	}
	if !fits(t, n, v) {
		return failure(start, "%v that does not fit %v", t.kind, n.t)
	}
	return nil
}

// fits sets a number if its Go type can hold it.
func fits(t token, n *node, v reflect.Value) bool {
	i, integer, negative := int64(t.bits), t.kind <= kindInt, t.kind == kindInt
	switch n.decode {
	case decodeInt:
		if integer && (i < 0) == negative && !v.OverflowInt(i) {
			v.SetInt(i)
			return true
		}
	case decodeUint:
		if integer && !negative && !v.OverflowUint(t.bits) {
			v.SetUint(t.bits)
			return true
		}
	case decodeFloat:
		if f := t.float(); !v.OverflowFloat(f) {
			v.SetFloat(f)
			return true
		}
	}
	return false
}

func (t token) float() float64 {
	switch t.kind {
	case kindUint:
		return float64(t.bits)
	case kindInt:
		return float64(int64(t.bits))
	case kindFloat32:
		return float64(math.Float32frombits(uint32(t.bits)))
	}
	return math.Float64frombits(t.bits)
}

// text copies a string or bytes.
func (d *decoder) text(start int, body []byte, n *node, v reflect.Value) *Error {
	switch n.decode {
	case decodeString:
		v.SetString(string(body))
	case decodeBytes:
		v.SetBytes(append([]byte{}, body...))
	case decodeError:
		v.Set(reflect.ValueOf(errors.New(string(body))))
	default:
		if len(body) > v.Len() {
			return failure(start, "%d bytes do not fit %v", len(body), n.t)
		}
		copy(v.Bytes(), body)
	}
	return nil
}

func (d *decoder) sequence(start int, t token, n *node, v reflect.Value) *Error {
	if n.decode == decodeSlice {
		v.Set(reflect.MakeSlice(n.t, t.size, t.size))
	}
	if t.size > v.Len() {
		return failure(start, "an array of %d does not fit %v", t.size, n.t)
	}
	for i := range t.size {
		if err := d.value(n.elem, v.Index(i)); err != nil {
			return err.under("[" + strconv.Itoa(i) + "]")
		}
	}
	return nil
}

func (d *decoder) mapping(t token, n *node, v reflect.Value) *Error {
	m := reflect.MakeMapWithSize(n.t, t.size)
	key, elem := reflect.New(n.key.t).Elem(), reflect.New(n.elem.t).Elem()
	for range t.size {
		key.SetZero()
		elem.SetZero()
		start := d.pos
		if err := d.value(n.key, key); err != nil {
			return err.under("[key]")
		}
		if !key.Comparable() {
			return failure(start, "a key that cannot be one: it is a slice or a map, or holds one").under("[key]")
		}
		if err := d.value(n.elem, elem); err != nil {
			return err.under("[]")
		}
		m.SetMapIndex(key, elem)
	}
	v.Set(m)
	return nil
}

func (d *decoder) structure(start int, t token, n *node, v reflect.Value) *Error {
	switch {
	case t.kind == kindMap:
		return d.named(t, n, v)
	case t.kind != kindArray:
		return mismatch(start, t, n)
	case t.size != len(n.fields):
		return failure(start, "an array of %d, and %v has %d fields", t.size, n.t, len(n.fields))
	}
	for _, f := range n.fields {
		if err := d.field(f, v); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) named(t token, n *node, v reflect.Value) *Error {
	for range t.size {
		start := d.pos
		name := d.next()
		if name.kind != kindString && name.kind != kindBytes {
			return failure(start, "the name of a field of %v is %v: want a string", n.t, name.kind)
		}
		text := d.body(name)
		f := n.names[string(text)]
		switch {
		case f == nil && d.strict:
			return &Error{Offset: int64(start), Err: unknownField(text)}
		case f == nil:
			d.pos = d.skip(d.pos)
			continue
		}
		if err := d.field(f, v); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) field(f *field, v reflect.Value) *Error {
	target, ok := reach(v, f.index, d.data[d.pos] != msgpcode.Nil)
	if !ok {
		d.next()
		return nil
	}
	target.SetZero() // of an earlier value of the same field
	if err := d.value(f.node, target); err != nil {
		return err.under(f.name)
	}
	return nil
}

// reach finds a field. If it is behind an embedded nil pointer and alloc is true, reach
// allocates the pointer's target; a nil field needs none.
func reach(v reflect.Value, index []int, alloc bool) (target reflect.Value, ok bool) {
	for i, x := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !alloc {
					return v, false
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v, true
}

// any decodes an item without a Go type.
func (d *decoder) any(start int, t token) (any, *Error) {
	switch t.kind {
	case kindNil:
		return nil, nil
	case kindBool:
		return t.bits != 0, nil
	case kindUint:
		if t.bits > math.MaxInt64 {
			return t.bits, nil
		}
		return int64(t.bits), nil
	case kindInt:
		return int64(t.bits), nil
	case kindString:
		return string(d.body(t)), nil
	case kindBytes:
		return append([]byte{}, d.body(t)...), nil
	case kindArray:
		return d.anyArray(t)
	case kindMap:
		return d.anyMap(t)
	case kindExt:
		return d.anyExt(start, t)
	}
	return t.float(), nil
}

func (d *decoder) anyArray(t token) (any, *Error) {
	array := make([]any, t.size)
	for i := range array {
		start := d.pos
		item, err := d.any(start, d.next())
		if err != nil {
			return nil, err.under("[" + strconv.Itoa(i) + "]")
		}
		array[i] = item
	}
	return array, nil
}

func (d *decoder) anyMap(t token) (any, *Error) {
	m := make(map[string]any, t.size)
	for range t.size {
		start := d.pos
		name := d.next()
		if name.kind != kindString && name.kind != kindBytes {
			return nil, failure(start, "%v as the key of a map in any: want a string, or a map type with such keys", name.kind)
		}
		key := string(d.body(name))
		start = d.pos
		item, err := d.any(start, d.next())
		if err != nil {
			return nil, err.under("[]")
		}
		m[key] = item
	}
	return m, nil
}

func (d *decoder) anyExt(start int, t token) (x any, err *Error) {
	if t.ext == timeExt {
		var at time.Time
		err = d.time(start, t, &at)
		return at, err
	}
	v := reflect.ValueOf(&x).Elem()
	err = d.delegate(start, anyNode, v)
	return x, err
}

var anyNode = &node{t: reflect.TypeFor[any](), decode: decodeAny}

// timeExt is the extension type of timestamps.
const timeExt = -1

func (d *decoder) time(start int, t token, at *time.Time) *Error {
	switch {
	case t.kind == kindString:
		parsed, err := time.Parse(time.RFC3339Nano, string(d.body(t)))
		if err != nil {
			return &Error{Offset: int64(start), Err: err}
		}
		*at = parsed.UTC()
		return nil
	case t.kind != kindExt || t.ext != timeExt:
		return failure(start, "%v cannot become time.Time: want a timestamp", t.kind)
	}
	sec, nsec, ok := timestamp(d.body(t))
	if !ok {
		return failure(start, "a malformed timestamp")
	}
	*at = time.Unix(sec, nsec).UTC()
	return nil
}

// timestamp reads the three formats of the specification.
func timestamp(b []byte) (sec, nsec int64, ok bool) {
	switch len(b) {
	case 4:
		sec = int64(binary.BigEndian.Uint32(b))
	case 8:
		both := binary.BigEndian.Uint64(b)
		sec, nsec = int64(both&(1<<34-1)), int64(both>>34)
	case 12:
		sec, nsec = int64(binary.BigEndian.Uint64(b[4:])), int64(binary.BigEndian.Uint32(b))
	default:
		return 0, 0, false
	}
	return sec, nsec, nsec < 1e9
}

// delegate lets the library decode one item, for a type's DecodeMsgpack and for extension types
// that were registered with it. It sees that item only.
func (d *decoder) delegate(start int, n *node, v reflect.Value) (failure *Error) {
	defer catchAt(start, &failure)
	dec := msgpack.NewDecoder(bytes.NewReader(d.item(start)))
	dec.SetCustomStructTag("json")
	if err := dec.DecodeValue(v); err != nil {
		return &Error{Offset: int64(start), Err: err}
	}
	return nil
}

// methods lets a type's own method decode one item, from a copy.
func (d *decoder) methods(start int, t token, n *node, v reflect.Value) (failure *Error) {
	defer catchAt(start, &failure)
	if t.kind == kindExt {
		return d.delegate(start, n, v)
	}
	if n.decode != decodeByMsgpack && t.kind != kindString && t.kind != kindBytes {
		return mismatch(start, t, n)
	}
	var err error
	switch target := v.Addr().Interface(); n.decode {
	case decodeByMsgpack:
		err = target.(msgpack.Unmarshaler).UnmarshalMsgpack(bytes.Clone(d.item(start)))
	case decodeByBinary:
		err = target.(encoding.BinaryUnmarshaler).UnmarshalBinary(bytes.Clone(d.body(t)))
	case decodeByText:
		err = target.(encoding.TextUnmarshaler).UnmarshalText(bytes.Clone(d.body(t)))
	}
	if err != nil {
		return &Error{Offset: int64(start), Err: err}
	}
	return nil
}
