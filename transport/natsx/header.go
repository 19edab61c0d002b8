package natsx

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/brief"
)

// outgoing is a message for nats.go. nats.go has copied all of it when its publish method
// returns, so the memory is reused.
type outgoing struct {
	nats.Msg
	values []string // one array for all headers with a single value
	suffix []byte   // of the reply subject, after the number of the request
	inbox  []byte   // memory of Reply, if set by setReply
}

// outgoingPool holds messages for reuse.
type outgoingPool struct{ pool sync.Pool }

// get converts a message. The result shares the body. The sender passes it to put afterwards.
func (p *outgoingPool) get(m *transport.Message) *outgoing {
	o := p.empty(m)
	for _, f := range m.Header {
		if earlier, ok := o.Header[f.Name]; ok {
			o.Header[f.Name] = append(earlier, f.Value)
			continue
		}
		o.set(f.Name, f.Value)
	}
	return o
}

// getRequest converts a request. The reply is to confirm that the provider understands brief
// requests. If it does, the request is brief if possible.
func (p *outgoingPool) getRequest(m *transport.Message, understood bool) *outgoing {
	if understood {
		if f, ok := brief.Of(m.Header); ok {
			o := p.empty(m)
			o.suffix = f.AppendTo(append(o.suffix, brief.Mark))
			return o
		}
	}
	o := p.get(m)
	o.suffix = append(o.suffix, brief.Mark)
	return o
}

// getPublished converts a message. If it replies to a request that asks for a confirmation, it
// confirms.
func (p *outgoingPool) getPublished(m *transport.Message) *outgoing {
	if _, asked := brief.Cut(m.Subject); !asked || m.Reply != "" {
		return p.get(m)
	}
	if brief.AreBytes(m.Header) {
		o := p.empty(m)
		o.Reply = brief.ConfirmationBytes
		return o
	}
	o := p.get(m)
	o.Reply = brief.Confirmation
	return o
}

// empty returns a message without headers.
func (p *outgoingPool) empty(m *transport.Message) *outgoing {
	o, _ := p.pool.Get().(*outgoing)
	if o == nil {
		o = &outgoing{Msg: nats.Msg{Header: make(nats.Header)}}
	}
	o.Subject, o.Reply, o.Data = m.Subject, m.Reply, m.Body
	return o
}

// set sets a header to one value.
func (o *outgoing) set(name, value string) {
	o.values = append(o.values, value)
	last := len(o.values)
	o.Header[name] = o.values[last-1 : last : last]
}

// setReply sets the reply subject of a request with a number. It has the suffix.
func (o *outgoing) setReply(r *requests, number uint64) {
	o.inbox = append(r.appendInbox(o.inbox[:0], number), o.suffix...)
	o.Reply = unsafe.String(unsafe.SliceData(o.inbox), len(o.inbox)) // changes after put only
}

func (o *outgoing) setNumber(name string, n uint64) { o.set(name, strconv.FormatUint(n, 10)) }

// put returns the memory to the pool.
func (p *outgoingPool) put(o *outgoing) {
	clear(o.Header)
	clear(o.values)
	o.values, o.suffix = o.values[:0], o.suffix[:0]
	o.Subject, o.Reply, o.Data = "", "", nil
	p.pool.Put(o)
}

// addServiceError adds an error as NATS services report it. The text is shortened for
// display, and is left out if it would exceed the payload limit: mono's own headers hold all
// of it.
func (o *outgoing) addServiceError(e *transport.Error, size, limit int) {
	text, code := oneLine(e.Message, string(e.Code)), strconv.Itoa(e.Code.HTTPStatus())
	more := len(micro.ErrorHeader+text+micro.ErrorCodeHeader+code) + 2*len(": \r\n")
	if limit == 0 || size+more <= limit {
		o.set(micro.ErrorHeader, text)
		o.set(micro.ErrorCodeHeader, code)
	}
}

// maxServiceError bounds the text of a service error, in bytes.
const maxServiceError = 512

// oneLine returns the text in a form for a header, or otherwise if it is empty. A header has
// ASCII only (ADR-4): nats-py up to 2.14 loses all headers of a message with another character
// in one of them. So those are percent-encoded.
func oneLine(text, otherwise string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if text = strings.TrimSpace(text); text == "" {
		text = otherwise
	}
	var line strings.Builder
	for len(text) > 0 {
		_, size := utf8.DecodeRuneInString(text)
		character := text[:size]
		if text[0] >= utf8.RuneSelf {
			character = percentEncoded(character)
		}
		if line.Len()+len(character) > maxServiceError {
			break
		}
		line.WriteString(character)
		text = text[size:]
	}
	return strings.TrimSpace(line.String())
}

func percentEncoded(character string) (encoded string) {
	for i := range len(character) {
		encoded += fmt.Sprintf("%%%02X", character[i])
	}
	return encoded
}

// fromNATS converts a received message. It does not copy the body, since nats.go allocates
// one for each subscription.
func fromNATS(msg *nats.Msg) *transport.Message {
	m := transport.NewMessage(len(msg.Header))
	fillMessage(m, msg)
	return m
}

// received converts the message of a subscription, which may be a brief request.
func received(msg *nats.Msg) *transport.Message {
	if len(msg.Header) == 0 && msg.Reply != "" {
		if text, ok := brief.Cut(msg.Reply); ok {
			if f, ok := brief.Parse(text); ok {
				m := f.Message()
				fillMessage(m, msg)
				return m
			}
		}
	}
	return fromNATS(msg)
}

// answered converts the reply to a request, and reports whether it confirms that its sender
// understands brief requests.
func answered(msg *nats.Msg) (m *transport.Message, confirms bool) {
	switch {
	case msg.Reply == brief.ConfirmationBytes && len(msg.Header) == 0:
		m = (&brief.Fields{Bytes: true}).Message()
		fillMessage(m, msg)
	case msg.Reply == brief.Confirmation:
		m = fromNATS(msg)
	default:
		return fromNATS(msg), false
	}
	m.Reply = ""
	return m, true
}

// fillMessage fills in a message, whose header already has capacity.
func fillMessage(m *transport.Message, msg *nats.Msg) {
	m.Subject, m.Reply, m.Body = msg.Subject, msg.Reply, msg.Data
	if len(msg.Header) == 0 {
		return
	}
	reserved := false
	for name, values := range msg.Header {
		if transport.Reserved(name) {
			reserved = true
			continue
		}
		for _, value := range values {
			m.Header = append(m.Header, transport.Field{Name: name, Value: value})
		}
	}
	if !reserved {
		return
	}
	if text, code := msg.Header.Get(micro.ErrorHeader), msg.Header.Get(micro.ErrorCodeHeader); (text != "" || code != "") && !m.Header.Has(transport.HeaderCode) {
		m.Header.SetError(&transport.Error{Code: codeOf(code), Outcome: transport.OutcomeAnswered, Message: text})
	}
}

// codes maps error numbers of services that do not use mono. By convention such a number is
// an HTTP status.
var codes = map[string]transport.Code{
	"400": transport.InvalidArgument, "422": transport.InvalidArgument,
	"401": transport.Unauthenticated, "403": transport.PermissionDenied, "404": transport.NotFound,
	"408": transport.DeadlineExceeded, "504": transport.DeadlineExceeded,
	"409": transport.Aborted, "412": transport.FailedPrecondition, "416": transport.OutOfRange,
	"429": transport.ResourceExhausted, "499": transport.Canceled,
	"501": transport.Unimplemented, "503": transport.Unavailable,
}

// codeOf returns the code for an error number. Other numbers from 500 are Internal.
func codeOf(number string) transport.Code {
	if code, ok := codes[number]; ok {
		return code
	}
	if len(number) == 3 && number[0] == '5' {
		return transport.Internal
	}
	return transport.Unknown
}
