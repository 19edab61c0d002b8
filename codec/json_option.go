package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// jsonWith is JSON with options. It writes what JSON writes.
type jsonWith struct {
	jsonCodec
	options
	renamings sync.Map // of each requested type: a *renaming, or an error
}

// String returns the content type and the options. Two codecs with the same text are alike.
func (c *jsonWith) String() string { return c.ContentType() + " with " + c.options.String() }

// CheckType checks a type as JSON does. It also reports an alias that is a name of another field.
func (c *jsonWith) CheckType(t reflect.Type) error {
	if err := c.jsonCodec.CheckType(t); err != nil {
		return err
	}
	if _, err := c.renamingOf(t); err != nil {
		return uncarriable(c.ContentType(), t, err)
	}
	return nil
}

// Unmarshal replaces aliases in the message by the names of their fields, and then decodes it as
// JSON does.
func (c *jsonWith) Unmarshal(data []byte, v any) error {
	target, err := pointee(v)
	if err != nil {
		return undecodable(c.ContentType(), reflect.TypeOf(v), err)
	}
	names, err := c.renamingOf(target.Type())
	if err != nil {
		return undecodable(c.ContentType(), target.Type(), err)
	}
	r := renamer{data: data}
	if names != nil && json.Valid(data) {
		r.value(names)
	}
	unmarshal := json.Unmarshal
	if c.strict {
		unmarshal = unmarshalStrictly
	}
	err = c.decode(r.result(), v, unmarshal)
	if e, ok := errors.AsType[*Error](err); ok {
		e.Offset = r.original(e.Offset)
	}
	return err
}

// unmarshalStrictly is json.Unmarshal, except that unknown fields are errors.
func unmarshalStrictly(data []byte, v any) error {
	if !json.Valid(data) {
		return json.Unmarshal(data, v)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		if name, failed := strconv.Unquote(quoted); failed == nil {
			return unknownField(name)
		}
	}
	return err
}
