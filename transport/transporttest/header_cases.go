package transporttest

import (
	"slices"
	"strings"

	"gomono.dev/transport"
)

var headerCases = []conformanceCase{
	{
		name:     "header/none",
		contract: "Header holds named values beside the body. It may be nil.",
		rule:     "Header may be nil: a message sent without a header arrives without one.",
		body: func(s *suite) {
			l := s.listen("a")
			s.publish("a", "x")
			if got := l.next(); len(got.Header) != 0 {
				s.Errorf("got %v", got.Header)
			}
		},
	},
	{
		name:     "header/case",
		contract: "Names are case-sensitive. Several values of one name keep their order",
		rule:     "Header names are case-sensitive.",
		body: func(s *suite) {
			got := s.carried(transport.Header{{Name: "x-a", Value: "1"}, {Name: "X-A", Value: "2"}, {Name: "X-a", Value: "3"}})
			if len(got) != 3 || got.Get("x-a") != "1" || got.Get("X-A") != "2" || got.Get("X-a") != "3" {
				s.Errorf("got %v", got)
			}
		},
	},
	{
		name:     "header/repeated",
		contract: "Several values of one name keep their order; the order among different names is not kept.",
		rule:     "The values of one header name keep their order.",
		body: func(s *suite) {
			var h transport.Header
			for _, v := range numbers(20) {
				h.Add("Tag", v)
				h.Add("Other", "x"+v)
			}
			if got := s.carried(h); !slices.Equal(got.Values("Tag"), numbers(20)) || len(got) != len(h) {
				s.Errorf("got %v, want %v", got, h)
			}
		},
	},
	{
		name:     "header/names",
		contract: "a name that is not an HTTP token (RFC 9110, section 5.1)",
		rule:     "A header name is an HTTP token (RFC 9110, section 5.1).",
		body: func(s *suite) {
			for _, name := range []string{"a", "0", "!#$%&'*+-.^_`|~", "Content-Type", "Mono-X", "nats-lower", "NATS-UPPER", "status", "Status-Code"} {
				if got := s.carried(transport.Header{{Name: name, Value: "v"}}); got.Get(name) != "v" {
					s.Errorf("name %q: got %v", name, got)
				}
			}
		},
	},
	{
		name:     "header/values",
		contract: "a value with a control character or with white space at either end",
		rule:     "A transport carries header values unchanged, except control characters and white space at either end.",
		body: func(s *suite) {
			for _, value := range []string{"", "two words", "a  b", "a\tb", "a: b", ":", "Grüße 日本", "\"q\" %0A \\", strings.Repeat("x", 8000)} {
				got := s.carried(transport.Header{{Name: "V", Value: value}})
				if !got.Has("V") || got.Get("V") != value {
					s.Errorf("value %.20q: got %.60q", value, got)
				}
			}
		},
	},
	{
		name:     "header/reserved",
		contract: "belong to the backend: sending one is [InvalidArgument], and none is ever delivered.",
		rule:     `Names that begin with "Nats-", and the names "Status" and "Description", belong to the backend: sending one is InvalidArgument.`,
		body: func(s *suite) {
			l := s.listen("a")
			for _, name := range []string{"Nats-Msg-Id", "Nats-", "Nats-Rollup", "Status", "Description"} {
				s.wantHeaderRefused(transport.Field{Name: name, Value: "1"})
			}
			l.wantOnly("a")
		},
	},
	{
		name:     "header/bad-name",
		contract: "a name that is not an HTTP token (RFC 9110, section 5.1)",
		rule:     "A header name that is not an HTTP token is InvalidArgument.",
		body: func(s *suite) {
			l := s.listen("a")
			for _, name := range []string{"", " ", "a b", "a:", "a\r\nb", "a\x00", "ä", "a(b)", "a/b", "a\xff"} {
				s.wantHeaderRefused(transport.Field{Name: name, Value: "1"})
			}
			l.wantOnly("a")
		},
	},
	{
		name:     "header/bad-value",
		contract: "a value with a control character or with white space at either end",
		rule:     "A header value with a control character or with white space at either end is InvalidArgument.",
		body: func(s *suite) {
			l := s.listen("a")
			for _, value := range []string{"a\r\nB: c", "a\n", "a\rb", "a\x00b", "a\x7f", "\x1b[1m", " a", "a ", "\ta", "a\t", " "} {
				s.wantHeaderRefused(transport.Field{Name: "V", Value: value})
			}
			l.wantOnly("a")
		},
	},
	{
		name:     "header/reply",
		contract: "A reply is a Publish to the Reply subject of the request.",
		rule:     "The header of a reply arrives unchanged.",
		body: func(s *suite) {
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				reply := &transport.Message{Subject: m.Reply, Header: m.Header}
				if err := s.tr.Publish(s.Context(), reply); err != nil {
					s.Error(err)
				}
			})
			m := s.message("a", "")
			m.Header = transport.Header{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}, {Name: "a", Value: "3"}}
			if got := s.ask(m).Header; !slices.Equal(got.Values("A"), []string{"1", "2"}) || got.Get("a") != "3" || len(got) != 3 {
				s.Errorf("got %v, want %v", got, m.Header)
			}
		},
	},
}

// carried sends a header and returns the received one.
func (s *suite) carried(h transport.Header) transport.Header {
	s.Helper()
	l := s.listen("carried")
	defer l.Close()
	s.send(&transport.Message{Subject: l.pattern, Header: h})
	return l.next().Header
}

func (s *suite) wantHeaderRefused(f transport.Field) {
	s.Helper()
	m := s.message("a", "bad header")
	m.Header = transport.Header{{Name: "Good", Value: "1"}, f}
	s.wantRefused(m)
}
