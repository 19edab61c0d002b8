package codec

import (
	"bytes"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// MaxDepth is the limit of nested arrays and maps in a MessagePack message, and of nested
// slices, arrays, maps and structs in a value to be encoded. It is far above the depth of real
// messages and far below the limit of a stack: see BenchmarkDeepest.
const MaxDepth = 1000

type msgpackCodec struct{}

func (msgpackCodec) ContentType() string { return "application/msgpack" }

// Marshal encodes with the library. Values that would kill the library are refused before:
// types by their shape, values that contain themselves by a walk, which happens only if the
// type permits such values.
func (c msgpackCodec) Marshal(v any) (data []byte, err error) {
	target, err := pointee(v)
	if err != nil {
		return nil, err
	}
	wrap := func(err error) error { return unencodable(c.ContentType(), target.Type(), err) }
	defer catch(&err, wrap)
	shape, err := shapeOf(target.Type())
	if err != nil {
		return nil, uncarriable(c.ContentType(), target.Type(), err)
	}
	if shape.open {
		if err := shape.root.survey(target, depth{}); err != nil {
			return nil, wrap(err)
		}
	}
	if data, err = encode(v); err != nil {
		return nil, wrap(err)
	}
	if shape.foreign {
		if err := wellFormed(data); err != nil {
			return nil, wrap(err.Err)
		}
	}
	return data, nil
}

// buffers hold growing messages. Marshal returns a copy of the right size.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled bounds the memory that one large message leaves behind.
const maxPooled = 64 << 10

func encode(v any) ([]byte, error) {
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	enc := msgpack.GetEncoder()
	enc.Reset(buf)
	enc.SetSortMapKeys(true)
	enc.SetCustomStructTag("json")
	enc.UseCompactInts(true)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	msgpack.PutEncoder(enc)
	data := bytes.Clone(buf.Bytes())
	if buf.Cap() <= maxPooled {
		buffers.Put(buf)
	}
	return data, nil
}

// Unmarshal first checks the whole message, whatever its type, and then fills the value. It
// does so itself, since the library's decoder wraps integers that do not fit, takes the body of
// an extension for a map, allocates what such a map declares, panics on some nils, and starts a
// goroutine for every type behind an embedded pointer.
func (c msgpackCodec) Unmarshal(data []byte, v any) error { return c.decode(data, v, shapeOf, false) }

func (c msgpackCodec) decode(data []byte, v any, shapeOf func(reflect.Type) (*shape, error), strict bool) (err error) {
	target, err := pointee(v)
	if err != nil {
		return undecodable(c.ContentType(), reflect.TypeOf(v), err)
	}
	wrap := func(err error) error { return undecodable(c.ContentType(), target.Type(), err) }
	defer catch(&err, wrap)
	shape, err := shapeOf(target.Type())
	if err != nil {
		return wrap(err)
	}
	d := decoder{data: data, strict: strict}
	failure := wellFormed(data)
	if failure == nil {
		failure = d.value(shape.root, target)
	}
	if failure != nil {
		failure.ContentType, failure.Type = c.ContentType(), target.Type()
		return failure
	}
	return nil
}

// CheckType reports the types that MessagePack cannot carry in both directions: see the package
// documentation.
func (c msgpackCodec) CheckType(t reflect.Type) error {
	if t == nil {
		return uncarriable(c.ContentType(), t, problem("the type is nil"))
	}
	if _, err := shapeOf(t); err != nil {
		return uncarriable(c.ContentType(), t, err)
	}
	return nil
}
