package transporttest

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"

	"gomono.dev/transport"
)

// limited is for cases about the payload limit.
func limited(has transport.Capabilities) string {
	if has.MaxPayload == 0 {
		return "a payload limit"
	}
	return ""
}

var bodyCases = []conformanceCase{
	{
		name: "body/empty",
		rule: "An empty body and a nil body are the same.",
		body: func(s *suite) {
			for _, body := range [][]byte{nil, {}} {
				for _, header := range []transport.Header{nil, {{Name: "A", Value: "1"}}} {
					if got := s.echoed(header, body); len(got) != 0 {
						s.Errorf("got %q", got)
					}
				}
			}
		},
	},
	{
		name:     "body/binary",
		contract: "It does not interpret bodies.",
		rule:     "A transport does not interpret or change a body.",
		body: func(s *suite) {
			every := make([]byte, 256)
			for i := range every {
				every[i] = byte(i)
			}
			random := make([]byte, 64<<10)
			rand.NewChaCha8([32]byte{1}).Read(random)
			for _, body := range [][]byte{every, random, []byte("\r\n"), []byte("PING\r\n"), []byte("NATS/1.0\r\nA: b\r\n\r\n"), {0}} {
				if got := s.echoed(nil, body); !bytes.Equal(got, body) {
					s.Errorf("%d bytes changed: got %.60q, want %.60q", len(body), got, body)
				}
			}
		},
	},
	{
		name:     "body/largest",
		contract: "MaxPayload is the maximum size of a message in bytes, including its header, as counted by [Message.Size].",
		rule:     "MaxPayload is the maximum size of a message in bytes, including its header, as counted by Message.Size.",
		missing:  limited,
		body: func(s *suite) {
			for _, header := range []transport.Header{nil, {{Name: "Name", Value: "value"}, {Name: "Empty"}}} {
				body := s.filling(header)
				if got := s.echoed(header, body); !bytes.Equal(got, body) {
					s.Errorf("sent %d bytes with %d fields, got %d back", len(body), len(header), len(got))
				}
			}
		},
	},
	{
		name:     "body/too-large",
		contract: "for one over the payload limit, naming both sizes",
		rule:     "InvalidArgument for a message over the payload limit, naming both sizes.",
		missing:  limited,
		body: func(s *suite) {
			l := s.listen("a")
			for _, header := range []transport.Header{nil, {{Name: "Name", Value: "value"}}} {
				m := &transport.Message{Subject: l.pattern, Header: header, Body: append(s.filling(header), 'x')}
				s.wantRefused(m)
				err := s.tr.Publish(s.Context(), m)
				for _, size := range []int{m.Size(), s.Capabilities().MaxPayload} {
					if err == nil || !strings.Contains(err.Error(), strconv.Itoa(size)) {
						s.Errorf("got %v, want it to name %d", err, size)
					}
				}
			}
			l.wantOnly("a")
		},
	},
	{
		name:     "body/largest-reply",
		contract: "A reply is a Publish to the Reply subject of the request.",
		rule:     "The payload limit of a Publish applies to replies too.",
		missing:  limited,
		body: func(s *suite) {
			errs := make(chan error, 1)
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				errs <- s.tr.Publish(s.Context(), &transport.Message{Subject: m.Reply, Body: append(s.filling(nil), 'x')})
				s.reply(m, "smaller")
			})
			if got := s.request("a", ""); got != "smaller" {
				s.Errorf("got %.20q", got)
			}
			s.wantError(await(s, errs, "the reply"), transport.InvalidArgument, transport.OutcomeNotDone)
		},
	},
}

// echoed publishes a body and returns the received one.
func (s *suite) echoed(h transport.Header, body []byte) []byte {
	s.Helper()
	l := s.listen("echoed")
	defer l.Close()
	s.send(&transport.Message{Subject: l.pattern, Header: h, Body: body})
	return l.next().Body
}

// filling returns a body that, with h, makes the largest allowed message.
func (s *suite) filling(h transport.Header) []byte {
	head := (&transport.Message{Header: h}).Size()
	return bytes.Repeat([]byte("x"), s.Capabilities().MaxPayload-head)
}
