package transporttest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gomono.dev/transport"
)

var publishCases = []conformanceCase{
	{
		name: "publish/arrives",
		rule: "A transport carries subjects, headers and bodies unchanged.",
		body: func(s *suite) {
			l := s.listen("a")
			m := s.message("a", "body")
			m.Header.Add("Name", "value")
			s.send(m)
			got := l.next()
			if got.Subject != m.Subject || got.Reply != "" || string(got.Body) != "body" || got.Header.Get("Name") != "value" || len(got.Header) != 1 {
				s.Errorf("got %+v, want %+v", got, m)
			}
		},
	},
	{
		name:     "publish/no-subscriber",
		contract: "without subscribers, it returns nil.",
		rule:     "Without subscribers, Publish returns nil.",
		body:     func(s *suite) { s.publish("unused", "x") },
	},
	{
		name:     "publish/once",
		contract: "Publish and Request deliver a message to a subscription once or not at all.",
		rule:     "Publish delivers a message to a subscription once or not at all.",
		body: func(s *suite) {
			l := s.listen("a")
			s.publish("a", "x")
			l.wantOnly("a", "x")
		},
	},
	{
		name: "publish/order",
		rule: "Messages published by one goroutine on one Transport arrive at each subscription in the order in which they were published.",
		body: func(s *suite) {
			one, two := s.listen("a"), s.listen("a")
			bodies := numbers(5000)
			for _, body := range bodies {
				s.publish("a", body)
			}
			one.want(bodies...)
			two.want(bodies...)
		},
	},
	{
		name:     "publish/order-across-subjects",
		contract: "Messages published by one goroutine on one Transport arrive at each subscription in the order in which they were published.",
		rule:     "Messages published by one goroutine arrive at each subscription in order, even on different subjects that its pattern matches.",
		body: func(s *suite) {
			l := s.listen("*.x")
			bodies := numbers(1000)
			for i, body := range bodies {
				s.publish(strconv.Itoa(i%7)+".x", body)
			}
			l.want(bodies...)
		},
	},
	{
		name:     "publish/order-of-each-publisher",
		contract: "The order between publishers is unspecified.",
		rule:     "The order between publishers is unspecified, but the order of each publisher is kept.",
		body: func(s *suite) {
			const publishers, each = 4, 500
			l := s.listen("a")
			var wg sync.WaitGroup
			for p := range publishers {
				wg.Go(func() {
					for i := range each {
						if err := s.tr.Publish(s.Context(), s.message("a", fmt.Sprintf("%d %d", p, i))); err != nil {
							s.Error(err)
						}
					}
				})
			}
			next := make([]int, publishers)
			for range publishers * each {
				publisher, n, _ := strings.Cut(string(l.next().Body), " ")
				p, _ := strconv.Atoi(publisher)
				if n != strconv.Itoa(next[p]) {
					s.Fatalf("publisher %d: got message %s, want %d", p, n, next[p])
				}
				next[p]++
			}
			wg.Wait()
			l.wantOnly("a")
		},
	},
	{
		name:     "publish/fan-out",
		contract: "Publish hands m to every subscription without a group whose pattern matches",
		rule:     "Publish hands the message to every subscription without a group whose pattern matches.",
		body: func(s *suite) {
			listeners := []*listener{s.listen("a.b"), s.listen("a.b"), s.listen("a.*"), s.listen("*.b"), s.listen("a.>"), s.listen(">")}
			s.publish("a.b", "x")
			for _, l := range listeners {
				l.want("x")
			}
			s.publish("a.b", "y")
			for _, l := range listeners {
				l.want("y")
			}
		},
	},
	{
		name:     "subscribe/in-force",
		contract: "When it returns, the subscription is in force",
		rule:     "When Subscribe returns, the subscription is in force.",
		body: func(s *suite) {
			for i := range 50 {
				name := "service." + strconv.Itoa(i)
				s.serve(transport.Subscription{Subject: s.subject(name)}, "")
				if got := s.request(name, "x"); got != "x" {
					s.Fatalf("got %q", got)
				}
			}
		},
	},
	{
		name:     "subscribe/not-before",
		contract: "messages published afterwards, on this or any other connection to the same server, reach it.",
		rule:     "Messages published afterwards reach the subscription, and messages published before do not.",
		body: func(s *suite) {
			for i := range 20 {
				first := s.listen("a")
				s.publish("a", "before")
				first.want("before")
				second := s.listen("a")
				s.publish("a", strconv.Itoa(i))
				second.want(strconv.Itoa(i))
				first.Close()
				second.Close()
			}
		},
	},
	{
		name: "subscribe/serial",
		rule: "h is called for one message after another, in order, never concurrently.",
		body: func(s *suite) {
			const n = 500
			inside, bodies := 0, []string(nil)
			done := make(chan struct{})
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				inside++
				if inside != 1 { // the race detector checks this too
					s.Errorf("%d calls at once", inside)
				}
				bodies = append(bodies, string(m.Body))
				inside--
				if len(bodies) == n {
					close(done)
				}
			})
			for _, body := range numbers(n) {
				s.publish("a", body)
			}
			await(s, done, "all messages")
			if !slices.Equal(bodies, numbers(n)) {
				s.Errorf("out of order: %q", bodies)
			}
		},
	},
}
