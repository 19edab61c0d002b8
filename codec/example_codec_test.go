package codec_test

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"

	"gomono.dev/codec"
)

// textCodec sends values as their text.
type textCodec struct{}

func (textCodec) ContentType() string { return "text/plain" }

func (textCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(encoding.TextMarshaler)
	if !ok {
		return nil, fmt.Errorf("%T has no method MarshalText", v)
	}
	return m.MarshalText()
}

func (c textCodec) Unmarshal(data []byte, v any) error {
	m, ok := v.(encoding.TextUnmarshaler)
	if !ok {
		return fmt.Errorf("%T has no method UnmarshalText", v)
	}
	if err := m.UnmarshalText(data); err != nil {
		return &codec.Error{ContentType: c.ContentType(), Type: reflect.TypeOf(v).Elem(), Offset: -1, Err: err}
	}
	return nil
}

// Another format needs a type with three methods. A handle uses it with mono.Codec, an
// App with mono.DefaultCodec.
func ExampleCodec() {
	var c codec.Codec = textCodec{}
	address := netip.MustParseAddr("10.0.0.1")
	data, err := c.Marshal(&address)
	fmt.Printf("%s %v\n", data, err)

	var decoded netip.Addr
	fmt.Println(c.Unmarshal(data, &decoded), decoded)
	fmt.Println(c.Unmarshal([]byte("10.0.0.256"), &decoded))
	// Output:
	// 10.0.0.1 <nil>
	// <nil> 10.0.0.1
	// cannot decode text/plain into netip.Addr: a value was refused (netip.parseAddrError)
}

// Raw sends payloads that are bytes already, without a change.
func Example_raw() {
	type image []byte
	picture := image{0xff, 0xd8}
	data, err := codec.Raw.Marshal(&picture)
	fmt.Printf("%s: %x %v\n", codec.Raw.ContentType(), data, err)
	// Output: application/octet-stream: ffd8 <nil>
}
