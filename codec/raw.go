package codec

import (
	"bytes"
	"reflect"
)

type rawCodec struct{}

func (rawCodec) ContentType() string { return "application/octet-stream" }

func (c rawCodec) Marshal(v any) ([]byte, error) {
	lent, err := c.Lend(v)
	return bytes.Clone(lent), err
}

func (c rawCodec) Unmarshal(data []byte, v any) error {
	return c.Take(append([]byte{}, data...), v)
}

// Lend implements [Lender].
func (c rawCodec) Lend(v any) ([]byte, error) {
	if bytes, ok := v.(*[]byte); ok && bytes != nil {
		return *bytes, nil
	}
	target, err := pointee(v)
	if err != nil {
		return nil, err
	}
	if err := c.CheckType(target.Type()); err != nil {
		return nil, err
	}
	return target.Bytes(), nil
}

// Take implements [Lender].
func (c rawCodec) Take(data []byte, v any) error {
	if data == nil {
		data = []byte{}
	}
	if bytes, ok := v.(*[]byte); ok && bytes != nil {
		*bytes = data
		return nil
	}
	target, err := pointee(v)
	if err != nil {
		return undecodable(c.ContentType(), reflect.TypeOf(v), err)
	}
	if err := c.CheckType(target.Type()); err != nil {
		return undecodable(c.ContentType(), target.Type(), err)
	}
	target.SetBytes(data)
	return nil
}

// CheckType reports a type whose underlying type is not []byte.
func (c rawCodec) CheckType(t reflect.Type) error {
	if t != nil && t.Kind() == reflect.Slice && t.Elem() == reflect.TypeFor[byte]() {
		return nil
	}
	return uncarriable(c.ContentType(), t, problem("use a type whose underlying type is []byte, or another codec"))
}
