package natsx

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gomono.dev/transport"
)

// outgoing is what nats.go sends. When its publish returns it has copied everything,
// so that the memory serves again.
type outgoing struct {
	nats.Msg
	values []string // one array for all names with one value
}

// toNATS makes what is to be sent. It shares the body. Whoever sends it ends it.
func (t *Transport) toNATS(m *transport.Message) *outgoing {
	o, _ := t.outgoing.Get().(*outgoing)
	if o == nil {
		o = &outgoing{Msg: nats.Msg{Header: make(nats.Header)}}
	}
	o.Subject, o.Reply, o.Data = m.Subject, m.Reply, m.Body
	for _, f := range m.Header {
		if earlier, ok := o.Header[f.Name]; ok {
			o.Header[f.Name] = append(earlier, f.Value)
			continue
		}
		o.set(f.Name, f.Value)
	}
	return o
}

// set gives a header one value.
func (o *outgoing) set(name, value string) {
	o.values = append(o.values, value)
	last := len(o.values)
	o.Header[name] = o.values[last-1 : last : last]
}

func (o *outgoing) setNumber(name string, n uint64) { o.set(name, strconv.FormatUint(n, 10)) }

// end gives the memory back.
func (t *Transport) end(o *outgoing) {
	clear(o.Header)
	clear(o.values)
	o.values = o.values[:0]
	o.Subject, o.Reply, o.Data = "", "", nil
	t.outgoing.Put(o)
}

// addServiceError adds the error that m carries in the words of NATS services,
// cut to what is of use to people, and left out where it would exceed the limit:
// mono's own headers hold all of it.
func (t *Transport) addServiceError(o *outgoing, m *transport.Message) {
	e := transport.ErrorFromHeader(m.Header)
	if e == nil {
		return
	}
	text, code := oneLine(e.Message, string(e.Code)), strconv.Itoa(e.Code.HTTPStatus())
	more := len(micro.ErrorHeader+text+micro.ErrorCodeHeader+code) + 2*len(": \r\n")
	if limit := t.maxPayload(); limit == 0 || m.Size()+more <= limit {
		o.set(micro.ErrorHeader, text)
		o.set(micro.ErrorCodeHeader, code)
	}
}

// maxServiceError bounds the text, in bytes.
const maxServiceError = 512

// oneLine makes a text fit for a header, and not empty.
func oneLine(text, otherwise string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(text) > maxServiceError {
		text = strings.ToValidUTF8(text[:maxServiceError], "")
	}
	if text = strings.TrimSpace(text); text == "" {
		return otherwise
	}
	return text
}

// fromNATS makes a message of what nats.go received. nats.go hands out a body of
// its own for each subscription, so it is not copied.
func fromNATS(msg *nats.Msg) *transport.Message {
	m := emptyMessage(len(msg.Header))
	takeOver(m, msg)
	return m
}

// takeOver fills in a message, whose header has room already.
func takeOver(m *transport.Message, msg *nats.Msg) {
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

// emptyMessage makes a message with room for the fields of its header, if they are
// few in the same piece of memory.
func emptyMessage(fields int) *transport.Message {
	switch {
	case fields == 0:
		return new(transport.Message)
	case fields <= 2:
		m := new(struct {
			transport.Message
			fields [2]transport.Field
		})
		m.Header = m.fields[:0]
		return &m.Message
	case fields <= 4:
		m := new(struct {
			transport.Message
			fields [4]transport.Field
		})
		m.Header = m.fields[:0]
		return &m.Message
	}
	return &transport.Message{Header: make(transport.Header, 0, fields)}
}

// codeOf returns the code for the number that a service written elsewhere gave,
// which by custom is an HTTP status.
func codeOf(number string) transport.Code {
	switch number {
	case "400", "422":
		return transport.InvalidArgument
	case "401":
		return transport.Unauthenticated
	case "403":
		return transport.PermissionDenied
	case "404":
		return transport.NotFound
	case "408", "504":
		return transport.DeadlineExceeded
	case "409":
		return transport.Aborted
	case "412":
		return transport.FailedPrecondition
	case "416":
		return transport.OutOfRange
	case "429":
		return transport.ResourceExhausted
	case "499":
		return transport.Canceled
	case "501":
		return transport.Unimplemented
	case "503":
		return transport.Unavailable
	}
	if len(number) == 3 && number[0] == '5' {
		return transport.Internal
	}
	return transport.Unknown
}
