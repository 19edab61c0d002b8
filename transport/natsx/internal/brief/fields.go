// Package brief moves the usual header fields of a request to its reply subject, since headers
// make up a third of the cost of a call over NATS.
//
// The last token of the reply subject begins with the number of the request. In a brief request,
// which has no headers, the fields follow:
//
//	_INBOX.<id of the inbox>.<number>~<content type>~<Mono-Id>~<Mono-Sender>~<Mono-Timeout-Ms>
//
// In a request with headers, the token is "<number>~". With either form a provider confirms in
// the reply field of its reply that it understands brief requests. Other clients take the reply
// subject as it is, and confirm nothing.
package brief

import (
	"strings"

	"gomono.dev/transport"
)

// Mark separates the parts of the token.
const Mark = '~'

// Reply fields of a reply. Nobody listens on these subjects.
const (
	Confirmation      = "_mono.1"  // the provider understands brief requests
	ConfirmationBytes = "_mono.1b" // it does, and Bytes was left out
)

// Bytes is the content type that a brief request and a reply to it can have.
const Bytes = "application/octet-stream"

// maxFields bounds the bytes of all values. The line with both subjects of a message is then far
// below the 4096 bytes that the server allows.
const maxFields = 200

// Fields are the header fields that a brief request can have. Each may be missing.
type Fields struct {
	Bytes               bool // the content type is Bytes
	ID, Sender, Timeout string
}

// Of returns the fields of a header. It reports false if a brief request cannot have them.
func Of(h transport.Header) (f Fields, ok bool) {
	size := 0
	for i := range h {
		value := &h[i].Value
		var field *string
		switch h[i].Name {
		case transport.HeaderID:
			field = &f.ID
		case transport.HeaderSender:
			field = &f.Sender
		case transport.HeaderTimeout:
			field = &f.Timeout
		case transport.HeaderContentType:
			if f.Bytes || *value != Bytes {
				return f, false
			}
			f.Bytes = true
			continue
		default:
			return f, false
		}
		if *field != "" || *value == "" || !valid(*value, '.') {
			return f, false
		}
		*field = *value
		size += len(*value)
	}
	return f, size <= maxFields
}

// AreBytes reports whether a header has the content type Bytes and nothing else.
func AreBytes(h transport.Header) bool {
	return len(h) == 1 && h[0].Name == transport.HeaderContentType && h[0].Value == Bytes
}

const (
	letterNone  = 'n'
	letterBytes = 'b'
)

// AppendTo appends the fields as Parse reads them. A dot would end the token, so it is written as
// a comma.
func (f *Fields) AppendTo(b []byte) []byte {
	letter := byte(letterNone)
	if f.Bytes {
		letter = letterBytes
	}
	b = append(b, letter)
	for _, value := range [...]string{f.ID, f.Sender, f.Timeout} {
		b = append(b, Mark)
		from := len(b)
		b = append(b, value...)
		for i := from; i < len(b); i++ {
			if b[i] == '.' {
				b[i] = ','
			}
		}
	}
	return b
}

// Parse reverses AppendTo. It reports false for any other text. The values are parts of the text,
// unless they have dots.
func Parse(text string) (f Fields, ok bool) {
	if len(text) < 2 || len(text) > maxFields+len("b~~~") || text[0] != letterNone && text[0] != letterBytes || text[1] != Mark {
		return f, false
	}
	id, rest, hasSender := strings.Cut(text[2:], string(Mark))
	sender, timeout, hasTimeout := strings.Cut(rest, string(Mark))
	if !hasSender || !hasTimeout || !valid(id, ',') || !valid(sender, ',') || !valid(timeout, ',') {
		return f, false
	}
	return Fields{text[0] == letterBytes, dotted(id), dotted(sender), dotted(timeout)}, true
}

func dotted(value string) string { return strings.ReplaceAll(value, ",", ".") }

// Message returns a message with the fields.
func (f *Fields) Message() *transport.Message {
	m := transport.NewMessage(f.count())
	if f.Bytes {
		m.Header.Add(transport.HeaderContentType, Bytes)
	}
	if f.ID != "" {
		m.Header.Add(transport.HeaderID, f.ID)
	}
	if f.Sender != "" {
		m.Header.Add(transport.HeaderSender, f.Sender)
	}
	if f.Timeout != "" {
		m.Header.Add(transport.HeaderTimeout, f.Timeout)
	}
	return m
}

func (f *Fields) count() (n int) {
	for _, has := range [...]bool{f.Bytes, f.ID != "", f.Sender != "", f.Timeout != ""} {
		if has {
			n++
		}
	}
	return n
}

// plain is the set of bytes to which neither the server nor this package gives a meaning.
var plain = func() (set [256]bool) {
	for _, c := range []byte("-_:=/+0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[c] = true
	}
	return set
}()

// valid reports whether a value has only plain bytes, and one other.
func valid(value string, other byte) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; !plain[c] && c != other {
			return false
		}
	}
	return true
}
