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
	return fmt.Sprintf("revision %d (%s) cannot be decoded: %v; read it with Raw", e.Revision, cmp.Or(e.ContentType, "no content type"), e.Err)
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
	defer contain(&err, c.ContentType())
	return c.Marshal(v)
}

func unmarshal(c codec.Codec, data []byte, v any) (err error) {
	defer contain(&err, c.ContentType())
	return c.Unmarshal(data, v)
}

// decode decodes the value of a record into the value that v points to.
func (o *opened) decode(r *driver.Record, v any) error {
	contentType := r.Header.Get(transport.HeaderContentType)
	c, err := o.codecOf(contentType)
	if err == nil {
		err = unmarshal(c, r.Value, v)
	}
	if err != nil {
		failed := &DecodeError{Key: readKey(r.Key), Revision: r.Revision, ContentType: contentType, Err: err}
		return notDone(transport.DataLoss, "%w", failed)
	}
	return nil
}

// codecOf returns the codec that reads the values with a content type, of any version. A value
// without one is JSON, or bytes in a bucket of bytes. That also holds bytes of other formats,
// whose versions are their own.
func (o *opened) codecOf(contentType string) (codec.Codec, error) {
	c, media, own, raw := o.codec, mediaType(contentType), o.media, codec.Raw.ContentType()
	switch {
	case media == own, media == "" && (own == raw || own == codec.JSON.ContentType()):
	case own == raw:
		return c, nil
	case media == "", media == codec.JSON.ContentType():
		c = codec.JSON
	case media == raw:
		c = codec.Raw
	default:
		return nil, fmt.Errorf("unsupported content type %q: declare the bucket with its codec", contentType)
	}
	return o.upcasts.For(contentType, c), nil
}

// mediaType returns a content type without its parameters.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}
