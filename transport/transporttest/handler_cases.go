package transporttest

import (
	"context"
	"strconv"

	"gomono.dev/transport"
)

var handlerCases = []conformanceCase{
	{
		name:     "handler/publishes",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "A handler may use its Transport to publish, even to its subscription.",
		body: func(s *suite) {
			l := s.listen("count.>")
			s.subscribe(transport.Subscription{Subject: s.subject("count.*")}, func(m *transport.Message) {
				if n, _ := strconv.Atoi(string(m.Body)); n < 100 {
					if err := s.tr.Publish(s.Context(), s.message("count.up", strconv.Itoa(n+1))); err != nil {
						s.Error(err)
					}
				}
			})
			s.publish("count.up", "0")
			l.want(numbers(101)...)
		},
	},
	{
		name:     "handler/requests",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "A handler may use its Transport to request from another subscription.",
		body: func(s *suite) {
			s.serve(transport.Subscription{Subject: s.subject("inner")}, "inner ")
			s.subscribe(transport.Subscription{Subject: s.subject("outer")}, func(m *transport.Message) {
				inner, err := s.tr.Request(s.Context(), s.message("inner", string(m.Body)))
				if err != nil {
					s.Error(err)
					return
				}
				s.reply(m, "outer "+string(inner.Body))
			})
			if got := s.request("outer", "x"); got != "outer inner x" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name:     "handler/subscribes",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "A handler may use its Transport to subscribe.",
		body: func(s *suite) {
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				_, err := s.tr.Subscribe(s.Context(), transport.Subscription{Subject: s.subject("made")}, transport.Serial(func(m *transport.Message) { s.reply(m, "made") }))
				if err != nil {
					s.Error(err)
				}
				s.reply(m, "")
			})
			s.request("a", "")
			if got := s.request("made", ""); got != "made" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name:     "handler/closes-receiver",
		contract: "Close ends the subscription and drops the queued messages. It does not wait for a running handler.",
		rule:     "Close does not wait for a running handler, so a handler may close its Receiver: nothing comes after that message.",
		body: func(s *suite) {
			receiver := make(chan transport.Receiver, 1)
			seen := make(chan string, 100)
			r := s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				(<-receiver).Close()
				seen <- string(m.Body)
			})
			for _, body := range numbers(10) {
				s.publish("a", body)
			}
			receiver <- r
			await(s, seen, "the handler")
			s.wantNoSubscriber("a")
			s.drainQuietly(r)
			if n := len(seen); n != 0 {
				s.Errorf("%d messages after Close", n)
			}
		},
	},
	{
		name:     "handler/closes-transport",
		contract: "Close closes every subscription as [Receiver.Close] does",
		rule:     "Close closes every subscription as Receiver.Close does, so a handler may close the Transport.",
		body: func(s *suite) {
			closed := make(chan error, 1)
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(*transport.Message) {
				closed <- s.tr.Close(context.Background())
			})
			s.publish("a", "")
			if err := await(s, closed, "Close"); err != nil {
				s.Error(err)
			}
		},
	},
	{
		name:     "handler/drains-others",
		contract: "A handler must not drain its own subscription: it would wait for itself.",
		rule:     "A handler may use its Transport to drain another subscription.",
		body: func(s *suite) {
			other := s.listen("other")
			s.publish("other", "x")
			done := make(chan error, 1)
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(*transport.Message) { done <- other.Drain(s.Context()) })
			s.publish("a", "")
			if err := await(s, done, "Drain"); err != nil {
				s.Error(err)
			}
			other.want("x")
		},
	},
}
