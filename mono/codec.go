package mono

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// codecs holds the codecs of an App, by content type. "" is JSON, because a message
// without a content type is JSON.
type codecs struct {
	byType   map[string]codec.Codec
	standard codec.Codec // of the handles without a Codec option
	panicked func(where string, value any)
}

func newCodecs(standard codec.Codec, panicked func(where string, value any)) *codecs {
	cs := &codecs{byType: map[string]codec.Codec{"": codec.JSON}, panicked: panicked}
	cs.standard = cs.contain(standard)
	cs.add(codec.JSON)
	cs.add(codec.Raw)
	cs.add(standard)
	return cs
}

func (cs *codecs) add(k codec.Codec) {
	if k != nil {
		cs.byType[k.ContentType()] = cs.contain(k)
	}
}

// own returns the codec of a handle. It writes the newest version of the payload.
func (cs *codecs) own(d *declaration) codec.Codec {
	if d.config.Codec != nil {
		return d.config.Upcasts.Newest(cs.contain(d.config.Codec))
	}
	return d.config.Upcasts.Newest(cs.standard)
}

// ofMessage returns the codec of a message of a handle with the codec own. It also reads older
// versions of the payload. Requests and replies have no versions.
func (cs *codecs) ofMessage(h transport.Header, d *declaration, own codec.Codec) (codec.Codec, error) {
	k, err := cs.of(h, own)
	if err != nil || d.kind == KindService {
		return k, err
	}
	return d.config.Upcasts.For(h.Get(transport.HeaderContentType), k), nil
}

// of returns the codec of a message for a handle with the codec own, which reads its own format. A
// message without a content type has that format if it is JSON or Raw.
func (cs *codecs) of(h transport.Header, own codec.Codec) (codec.Codec, error) {
	contentType, format := h.Get(transport.HeaderContentType), formatOf(own)
	if contentType == "" && (format == codec.JSON.ContentType() || format == codec.Raw.ContentType()) || contentType == format {
		return own, nil
	}
	if k, ok := cs.byType[contentType]; ok {
		return k, nil
	}
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media == format {
		return own, nil
	}
	if k, ok := cs.byType[media]; ok {
		return k, nil
	}
	return nil, Errorf(InvalidArgument, "unsupported content type %q: use %s, or JSON without a content type", contentType, own.ContentType())
}

// formatOf returns the content type of a codec without parameters, such as the version.
func formatOf(k codec.Codec) string {
	media, _, _ := strings.Cut(k.ContentType(), ";")
	return media
}

// orOwn returns the codec of a stored message, or the handle's own if that one is
// unknown here.
func (cs *codecs) orOwn(h transport.Header, d *declaration) codec.Codec {
	own := cs.own(d)
	if k, err := cs.ofMessage(h, d, own); err == nil {
		return k
	}
	return own
}

// contain returns a codec that turns the panics of a user's codec into errors. The
// codecs of package codec do not panic.
func (cs *codecs) contain(k codec.Codec) codec.Codec {
	switch codec.WithoutOptions(k) {
	case codec.JSON, codec.MessagePack, codec.Raw:
		return k
	}
	return &contained{k, cs.panicked}
}

type contained struct {
	codec.Codec
	panicked func(where string, value any)
}

func (k *contained) Marshal(v any) (data []byte, err error) {
	err = guard("the codec of "+k.ContentType(), k.panicked, func() (err error) {
		data, err = k.Codec.Marshal(v)
		return err
	})
	return data, err
}

func (k *contained) Unmarshal(data []byte, v any) error {
	return guard("the codec of "+k.ContentType(), k.panicked, func() error { return k.Codec.Unmarshal(data, v) })
}

// CheckType calls the codec's CheckType, if it is a [codec.TypeChecker]. The error has
// the form of package codec's.
func (k *contained) CheckType(t reflect.Type) error {
	if err := checkType(k.Codec, t); err != nil {
		return fmt.Errorf("%s cannot carry %v: %w", k.ContentType(), t, err)
	}
	return nil
}

// checkType reports a type that a codec can never encode, if the codec can check that.
func checkType(k codec.Codec, t reflect.Type) error {
	checker, ok := k.(codec.TypeChecker)
	if !ok {
		return nil
	}
	return checker.CheckType(t)
}

// encodePayload sets the body and the content type of m. JSON has no content type.
func encodePayload(m *transport.Message, k codec.Codec, payload any) error {
	if err := encodeBody(m, k, payload); err != nil {
		return err
	}
	if contentType := k.ContentType(); contentType != codec.JSON.ContentType() {
		m.Header.Set(transport.HeaderContentType, contentType)
	}
	return nil
}

// contentTypeOf returns the header of a message that k has encoded. JSON has none.
func contentTypeOf(k codec.Codec) transport.Header {
	if contentType := k.ContentType(); contentType != codec.JSON.ContentType() {
		return transport.Header{{Name: transport.HeaderContentType, Value: contentType}}
	}
	return nil
}

// encodeBody sets the body of m, which may share memory with the payload: a transport copies it.
func encodeBody(m *transport.Message, k codec.Codec, payload any) error {
	marshal := k.Marshal
	if lender, ok := k.(codec.Lender); ok {
		marshal = lender.Lend
	}
	body, err := marshal(payload)
	if err != nil {
		return notEncoded(k, err)
	}
	m.Body = body
	return nil
}

// decodePayload decodes the body of m. An empty body is an empty struct, so that a plain
// client need not send {}.
func decodePayload(m *transport.Message, k codec.Codec, payload any) error {
	return unmarshal(m, k.Unmarshal, payload)
}

// takePayload is like decodePayload, for a message that is not used again: the payload may share
// memory with its body.
func takePayload(m *transport.Message, k codec.Codec, payload any) error {
	if lender, ok := k.(codec.Lender); ok {
		return unmarshal(m, lender.Take, payload)
	}
	return decodePayload(m, k, payload)
}

func unmarshal(m *transport.Message, from func([]byte, any) error, payload any) error {
	if _, ok := payload.(*struct{}); ok && len(m.Body) == 0 {
		return nil
	}
	if err := from(m.Body, payload); err != nil {
		return notDecoded(err)
	}
	return nil
}

func notEncoded(k codec.Codec, err error) *Error {
	return notDone(InvalidArgument, "cannot encode as %s: %w", k.ContentType(), err)
}

// otherShape adds to the error of a stored message what to do if another release wrote it. A newer
// release gives the version of a shape, and an error about that version has its own remedy.
func (d *declaration) otherShape(h transport.Header, err error) error {
	e, ok := errors.AsType[*codec.Error](err)
	if !ok || d.config.Upcasts != nil || strings.Contains(h.Get(transport.HeaderContentType), "version") {
		return err
	}
	if _, malformed := errors.AsType[*json.SyntaxError](err); malformed {
		return err
	}
	return Errorf(CodeOf(err), "%w; if an older release wrote it in another shape, read that with mono.Upcasts", e)
}

func notDecoded(err error) *Error { return Errorf(InvalidArgument, "%w", err) }
