package kv

import (
	"cmp"
	"fmt"
	"strings"

	"gomono.dev/codec"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// DecodeError is the cause of an error about a value that cannot be decoded. The value can
// still be read with [KeyValue.Raw].
type DecodeError struct {
	Key         string
	Revision    uint64
	ContentType string
	Err         error
}

// Error names the revision and the content type.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("revision %d (%s) cannot be decoded: %v: read it with Raw", e.Revision, cmp.Or(e.ContentType, "no content type"), e.Err)
}

// Unwrap returns the error of the codec.
func (e *DecodeError) Unwrap() error { return e.Err }

// encode returns the header and the bytes of a value. v is a pointer. JSON has no content
// type, as in messages.
func encode(c codec.Codec, v any) (header transport.Header, value []byte, err error) {
	value, err = marshal(c, v)
	if err != nil {
		return nil, nil, invalid("the value cannot be encoded as %s: %w", c.ContentType(), err)
	}
	return contentType(c), value, nil
}

// contentType returns the header of a value.
func contentType(c codec.Codec) transport.Header {
	if name := c.ContentType(); name != codec.JSON.ContentType() {
		return transport.Header{{Name: transport.HeaderContentType, Value: name}}
	}
	return nil
}

func marshal(c codec.Codec, v any) (value []byte, err error) {
	defer contain(&err, c)
	return c.Marshal(v)
}

func unmarshal(c codec.Codec, data []byte, v any) (err error) {
	defer contain(&err, c)
	return c.Unmarshal(data, v)
}

// decode decodes the value of a record into the value that v points to.
func decode(own codec.Codec, r *driver.Record, v any) error {
	contentType := r.Header.Get(transport.HeaderContentType)
	c, err := codecOf(contentType, own)
	if err == nil {
		err = unmarshal(c, r.Value, v)
	}
	if err != nil {
		failed := &DecodeError{Key: readKey(r.Key), Revision: r.Revision, ContentType: contentType, Err: err}
		return notDone(transport.DataLoss, "%w", failed)
	}
	return nil
}

// codecOf returns the codec for a content type, in a bucket with the codec own. A value
// without one is JSON, or bytes in a bucket of bytes.
func codecOf(contentType string, own codec.Codec) (codec.Codec, error) {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	raw := codec.Raw.ContentType()
	switch {
	case media == own.ContentType(), own.ContentType() == raw:
		return own, nil
	case media == "", media == codec.JSON.ContentType():
		return codec.JSON, nil
	case media == raw:
		return codec.Raw, nil
	}
	return nil, fmt.Errorf("unsupported content type %q: declare the bucket with its codec", contentType)
}
