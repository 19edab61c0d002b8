package natsx

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gomono.dev/transport"
)

// toNATS makes what nats.go sends. It shares the body: nats.go has copied it
// when its publish returns.
func toNATS(m *transport.Message) *nats.Msg {
	msg := &nats.Msg{Subject: m.Subject, Reply: m.Reply, Data: m.Body}
	if len(m.Header) == 0 {
		return msg
	}
	msg.Header = make(nats.Header, len(m.Header)+2)
	values := make([]string, len(m.Header)) // one array for all names with one value
	for i, f := range m.Header {
		if earlier, ok := msg.Header[f.Name]; ok {
			msg.Header[f.Name] = append(earlier, f.Value)
			continue
		}
		values[i] = f.Value
		msg.Header[f.Name] = values[i : i+1 : i+1]
	}
	return msg
}

// addServiceError adds the error that m carries in the words of NATS services,
// cut to what is of use to people, and left out where it would exceed the limit:
// mono's own headers hold all of it.
func addServiceError(msg *nats.Msg, m *transport.Message, limit int) {
	e := transport.ErrorFromHeader(m.Header)
	if e == nil {
		return
	}
	text, code := oneLine(e.Message, string(e.Code)), strconv.Itoa(e.Code.HTTPStatus())
	more := len(micro.ErrorHeader+text+micro.ErrorCodeHeader+code) + 2*len(": \r\n")
	if limit == 0 || m.Size()+more <= limit {
		msg.Header[micro.ErrorHeader], msg.Header[micro.ErrorCodeHeader] = []string{text}, []string{code}
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
	m := &transport.Message{Subject: msg.Subject, Reply: msg.Reply, Body: msg.Data}
	if len(msg.Header) == 0 {
		return m
	}
	m.Header = make(transport.Header, 0, len(msg.Header))
	for name, values := range msg.Header {
		if transport.Reserved(name) {
			continue
		}
		for _, value := range values {
			m.Header = append(m.Header, transport.Field{Name: name, Value: value})
		}
	}
	if text, code := msg.Header.Get(micro.ErrorHeader), msg.Header.Get(micro.ErrorCodeHeader); (text != "" || code != "") && !m.Header.Has(transport.HeaderCode) {
		m.Header.SetError(&transport.Error{Code: codeOf(code), Outcome: transport.OutcomeAnswered, Message: text})
	}
	return m
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
