package transporttest

import (
	"strings"

	"gomono.dev/transport"
)

// badSubjects are invalid subjects to publish on. Those with wildcards are valid
// patterns.
var badSubjects = []string{
	"", ".", ".a", "a.", "a..b", "a b", " a", "a ", "a\tb", "a\nb", "a\r\nb", "a\x00b", "a\x7f", "a\u00a0b", "a\u0085b",
	"a\xff", "a*", "a>b", "*", ">", "a.*", "a.*.b", "a.>", strings.Repeat("x", transport.MaxSubject+1),
}

var badPatterns = []string{
	"", ".", ".a", "a.", "a..b", "a b", "a\r\nb", "a\x00b", "a\xff", "a*", "*a", "a.b*.c", "**", ">.a", "a.>.b", "a>", ">>",
	strings.Repeat("x", transport.MaxSubject+1),
}

var badTokens = []string{"a.b", "a b", ".", "*", ">", "a*", "a\tb", "a\nb", "a\x00", "a\xff"}

var subjectCases = []conformanceCase{
	{
		name:     "subject/star",
		contract: `A pattern may use "*" for exactly one token`,
		rule:     `A pattern may use "*" for exactly one token.`,
		body: func(s *suite) {
			l := s.listen("a.*.c")
			for _, other := range []string{"a.c", "a.b", "a.b.b.c", "a.b.c.d", "b.b.c", "a"} {
				s.publish(other, "not "+other)
			}
			s.publish("a.b.c", "b")
			s.publish("a.bb.c", "bb")
			l.wantOnly("a.x.c", "b", "bb")
		},
	},
	{
		name:     "subject/stars",
		contract: `A pattern may use "*" for exactly one token`,
		rule:     `A pattern may use "*" for exactly one token, and more than once.`,
		body: func(s *suite) {
			l := s.listen("*.*")
			s.publish("a", "1")
			s.publish("a.b", "2")
			s.publish("a.b.c", "3")
			l.wantOnly("x.y", "2")
		},
	},
	{
		name:     "subject/rest",
		contract: `and ">" as the last token for one or more.`,
		rule:     `A pattern may use ">" as the last token for one or more.`,
		body: func(s *suite) {
			l := s.listen("t.>")
			s.publish("t", "none")
			s.publish("tt.a", "other")
			s.publish("t.a", "one")
			s.publish("t.a.b.c.d", "four")
			l.wantOnly("t.x", "one", "four")
		},
	},
	{
		name:     "subject/star-and-rest",
		contract: `A pattern may use "*" for exactly one token, and ">" as the last token for one or more.`,
		rule:     "A pattern may combine wildcards.",
		body: func(s *suite) {
			l := s.listen("*.b.*.>")
			for _, other := range []string{"a.b", "a.b.c", "a.c.c.d", "b.c.d.e"} {
				s.publish(other, "not "+other)
			}
			s.publish("a.b.c.d", "1")
			s.publish("b.b.b.b.b", "2")
			l.wantOnly("x.b.x.x", "1", "2")
		},
	},
	{
		name:     "subject/literal",
		contract: "A subject is one or more tokens joined by dots, as in NATS (ADR-6).",
		rule:     "Without a wildcard, a pattern matches exactly the same subject, including upper and lower case.",
		body: func(s *suite) {
			l := s.listen("Orders.placed")
			for _, other := range []string{"orders.placed", "Orders.Placed", "Orders", "Orders.placed.x", "Orders.place"} {
				s.publish(other, "not "+other)
			}
			l.wantOnly("Orders.placed")
		},
	},
	{
		name:     "subject/characters",
		contract: `A token is not empty and contains no white space, no control characters, and neither "*" nor ">".`,
		rule:     `A token contains no white space, no control characters, and neither "*" nor ">". A subject is valid UTF-8.`,
		body: func(s *suite) {
			all := s.listen(">")
			for _, rest := range []string{"a-b_c", "$X", "_k.1", "Grüße", "日本.語", `"quoted"`, `back\slash`, "a/b:c,d;e=f&g%20", "{}[]()|~^!?#@+'`"} {
				one := s.listen(rest)
				s.publish(rest, rest)
				one.want(rest)
				if got := all.next(); got.Subject != s.subject(rest) {
					s.Errorf("got subject %q, want %q", got.Subject, s.subject(rest))
				}
			}
		},
	},
	{
		name:     "subject/longest",
		contract: "A subject is valid UTF-8 and at most [MaxSubject] bytes long.",
		rule:     "A subject is at most MaxSubject bytes long.",
		body: func(s *suite) {
			rest := strings.Repeat("x", transport.MaxSubject-len(s.subject("")))
			s.serve(transport.Subscription{Subject: s.subject(rest)}, "")
			if got := s.request(rest, "long"); got != "long" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name:     "subject/many-tokens",
		contract: "A subject is one or more tokens joined by dots",
		rule:     "A subject is one or more tokens joined by dots.",
		body: func(s *suite) {
			rest := strings.Repeat("x.", 200) + "x"
			l := s.listen(rest)
			s.publish(rest, "deep")
			l.want("deep")
		},
	},
	{
		name:     "subject/bad-publish",
		contract: "Errors: InvalidArgument for a message that [Message.Validate] rejects",
		rule:     "Publish: InvalidArgument for a message with an invalid subject (a pattern is not a subject).",
		body: func(s *suite) {
			all := s.listen(">")
			for _, subject := range badSubjects {
				s.wantRefused(&transport.Message{Subject: subject})
			}
			for _, rest := range []string{"*", "a.>", "a..b", "a b"} {
				s.wantRefused(s.message(rest, "literal wildcard"))
			}
			all.wantOnly("x")
		},
	},
	{
		name:     "subject/bad-reply",
		contract: "a reply that is neither empty nor a subject",
		rule:     "Publish: InvalidArgument for a reply that is neither empty nor a subject.",
		body: func(s *suite) {
			l := s.listen("a")
			for _, reply := range badSubjects {
				if reply == "" {
					continue
				}
				m := s.message("a", "bad reply")
				m.Reply = reply
				s.wantCode(s.tr.Publish(s.Context(), m), transport.InvalidArgument)
			}
			l.wantOnly("a")
		},
	},
	{
		name:     "subject/bad-pattern",
		contract: "Errors: InvalidArgument for a nil handler, and a bad subject, group or endpoint;",
		rule:     "Subscribe: InvalidArgument for a bad subject.",
		body: func(s *suite) {
			for _, pattern := range badPatterns {
				s.wantNoSubscription(transport.Subscription{Subject: pattern})
			}
		},
	},
	{
		name:     "subject/bad-group",
		contract: "A group name is one token.",
		rule:     "Subscribe: InvalidArgument for a bad group. A group name is one token.",
		body: func(s *suite) {
			for _, group := range badTokens {
				s.wantNoSubscription(transport.Subscription{Subject: s.subject("a"), Group: group})
			}
		},
	},
}

// wantRefused fails unless m is an InvalidArgument, both published and requested.
func (s *suite) wantRefused(m *transport.Message) {
	s.Helper()
	s.wantError(s.tr.Publish(s.Context(), m), transport.InvalidArgument, transport.OutcomeNotDone)
	_, err := s.tr.Request(s.patient(), m)
	s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
}

func (s *suite) wantNoSubscription(sub transport.Subscription) {
	s.Helper()
	r, err := s.tr.Subscribe(s.patient(), sub, transport.Serial(func(*transport.Message) {}))
	s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
	if err == nil {
		s.Errorf("subscribed to %q, group %q", sub.Subject, sub.Group)
		r.Close()
	}
}
