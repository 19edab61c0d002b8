package transporttest

import (
	"bytes"
	"slices"

	"gomono.dev/transport"
)

var ownershipCases = []conformanceCase{
	{
		name: "ownership/sender",
		rule: "The owner of a message may change it as soon as the call that sent it has returned. What was sent stays unchanged.",
		body: func(s *suite) {
			l := s.listen("a")
			m := s.message("a", "0")
			m.Header.Set("Name", "0")
			for _, body := range numbers(10) {
				m.Body[0], m.Header[0].Value = body[0], body
				s.send(m)
			}
			m.Body[0], m.Header[0].Value, m.Subject = 'x', "x", "x"
			for _, want := range numbers(10) {
				got := l.next()
				if string(got.Body) != want || got.Header.Get("Name") != want || got.Subject != l.pattern {
					s.Errorf("got %+v, want %s", got, want)
				}
			}
		},
	},
	{
		name:     "ownership/requester",
		contract: "may change it as soon as the call that sent it has returned. What was sent stays unchanged.",
		rule:     "The owner of a message may change it as soon as Request has returned.",
		body: func(s *suite) {
			received := make(chan *transport.Message, 1)
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				s.reply(m, "")
				received <- m
			})
			m := s.message("a", "x")
			m.Header.Set("Name", "x")
			s.ask(m)
			m.Body[0], m.Header[0].Value = 'y', "y"
			if got := await(s, received, "the request"); string(got.Body) != "x" || got.Header.Get("Name") != "x" {
				s.Errorf("got %+v", got)
			}
		},
	},
	{
		name:     "ownership/responder",
		contract: "may change it as soon as the call that sent it has returned. What was sent stays unchanged.",
		rule:     "The owner of a reply may change it as soon as the call that sent it has returned.",
		body: func(s *suite) {
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				reply := &transport.Message{Subject: m.Reply, Body: []byte("good"), Header: transport.Header{{Name: "A", Value: "good"}}}
				if err := s.tr.Publish(s.Context(), reply); err != nil {
					s.Error(err)
				}
				copy(reply.Body, "evil")
				reply.Header[0].Value = "evil"
			})
			for range 50 {
				if got := s.ask(s.message("a", "")); string(got.Body) != "good" || got.Header.Get("A") != "good" {
					s.Fatalf("got %+v", got)
				}
			}
		},
	},
	{
		name:     "ownership/receivers",
		contract: "no two receivers share a header or a body.",
		rule:     "A message passed to a Handler belongs to that handler alone: no two receivers share a header or a body.",
		body: func(s *suite) {
			listeners := []*listener{s.listen("a"), s.listen("a"), s.listen("*"), s.join("a", "g"), s.join(">", "h")}
			m := s.message("a", "shared?")
			m.Header = transport.Header{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}
			s.send(m)
			for i, l := range listeners {
				got := l.next()
				if string(got.Body) != "shared?" || got.Header.Get("A") != "1" || got.Header.Get("B") != "2" {
					s.Errorf("receiver %d got %+v", i, got)
				}
				clear(got.Body)
				_ = append(got.Body[:0], "!!!!!!!"...)
				got.Header.Set("A", "changed")
				got.Header.Del("B")
				got.Subject, got.Reply = "", ""
			}
			if string(m.Body) != "shared?" || m.Header.Get("A") != "1" {
				s.Errorf("the sender's message became %+v", m)
			}
		},
	},
	{
		name:     "ownership/append",
		contract: "no two receivers share a header or a body.",
		rule:     "A message passed to a Handler belongs to that handler alone: appending to its body changes no other.",
		body: func(s *suite) {
			l := s.listen("a")
			bodies := numbers(100)
			for _, body := range bodies {
				m := s.message("a", body)
				m.Header.Add("N", body)
				s.send(m)
			}
			var got []*transport.Message
			for range bodies {
				m := l.next()
				_ = append(m.Body, bytes.Repeat([]byte("!"), 64)...)
				_ = append(m.Header, transport.Header{{Name: "N", Value: "!"}, {Name: "N", Value: "!"}}...)
				got = append(got, m)
			}
			for i, m := range got {
				if string(m.Body) != bodies[i] || !slices.Equal(m.Header.Values("N"), bodies[i:i+1]) {
					s.Errorf("message %d became %+v", i, m)
				}
			}
		},
	},
}
