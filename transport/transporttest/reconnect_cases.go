package transporttest

import (
	"context"
	"strconv"

	"gomono.dev/transport"
)

var awayCases = []conformanceCase{
	{
		name: "unavailable",
		seam: "what cannot be handed over now is [Unavailable].",
		rule: "While disconnected, every method returns Unavailable at once, and nothing has been done.",
		body: func(s *suite) {
			s.cut()
			m := s.message("a", "x")
			s.wantError(s.tr.Publish(s.patient(), m), transport.Unavailable, transport.OutcomeNotDone)
			_, err := s.tr.Request(s.patient(), m)
			s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
			s.wantCode(s.tr.Ping(s.patient()), transport.Unavailable)
			_, err = s.tr.Subscribe(s.patient(), transport.Subscription{Subject: m.Subject}, func(*transport.Message) {})
			s.wantCode(err, transport.Unavailable)
		},
	},
	{
		name: "not-kept-back",
		seam: "it never keeps a message back to send it later",
		rule: "What was refused while the connection was away does not arrive when it is back.",
		body: func(s *suite) {
			l := s.another().listen("a")
			s.publish("a", "before")
			l.want("before")
			s.cut()
			for range 3 {
				s.wantError(s.tr.Publish(s.Context(), s.message("a", "away")), transport.Unavailable, transport.OutcomeNotDone)
			}
			s.mend()
			s.publish("a", "after")
			l.want("after")
			l.wantOnly("a")
		},
	},
	{
		name: "capabilities",
		seam: "Capabilities says what this backend can do, now.",
		rule: "Capabilities is not empty while the connection is away, and the same when the same server is back.",
		body: func(s *suite) {
			has := s.Capabilities()
			s.cut()
			if away := s.Capabilities(); away.Name != has.Name {
				s.Errorf("while away, the name is %q, want %q", away.Name, has.Name)
			}
			s.mend()
			s.eventually("the capabilities to be those from before", func() bool { return s.Capabilities() == has })
		},
	},
	{
		name: "subscriptions",
		seam: "Subscribe calls h for the messages that match s until the Receiver is drained or closed.",
		rule: "Subscriptions are in force again when the connection is back.",
		body: func(s *suite) {
			o := s.another()
			a, rest := s.listen("a"), s.listen("b.>")
			for round := range 3 {
				if round > 0 {
					s.cut()
					o.publish("a", "lost")
					o.publish("b.c", "lost")
					o.settle()
					s.mend()
				}
				o.publish("a", "0")
				o.publish("b.c", "1")
				a.want("0")
				rest.want("1")
			}
			a.wantOnly("a")
			rest.wantOnly("b.x")
		},
	},
	{
		name: "groups",
		seam: "Publish hands m to every subscription without a group whose pattern matches, and to one member of each group.",
		rule: "A member of a group is one again when the connection is back: once.",
		body: func(s *suite) {
			o := s.another()
			one := s.join("a", "g")
			s.cut()
			two := o.join("a", "g")
			o.publish("a", "alone")
			two.want("alone")
			s.mend()
			two.Close()
			o.settle()
			for _, body := range numbers(20) {
				o.publish("a", body)
			}
			one.want(numbers(20)...)
			one.wantOnly("a")
		},
	},
	{
		name: "order",
		seam: "Publish and Request deliver a message to a subscription once or not at all.",
		rule: "What is published while a connection comes and goes arrives in order, and none of it twice.",
		body: func(s *suite) {
			o := s.another()
			received := make(chan string, 100_000)
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) { received <- string(m.Body) })
			stop, stopped := make(chan struct{}), make(chan int, 1)
			go func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						stopped <- n
						return
					case <-s.Context().Done():
						return
					default:
					}
					if err := o.tr.Publish(context.Background(), s.message("a", strconv.Itoa(n))); err != nil {
						s.Error(err)
					}
					if n%100 == 99 {
						_ = o.tr.Ping(context.Background())
					}
				}
			}()
			for range 3 {
				await(s, received, "a message")
				s.cut()
				s.mend()
			}
			close(stop)
			end := await(s, stopped, "the publisher")
			o.publish("a", strconv.Itoa(end))
			last := -1
			for last < end {
				n, err := strconv.Atoi(await(s, received, "a message"))
				if err != nil || n <= last {
					s.Fatalf("%d came after %d", n, last)
				}
				last = n
			}
		},
	},
	{
		name: "request-waiting",
		seam: "Unavailable with OutcomeUnknown when the backend lost its connection, or the Transport was closed, while it waited.",
		rule: "A Request that waits when the connection is lost ends at once.",
		body: func(s *suite) {
			asked := make(chan string, 1)
			s.another().subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) { asked <- string(m.Body) })
			failed := make(chan error, 1)
			go func() {
				_, err := s.tr.Request(context.Background(), s.message("a", "x"))
				failed <- err
			}()
			await(s, asked, "the request")
			s.cut()
			s.wantError(await(s, failed, "Request"), transport.Unavailable, transport.OutcomeUnknown)
		},
	},
	{
		name: "requests-after",
		seam: "Request publishes m and waits for the first reply.",
		rule: "When the connection is back, requests are answered, on both sides.",
		body: func(s *suite) {
			o := s.another()
			o.serve(transport.Subscription{Subject: s.subject("a")}, "other ")
			s.serve(transport.Subscription{Subject: s.subject("b"), Group: "g"}, "own ")
			for range 2 {
				if got := s.request("a", "x"); got != "other x" {
					s.Errorf("got %q", got)
				}
				if got := o.request("b", "x"); got != "own x" {
					s.Errorf("got %q", got)
				}
				s.cut()
				s.mend()
			}
		},
	},
	{
		name: "nobody-while-away",
		seam: "Unavailable with OutcomeNotDone, at once, when nobody is subscribed",
		rule: "One whose connection is lost is not there: the requests of others find nobody, until it is back.",
		body: func(s *suite) {
			o := s.another()
			s.serve(transport.Subscription{Subject: s.subject("a")}, "own ")
			s.cut()
			o.eventuallyNobody("a")
			s.mend()
			if got := o.request("a", "x"); got != "own x" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name: "drain-while-away",
		seam: "Drain stops new messages from arriving, lets the handler see those that had arrived, and returns when its last call has returned.",
		rule: "What had arrived when the connection was lost is handled, and nothing comes when it is back.",
		body: func(s *suite) {
			o := s.another()
			h := s.held("a", 10)
			s.cut()
			drained := h.drainAside()
			h.release()
			if err := await(s, drained, "Drain"); err != nil {
				s.Errorf("Drain: %v", err)
			}
			h.wantSeen(11)
			s.mend()
			o.eventuallyNobody("a")
		},
	},
	{
		name: "close-receiver-while-away",
		seam: "Close ends the subscription and drops what waited.",
		rule: "A subscription that was closed while the connection was away does not come back with it.",
		body: func(s *suite) {
			o := s.another()
			r := s.serve(transport.Subscription{Subject: s.subject("a")}, "closed ")
			s.serve(transport.Subscription{Subject: s.subject("b")}, "open ")
			s.cut()
			s.within("Close", r.Close)
			s.mend()
			if got := o.request("b", "x"); got != "open x" {
				s.Errorf("got %q", got)
			}
			o.eventuallyNobody("a")
		},
	},
	{
		name: "close-while-away",
		seam: "Every method returns [Unavailable] with [OutcomeNotDone]; Close itself returns nil.",
		rule: "A Transport can be closed while its connection is away, and is closed then.",
		body: func(s *suite) {
			o := s.another()
			s.serve(transport.Subscription{Subject: s.subject("a")}, "")
			s.cut()
			s.within("Close", func() {
				if err := s.tr.Close(s.patient()); err != nil {
					s.Errorf("Close: %v", err)
				}
			})
			s.line.Mend()
			s.wantError(s.tr.Publish(s.patient(), s.message("a", "x")), transport.Unavailable, transport.OutcomeNotDone)
			s.wantCode(s.tr.Ping(s.patient()), transport.Unavailable)
			o.eventuallyNobody("a")
		},
	},
	{
		name: "again-and-again",
		seam: "The result may change when the backend reconnects",
		rule: "A connection may be lost any number of times.",
		body: func(s *suite) {
			o := s.another()
			l := s.listen("a")
			for _, body := range numbers(10) {
				s.cut()
				s.mend()
				o.publish("a", body)
				l.want(body)
			}
		},
	},
}
