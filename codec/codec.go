package codec

import (
	"fmt"
	"reflect"
)

// Codec turns values into bytes and back. Its methods may be called from several
// goroutines at once.
type Codec interface {
	// ContentType is the media type of what Marshal returns, such as
	// "application/json". It never changes.
	ContentType() string

	// Marshal encodes the value that v points to. v is a non-nil pointer, so that
	// marshallers with pointer receivers are honoured and nothing is boxed. The
	// bytes belong to the caller.
	Marshal(v any) ([]byte, error)

	// Unmarshal decodes data into the value that v points to. v is a non-nil
	// pointer to a zero value. Unmarshal neither keeps nor changes data, and *v
	// shares no memory with it. What cannot be decoded is an [*Error], after which
	// *v holds nothing of use.
	Unmarshal(data []byte, v any) error
}

// TypeChecker is an ability that a [Codec] may have. Without it, a type that
// cannot work is found out by the first message.
type TypeChecker interface {
	// CheckType reports a type if its values always fail, or if a part of them would
	// be lost without an error. The error names the path to the field, the reason and
	// the remedy. nil does not promise that every value can be encoded.
	CheckType(t reflect.Type) error
}

// Lender is an ability that a [Codec] may have, where bytes and value can be one
// memory. Without it they are copied.
type Lender interface {
	// Lend is Marshal, but the bytes may be memory of *v: they are good until *v
	// changes, and must not be changed.
	Lend(v any) ([]byte, error)

	// Take is Unmarshal, but data is given away: *v may be memory of data.
	Take(data []byte, v any) error
}

// The codecs of this package. Each is a [TypeChecker] too.
var (
	// JSON is encoding/json, with its defaults. Its content type is
	// "application/json".
	JSON Codec = jsonCodec{}

	// MessagePack writes what github.com/vmihailenco/msgpack/v5 writes, with the
	// shortest integers. Its content type is "application/msgpack".
	//
	// Struct tags are those of that library; a field without a msgpack tag goes by
	// its json tag (name, omitempty and "-"; omitzero and string mean nothing
	// here). The fields of an embedded struct are inlined whatever its tag, unless
	// that says noinline.
	//
	// A type may bring EncodeMsgpack and DecodeMsgpack, MarshalMsgpack and
	// UnmarshalMsgpack, MarshalBinary and UnmarshalBinary, or MarshalText and
	// UnmarshalText; the first pair that it has is used. Inside DecodeMsgpack the
	// library decodes, by its own rules: there integers wrap. Extension types work
	// that were registered by the library's RegisterExt, except on maps; types
	// registered without methods of their own do not.
	//
	// Decoding is stricter than the library's where that loses data: a number must
	// fit, a float never becomes an integer, a struct of arrays has all its fields.
	// It is more lenient where nothing is lost: any width of integer or float will
	// do, integers go into floats, bytes and strings into each other, a time may be
	// an RFC 3339 string. nil becomes the zero value of any type.
	//
	// Into any go: nil, bool, int64, uint64 (only above the range of int64),
	// float64, string, []byte, time.Time, []any, map[string]any. An error travels
	// as its text.
	MessagePack Codec = msgpackCodec{}

	// Raw carries payloads whose underlying type is []byte, as they are. Its
	// content type is "application/octet-stream". A nil slice arrives as an empty
	// one.
	Raw Codec = rawCodec{}
)

// pointee returns the value that v points to.
func pointee(v any) (reflect.Value, error) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return reflect.Value{}, problemf("codec: want a non-nil pointer to the value, got %T", v)
	}
	return p.Elem(), nil
}

// unencodable says that a value of type t could not be encoded.
func unencodable(contentType string, t reflect.Type, err error) error {
	return fmt.Errorf("cannot encode %v into %s: %w", t, contentType, err)
}

// uncarriable says that the codec cannot carry type t, because of what is at
// path.
func uncarriable(contentType string, t reflect.Type, err error) error {
	return problemf("%s cannot carry %v: %v", contentType, t, err)
}

// rootPath is what a path into type t begins with.
func rootPath(t reflect.Type) string {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	if t.Name() != "" {
		return t.Name()
	}
	return t.String()
}
