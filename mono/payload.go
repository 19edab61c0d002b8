package mono

import (
	"reflect"
	"strings"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// codecs maps content types to codecs. "" maps to JSON, because a message without a
// content type is JSON.
type codecs map[string]codec.Codec

func newCodecs(own codec.Codec) codecs {
	cs := codecs{"": codec.JSON}
	cs.add(codec.JSON)
	cs.add(codec.Raw)
	cs.add(own)
	return cs
}

func (cs codecs) add(k codec.Codec) {
	if k != nil {
		cs[k.ContentType()] = k
	}
}

// of returns the codec of a message for a handle with the codec own. If own is Raw, a
// message without a content type is not decoded.
func (cs codecs) of(h transport.Header, own codec.Codec) (codec.Codec, error) {
	contentType := h.Get(transport.HeaderContentType)
	if contentType == "" && own.ContentType() == codec.Raw.ContentType() {
		return own, nil
	}
	if k, ok := cs[contentType]; ok {
		return k, nil
	}
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media == own.ContentType() {
		return own, nil
	}
	if k, ok := cs[media]; ok {
		return k, nil
	}
	return nil, Errorf(InvalidArgument, "unsupported content type %q: use %s, or JSON without a content type", contentType, own.ContentType())
}

// checkType reports a type that a codec can never encode, if the codec can check that.
func checkType(k codec.Codec, t reflect.Type) error {
	checker, ok := k.(codec.TypeChecker)
	if !ok {
		return nil
	}
	return checker.CheckType(t)
}

// encodePayload sets the body and the content type of m. JSON has no content type. The body
// may share memory with the payload: a transport copies it.
func encodePayload(m *transport.Message, k codec.Codec, payload any) error {
	marshal := k.Marshal
	if lender, ok := k.(codec.Lender); ok {
		marshal = lender.Lend
	}
	body, err := marshal(payload)
	if err != nil {
		return notEncoded(k, err)
	}
	m.Body = body
	if contentType := k.ContentType(); contentType != codec.JSON.ContentType() {
		m.Header.Set(transport.HeaderContentType, contentType)
	}
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

func notDecoded(err error) *Error { return Errorf(InvalidArgument, "%w", err) }
