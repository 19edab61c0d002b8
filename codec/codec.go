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
	// marshallers with pointer receivers are honoured and nothing is boxed. Neither the
	// codec nor such a marshaller keeps v. The bytes belong to the caller.
	Marshal(v any) ([]byte, error)

	// Unmarshal decodes data into the value that v points to. v is a non-nil pointer to a zero
	// value. Unmarshal neither keeps nor changes data, and *v shares no memory with it. If data
	// cannot be decoded, the error is an [*Error], and *v has no useful value.
	Unmarshal(data []byte, v any) error
}

// TypeChecker is an optional ability of a [Codec]. Without it, the first message reveals a type
// that cannot work.
type TypeChecker interface {
	// CheckType reports a type if its values always fail, or if a part of them would
	// be lost without an error. The error names the path to the field, the reason and
	// the remedy. nil does not promise that every value can be encoded.
	CheckType(t reflect.Type) error
}

// Lender is an optional ability of a [Codec] whose bytes and value can share memory. Without it
// they are copied.
type Lender interface {
	// Lend is Marshal, except that the bytes may be memory of *v: they are valid until *v
	// changes, and must not be changed.
	Lend(v any) ([]byte, error)

	// Take is Unmarshal, except that data is given away: *v may be memory of data.
	Take(data []byte, v any) error
}

// The codecs of this package. Each is also a [TypeChecker].
var (
	// JSON is encoding/json, with its defaults. Its content type is
	// "application/json".
	JSON Codec = jsonCodec{}

	// MessagePack writes the same bytes as github.com/vmihailenco/msgpack/v5, with the
	// shortest integers. Its content type is "application/msgpack".
	//
	// Struct tags are those of that library. A field without a msgpack tag uses its
	// json tag (name, omitempty and "-"; omitzero and string have no effect here).
	// The fields of an embedded struct are inlined whatever its tag, except with the
	// option noinline.
	//
	// A type may have EncodeMsgpack and DecodeMsgpack, MarshalMsgpack and
	// UnmarshalMsgpack, MarshalBinary and UnmarshalBinary, or MarshalText and
	// UnmarshalText; the first pair that it has is used. Inside DecodeMsgpack the
	// library decodes, by its rules: there integers wrap. Extension types work if they
	// were registered with the library's RegisterExt, except on maps; types registered
	// without methods do not.
	//
	// Decoding is stricter than the library's if that loses data: a number must fit, a
	// float never becomes an integer, a struct of arrays has all its fields. It is more
	// lenient if nothing is lost: any width of integer or float is accepted, integers
	// become floats, bytes and strings become each other, a time may be an RFC 3339
	// string. nil becomes the zero value of any type.
	//
	// In an any, values become nil, bool, int64, uint64 (only above the range of
	// int64), float64, string, []byte, time.Time, []any and map[string]any. An error is
	// sent as its text.
	MessagePack Codec = msgpackCodec{}

	// Raw sends payloads whose underlying type is []byte unchanged. Its content type is
	// "application/octet-stream". A nil slice arrives as an empty one.
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

// unencodable reports that a value of type t could not be encoded.
func unencodable(contentType string, t reflect.Type, err error) error {
	return fmt.Errorf("cannot encode %v into %s: %w", t, contentType, err)
}

// uncarriable reports that the codec cannot carry type t, because of the type at path.
func uncarriable(contentType string, t reflect.Type, err error) error {
	return problemf("%s cannot carry %v: %v", contentType, t, err)
}

// rootPath is the beginning of a path into type t.
func rootPath(t reflect.Type) string {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	if t.Name() != "" {
		return t.Name()
	}
	return t.String()
}
