package codec

import (
	"encoding/json"
	"reflect"
)

type jsonCodec struct{}

func (jsonCodec) ContentType() string { return "application/json" }

func (c jsonCodec) Marshal(v any) (data []byte, err error) {
	target, err := pointee(v)
	if err != nil {
		return nil, err
	}
	wrap := func(err error) error { return unencodable(c.ContentType(), target.Type(), err) }
	defer catch(&err, wrap)
	if data, err = json.Marshal(v); err != nil {
		return nil, wrap(err)
	}
	return data, nil
}

func (c jsonCodec) Unmarshal(data []byte, v any) error { return c.decode(data, v, json.Unmarshal) }

func (c jsonCodec) decode(data []byte, v any, unmarshal func([]byte, any) error) (err error) {
	target, err := pointee(v)
	if err != nil {
		return undecodable(c.ContentType(), reflect.TypeOf(v), err)
	}
	wrap := func(err error) error { return c.failure(target.Type(), data, err) }
	defer catch(&err, wrap)
	if len(data) == 0 {
		return wrap(problem("the message is empty"))
	}
	if err := unmarshal(data, v); err != nil {
		return wrap(err)
	}
	return nil
}

// failure takes the place out of an error of encoding/json. An error that a type's
// UnmarshalJSON got from encoding/json looks the same, and counts from the beginning of its
// value. After a number at the end encoding/json counts one too many.
func (c jsonCodec) failure(t reflect.Type, data []byte, err error) *Error {
	e := undecodable(c.ContentType(), t, err)
	switch err := err.(type) {
	case *json.SyntaxError:
		e.Offset = max(0, err.Offset-1)
	case *json.UnmarshalTypeError:
		e.Offset, e.Path = min(err.Offset, int64(len(data))), err.Field
	case problem:
	default:
		e.locate(data)
	}
	return e
}
