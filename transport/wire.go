package transport

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Names of the headers that mono writes. They are the same on every backend, so that a
// client in any language can read and write them (docs/clients.md). None is required: a bare
// body is a valid message.
const (
	// HeaderContentType is the media type of the body. Without it a body is JSON. The
	// parameter version, such as 2, is that of the payload's shape. Without it a body has
	// version 1, the oldest one.
	HeaderContentType = "Content-Type"

	// HeaderID identifies a message. The sender chooses its text, which is unique to the
	// message. A stored message has the ID of its AppendOptions instead, unless it is a
	// dead letter or a replay, which keeps the id of its message in the header.
	HeaderID = "Mono-Id"

	// HeaderTimeout is how long the caller waits for the reply: a positive integer of
	// milliseconds, counted from the sending.
	HeaderTimeout = "Mono-Timeout-Ms"

	// HeaderSender names the module that sent the message.
	HeaderSender = "Mono-Sender"

	// HeaderCode marks a reply as an error and holds its code.
	HeaderCode = "Mono-Code"

	// HeaderMessage is the text of that error, percent-encoded as in gRPC's grpc-message.
	HeaderMessage = "Mono-Message"

	// HeaderFailure names the declared failure whose value is in the body. Without a body
	// and a content type, the value was too large to be sent.
	HeaderFailure = "Mono-Failure"

	// HeaderFailureStatus is the HTTP status of that failure, from 400 to 599. Without it
	// the failure has the status of its code.
	HeaderFailureStatus = "Mono-Failure-Status"

	// HeaderOutcome is "not-done" if no handler has received the request, and "unknown"
	// if a handler had begun and was abandoned.
	HeaderOutcome = "Mono-Outcome"

	// HeaderRetryAfter is how long the caller should wait before another attempt: whole
	// milliseconds from the reply, 0 or more. It is in the reply of an error.
	HeaderRetryAfter = "Mono-Retry-After-Ms"

	// HeaderPassed is "true" in the reply of a worker that takes only the jobs of other keys.
	HeaderPassed = "Mono-Passed"

	// Headers that a dead letter has in addition to those of its message: the reason, the
	// group, the number of attempts, the code and text of the last error, the sequence
	// and time at which the message was stored, and its subject. Times are RFC 3339 with
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

// maxErrorText is the maximum length of an error text that is sent, in bytes.
const maxErrorText = 4096

// maxCode is the maximum length of a code that is sent, in bytes.
const maxCode = 64

// sendable returns the code as it is sent. A code that is empty, too long, or not a valid
// header value becomes Unknown.
func (c Code) sendable() Code {
	if c == "" || len(c) > maxCode || (&Field{HeaderCode, string(c)}).validate() != nil {
		return Unknown
	}
	return c
}

// SetError writes e to the header of a reply. The result is valid for every e: a code
// that is empty, longer than 64 bytes, or not a valid header value becomes Unknown, and a
// message is cut after 4096 bytes.
func (h *Header) SetError(e *Error) {
	h.Set(HeaderCode, string(e.Code.sendable()))
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
// OutcomeAnswered unless the header specifies another. It accepts any bytes: a code that
// SetError would not write becomes Unknown.
func ErrorFromHeader(h Header) *Error {
	if !h.Has(HeaderCode) {
		return nil
	}
	e := &Error{Code: Code(h.Get(HeaderCode)).sendable(), Outcome: OutcomeAnswered}
	e.Message = percentDecode(h.Get(HeaderMessage))
	switch h.Get(HeaderOutcome) {
	case "not-done":
		e.Outcome = OutcomeNotDone
	case "unknown":
		e.Outcome = OutcomeUnknown
	}
	return e
}

// truncate cuts s to at most n bytes, between characters. Text that is not UTF-8 is cut
// anywhere.
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

// EncodeText encodes a text as a header value: percent-encoded and cut to at most limit
// bytes.
func EncodeText(s string, limit int) string {
	encoded := percentEncode(truncate(s, limit))
	for len(encoded) > limit {
		s = truncate(s, len(s)*limit/(len(encoded)+1))
		encoded = percentEncode(s)
	}
	return encoded
}

// DecodeText reverses EncodeText, except for the cut.
func DecodeText(s string) string { return percentDecode(s) }

// percentEncode writes "%" and everything but printable ASCII as %XX. It also encodes
// white space at the ends, which a header would lose.
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

// percentDecode reverses percentEncode. It returns text that is not well encoded
// unchanged.
func percentDecode(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}
