package transporttest

import (
	"context"
	"strconv"

	"gomono.dev/transport"
)

var disconnectedCases = []conformanceCase{
	{
		name:     "unavailable",
		contract: "a message that cannot be handed over now is [Unavailable].",
		rule:     "While disconnected, every method returns Unavailable with OutcomeNotDone at once.",
		body: func(s *suite) {
			s.cut()
			m := s.message("a", "x")
			s.wantError(s.tr.Publish(s.patient(), m), transport.Unavailable, transport.OutcomeNotDone)
			_, err := s.tr.Request(s.patient(), m)
			s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
			s.wantCode(s.tr.Ping(s.patient()), transport.Unavailable)
			_, err = s.tr.Subscribe(s.patient(), transport.Subscription{Subject: m.Subject}, transport.Serial(func(*transport.Message) {}))
			s.wantCode(err, transport.Unavailable)
		},
	},
	{
		name:     "not-kept-back",
		contract: "it never holds a message back to send it later",
		rule:     "A message that was rejected while disconnected does not arrive after the reconnect.",
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
		name:     "capabilities",
		contract: "Capabilities returns what this backend currently supports.",
		rule:     "Capabilities is not empty while disconnected, and the same after a reconnect to the same server.",
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
		name:     "subscriptions",
		contract: "Subscribe calls h for the messages that match s until the Receiver is drained or closed.",
		rule:     "Subscriptions are in force again after a reconnect.",
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
		name:     "groups",
		contract: "Publish hands m to every subscription without a group whose pattern matches, and to one member of each group.",
		rule:     "A member of a group is a member again after a reconnect, and only once.",
		body: func(s *suite) {
			o := s.another()
			one := s.join("a", "g")
			s.cut()
			two := o.join("a", "g")
			// A server may count the lost member for a while.
			s.eventually("the other member to get a message", func() bool {
				o.publish("a", "alone")
				o.settle()
				return len(two.messages) > 0
			})
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
		name:     "order",
		contract: "Publish and Request deliver a message to a subscription once or not at all.",
		rule:     "Messages published while the connection comes and goes arrive in order, and none arrives twice.",
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
		name:     "request-waiting",
		contract: "Unavailable with OutcomeUnknown if the backend lost its connection, or the Transport was closed, while it waited.",
		rule:     "A waiting Request ends at once when the connection is lost.",
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
		name:     "requests-after",
		contract: "Request publishes m and waits for the first reply.",
		rule:     "After a reconnect, requests get replies in both directions.",
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
		name:     "no-subscriber-while-away",
		contract: "Unavailable with OutcomeNotDone, at once, if there is no subscriber",
		rule:     "While a subscriber is disconnected, requests from other connections find no subscriber.",
		body: func(s *suite) {
			o := s.another()
			s.serve(transport.Subscription{Subject: s.subject("a")}, "own ")
			s.cut()
			o.eventuallyNoSubscriber("a")
			s.mend()
			if got := o.request("a", "x"); got != "own x" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name:     "drain-while-away",
		contract: "Drain stops new messages from arriving, lets the handler process the messages that had arrived, and returns when its last call has returned.",
		rule:     "Drain handles the messages that had arrived before the connection was lost, and nothing comes after the reconnect.",
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
			o.eventuallyNoSubscriber("a")
		},
	},
	{
		name:     "close-receiver-while-away",
		contract: "Close ends the subscription and drops the queued messages.",
		rule:     "A subscription that was closed while disconnected stays closed after the reconnect.",
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
			o.eventuallyNoSubscriber("a")
		},
	},
	{
		name:     "close-while-away",
		contract: "Every method returns [Unavailable] with [OutcomeNotDone]; Close itself returns nil.",
		rule:     "A Transport can be closed while disconnected.",
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
			o.eventuallyNoSubscriber("a")
		},
	},
	{
		name:     "repeated",
		contract: "The result may change when the backend reconnects",
		rule:     "A connection may be lost any number of times.",
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
