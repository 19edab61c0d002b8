package codec

import (
	"bytes"
	"reflect"
)

type rawCodec struct{}

func (rawCodec) ContentType() string { return "application/octet-stream" }

func (c rawCodec) Marshal(v any) ([]byte, error) {
	target, err := pointee(v)
	if err != nil {
		return nil, err
	}
	if err := c.CheckType(target.Type()); err != nil {
		return nil, err
	}
	return bytes.Clone(target.Bytes()), nil
}

func (c rawCodec) Unmarshal(data []byte, v any) error {
	target, err := pointee(v)
	if err != nil {
		return undecodable(c.ContentType(), reflect.TypeOf(v), err)
	}
	if err := c.CheckType(target.Type()); err != nil {
		return undecodable(c.ContentType(), target.Type(), err)
	}
	target.SetBytes(append([]byte{}, data...))
	return nil
}

// CheckType reports a type whose underlying type is not []byte.
func (c rawCodec) CheckType(t reflect.Type) error {
	if t != nil && t.Kind() == reflect.Slice && t.Elem() == reflect.TypeFor[byte]() {
		return nil
	}
	return uncarriable(c.ContentType(), t, problem("want a type whose underlying type is []byte, or another codec"))
}
