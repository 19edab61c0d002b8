package transport

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Names of headers that mono writes. They are the same on every backend, so that
// a client in any language can read and write them. None is required: a bare
// body is a message.
const (
	// HeaderContentType is the media type of the body. Without it a body is JSON.
	HeaderContentType = "Content-Type"

	// HeaderID identifies a message: a text of the sender's choice, unique to it.
	HeaderID = "Mono-Id"

	// HeaderTimeout is how long the caller will wait for the reply: a positive
	// integer of milliseconds, counted from the sending.
	HeaderTimeout = "Mono-Timeout-Ms"

	// HeaderSender names the module that sent the message.
	HeaderSender = "Mono-Sender"

	// HeaderCode makes a reply an error and says which.
	HeaderCode = "Mono-Code"

	// HeaderMessage is the text of that error, percent-encoded as gRPC does
	// with its grpc-message.
	HeaderMessage = "Mono-Message"

	// HeaderFailure names the declared failure whose value is in the body. Without a
	// body and a content type, the value was too large to be sent.
	HeaderFailure = "Mono-Failure"

	// HeaderOutcome is "not-done" when no handler has seen the request, and
	// "unknown" when one had begun and was given up.
	HeaderOutcome = "Mono-Outcome"

	// What a dead letter says, beside the header of its message: why it died, in
	// which group, after how many attempts, with which error, where and when its
	// message was stored, and under which subject. Times are RFC 3339 with
	// nanoseconds; the error is percent-encoded.
	HeaderDeadLetterReason   = "Mono-Dead-Letter-Reason"
	HeaderDeadLetterGroup    = "Mono-Dead-Letter-Group"
	HeaderDeadLetterAttempts = "Mono-Dead-Letter-Attempts"
	HeaderDeadLetterCode     = "Mono-Dead-Letter-Code"
	HeaderDeadLetterError    = "Mono-Dead-Letter-Error"
	HeaderDeadLetterSequence = "Mono-Dead-Letter-Sequence"
	HeaderDeadLetterStored   = "Mono-Dead-Letter-Stored"
	HeaderDeadLetterSubject  = "Mono-Dead-Letter-Subject"
)

// maxErrorText bounds the text of an error that is sent, in bytes.
const maxErrorText = 4096

// maxCode bounds a code that crosses the wire, in bytes.
const maxCode = 64

// onWire returns the code as it crosses the wire: one that is empty, too long, or
// cannot be the value of a header is Unknown.
func (c Code) onWire() Code {
	if c == "" || len(c) > maxCode || (&Field{HeaderCode, string(c)}).validate() != nil {
		return Unknown
	}
	return c
}

// SetError writes e to the header of a reply. The result can be sent, whatever is
// in e: a code that is empty, longer than 64 bytes, or no value of a header
// becomes Unknown, and a message is cut after 4096 bytes.
func (h *Header) SetError(e *Error) {
	h.Set(HeaderCode, string(e.Code.onWire()))
	h.Set(HeaderMessage, percentEncode(truncate(e.Message, maxErrorText)))
	switch e.Outcome {
	case OutcomeNotDone:
		h.Set(HeaderOutcome, "not-done")
	case OutcomeUnknown:
		h.Set(HeaderOutcome, "unknown")
	case OutcomeAnswered:
		h.Del(HeaderOutcome)
	}
}

// ErrorFromHeader returns the error that a reply carries, or nil. Its Outcome is
// OutcomeAnswered unless the header says otherwise. It accepts any bytes: a code
// that SetError would not write is Unknown.
func ErrorFromHeader(h Header) *Error {
	if !h.Has(HeaderCode) {
		return nil
	}
	e := &Error{Code: Code(h.Get(HeaderCode)).onWire(), Outcome: OutcomeAnswered}
	e.Message = percentDecode(h.Get(HeaderMessage))
	switch h.Get(HeaderOutcome) {
	case "not-done":
		e.Outcome = OutcomeNotDone
	case "unknown":
		e.Outcome = OutcomeUnknown
	}
	return e
}

// truncate cuts s to at most n bytes, between characters. Where there are none,
// in text that is not UTF-8, it cuts anywhere.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for cut := n; cut > n-utf8.UTFMax; cut-- {
		if utf8.RuneStart(s[cut]) {
			return s[:cut]
		}
	}
	return s[:n]
}

// EncodeText makes a text the value of a header, percent-encoded and cut so that
// it has at most limit bytes.
func EncodeText(s string, limit int) string {
	encoded := percentEncode(truncate(s, limit))
	for len(encoded) > limit {
		s = truncate(s, len(s)*limit/(len(encoded)+1))
		encoded = percentEncode(s)
	}
	return encoded
}

// DecodeText undoes EncodeText, but for the cut.
func DecodeText(s string) string { return percentDecode(s) }

// percentEncode writes all but printable ASCII, and "%", as %XX. White space at
// the ends is encoded too, since a header loses it.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		edge := c == ' ' && (i == 0 || i == len(s)-1)
		if c >= ' ' && c <= '~' && c != '%' && !edge {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// percentDecode undoes percentEncode, and returns what is not well encoded as
// it is.
func percentDecode(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}
