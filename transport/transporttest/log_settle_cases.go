package transporttest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"gomono.dev/transport"
)

// aWhile is a short delay in a case. It is long enough that events that do not wait for
// it come before.
const aWhile = 250 * time.Millisecond

var settleCases = []conformanceCase{
	{
		name:     "settle/done",
		contract: "Ack marks the message as handled for the group.",
		rule:     "Ack marks the message as handled. Terminate marks it as settled although it was not handled.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
			m := l.consume(transport.ConsumeConfig{Group: group})
			l.put("a", "0", "1", "2")
			m.handles("0")
			s.terminate(m.take("1", 1))
			if err := m.take("2", 1).Terminate(s.Context(), strings.Repeat("a long reason\n", 1000)); err != nil {
				s.Error(err)
			}
			s.drainMember(m)
			s.pass(transport.MinAckWait * 3 / 2)
			m = l.consume(transport.ConsumeConfig{Group: group})
			m.handlesOnly(l, "a")
		},
	},
	{
		name:     "settle/attempts",
		contract: "An attempt is a delivery. A delivery whose member died counts, and one that was handed back (Release, Drain, Close) does not.",
		rule:     "An attempt is a delivery: Attempt is 1 for the first.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			g, h := l.consume(of("g", 1)), l.consume(of("h", 1))
			l.put("a", "0")
			for attempt := range 5 {
				s.nak(g.take("0", attempt+1), 0)
			}
			h.handles("0")
			s.ack(g.take("0", 6))
			g.handlesOnly(l, "a")
		},
	},
	{
		name:     "settle/release",
		contract: "Release hands the message back. It is delivered again at once, to any member, and this delivery does not count as an attempt.",
		rule:     "A released message is delivered again at once, to any member. The delivery does not count as an attempt, even if repeated.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 1))
			l.put("a", "0")
			for range 3 {
				s.release(m.take("0", 1))
			}
			s.nak(m.take("0", 1), 0)
			s.release(m.take("0", 2))
			d := m.take("0", 2)
			s.drainOf(m, d)
			m = l.consume(of("g", 1))
			s.nak(m.take("0", 2), 0)
			s.ack(m.take("0", 3))
			m.handlesOnly(l, "a")
		},
	},
	{
		name:     "settle/release-ordered",
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "A message released by a member of an ordered group comes before later ones.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", Ordered: true}
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{group}})
			m := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 3})
			l.put("a", "0", "1")
			s.release(m.take("0", 1))
			m.handles("0", "1")
		},
	},
	{
		name:     "settle/nak-first",
		contract: "Within a group, first deliveries happen in the order of sequences; redeliveries that are due come before them.",
		rule:     "Redeliveries that are due come before first deliveries.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0", "1")
			m := l.consume(of("g", 2))
			for _, d := range m.takes("0", "1") {
				s.nak(d, aWhile)
			}
			s.drainMember(m) // the backend has the settlements
			s.pass(4 * aWhile)
			l.put("a", "2", "3")
			m = l.consume(of("g", 1))
			m.gets(2, "0", "1")
			m.handlesOnly(l, "a", "2", "3")
		},
	},
	{
		name:     "settle/nak-delay",
		contract: "Nak requests a redelivery, to any member, after delay.",
		rule:     "Nak requests a redelivery after delay. A message is never redelivered before its delay has passed.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 2))
			l.put("a", "0")
			s.ack(m.naksBeside(l, []string{"a"}, m.take("0", 1)))
		},
	},
	{
		name:     "settle/nak-delays",
		contract: "Nak requests a redelivery, to any member, after delay.",
		rule:     "Nak requests a redelivery after delay, separately for each message.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 4))
			l.put("a", "0", "1", "2", "3")
			held := m.takes("0", "1", "2", "3")
			delays := map[string]time.Duration{"0": 2 * aWhile, "1": aWhile, "3": 0}
			begun := time.Now()
			s.nak(held[0], delays["0"])
			s.nak(held[1], delays["1"])
			s.terminate(held[2])
			s.nak(held[3], delays["3"])
			for len(delays) > 0 {
				d := m.next()
				delay, owed := delays[string(d.Body)]
				if took := time.Since(begun); !owed || d.Attempt != 2 || took < delay {
					s.Errorf("%q came at attempt %d after %v, want one of %v", d.Body, d.Attempt, took, delays)
				}
				delete(delays, string(d.Body))
				s.ack(d)
			}
		},
	},
	{
		name: "settle/once",
		rule: "Only the first call of Ack, Nak, Release or Terminate counts; later ones return FailedPrecondition and do nothing.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 1))
			settle := map[string]func(*transport.Delivery) error{
				"Ack":       func(d *transport.Delivery) error { return d.Ack(s.Context()) },
				"Nak":       func(d *transport.Delivery) error { return d.Nak(s.Context(), 0) },
				"Release":   func(d *transport.Delivery) error { return d.Release(s.Context()) },
				"Terminate": func(d *transport.Delivery) error { return d.Terminate(s.Context(), "") },
			}
			for first, do := range settle {
				l.put("a", first)
				d := m.take(first, 1)
				if err := do(d); err != nil {
					s.Errorf("%s: %v", first, err)
				}
				if attempt := map[string]int{"Nak": 2, "Release": 1}[first]; attempt > 0 {
					s.ack(m.take(first, attempt))
				}
				for second, again := range settle {
					if err := again(d); err == nil {
						s.Errorf("%s after %s returns nil", second, first)
					} else {
						s.wantError(err, transport.FailedPrecondition, transport.OutcomeNotDone)
					}
				}
				m.handlesOnly(l, "a")
			}
		},
	},
	{
		name:     "settle/room-once",
		contract: "Only the first call of Ack, Nak, Release or Terminate counts; later ones return FailedPrecondition and do nothing.",
		rule:     "Only the first settlement counts: a second one makes no room for another delivery.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", numbers(6)...)
			m := l.consume(of("g", 2))
			held := m.takes("0", "1")
			s.ack(held[0])
			for range 3 {
				if err := held[0].Ack(s.Context()); err == nil {
					s.Error("a second Ack returns nil")
				}
			}
			held = append(held[1:], m.take("2", 1))
			m.idle()
			s.ack(held...)
			m.handles("3", "4", "5")
		},
	},
	{
		name:     "settle/in-the-handler",
		contract: "h is called for one delivery after another, never concurrently. It may pass work to other goroutines and settle from there.",
		rule:     "h may settle a delivery before it returns.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			got := make(chan string, 10)
			l.handle(of("g", 1), func(d *transport.Delivery) {
				if d.Attempt == 1 {
					s.nak(d, 0)
				} else {
					s.ack(d)
				}
				got <- string(d.Body)
			})
			for _, body := range numbers(3) {
				l.put("a", body)
				for range 2 {
					if d := await(s, got, body); d != body {
						s.Errorf("got %q, want %q", d, body)
					}
				}
			}
		},
	},
	{
		name:     "settle/not-by-returning",
		contract: "It may pass work to other goroutines and settle from there.",
		rule:     "h may settle a delivery from another goroutine: the return of h does not settle it.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 1))
			l.put("a", "0", "1")
			d := m.take("0", 1)
			m.idle()
			l.holds("0", "1")
			s.ack(d)
			m.handles("1")
			l.eventuallyHolds(0)
		},
	},
}

var leaveCases = []conformanceCase{
	{
		name:     "leave/drain",
		contract: "Drain stops new deliveries, hands back at once those that were not passed to h, waits until those passed to h are settled, and until the backend has the settlements.",
		rule:     "Drain stops new deliveries, hands back at once those that were not passed to h, and waits until those passed to h are settled.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			const n = 10
			seen := make(chan *transport.Delivery, n)
			returns := s.newGate()
			one := l.handle(of("g", n), func(d *transport.Delivery) {
				seen <- d
				<-returns.open
			})
			l.put("a", numbers(n)...)
			first := await(s, seen, "the first delivery") // and others wait behind it, if the backend fetches ahead
			two := l.consume(of("g", n))
			drained := make(chan error, 1)
			ctx := s.patient()
			go func() { drained <- one.Drain(ctx) }()
			got := make(map[string]bool)
			for range n - 1 {
				d := two.next()
				got[string(d.Body)] = true
				s.ack(d)
			}
			if len(got) != n-1 || got["0"] {
				s.Errorf("the other member got %v, want all but 0", got)
			}
			returns.release()
			two.idle()
			select {
			case err := <-drained:
				s.Fatalf("Drain returned with %v before the deliveries of the handler were settled", err)
			default:
			}
			s.ack(first)
			if err := await(s, drained, "Drain"); err != nil {
				s.Errorf("Drain: %v", err)
			}
			if len(seen) > 0 {
				s.Errorf("the member that drains got %d more", len(seen))
			}
			two.handlesOnly(l, "a")
		},
	},
	{
		name:     "leave/drain-backlog",
		contract: "Drain stops new deliveries, hands back at once those that were not passed to h, waits until those passed to h are settled",
		rule:     "Drain loses nothing: deliveries not passed to h go to others, and those passed to h are settled once.",
		body: func(s *suite) {
			const n, rounds = 150, 6
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage, Groups: []transport.GroupConfig{{Name: "g"}}})
			a := s.appending(l)
			for _, body := range numbers(n) {
				a.begin(s.message("a", body), transport.AppendOptions{})
			}
			a.results()
			settled := make(chan string, 2*n)
			handled := make(chan struct{}, 2*n)
			var wg sync.WaitGroup
			for round := range rounds {
				r := l.handle(of("g", 8), func(d *transport.Delivery) {
					wg.Go(func() {
						s.ack(d)
						settled <- string(d.Body)
						handled <- struct{}{}
					})
				})
				for range 10 * min(round, 1) {
					await(s, handled, "a few deliveries")
				}
				if err := r.Drain(s.patient()); err != nil {
					s.Errorf("Drain: %v", err)
				}
			}
			s.within("the handlers", wg.Wait)
			m := l.consume(of("g", 1))
			for range n - len(settled) {
				d := m.next()
				s.ack(d)
				settled <- string(d.Body)
			}
			l.eventuallyLags("g", 0)
			seen := make(map[string]int)
			for len(settled) > 0 {
				seen[<-settled]++
			}
			for _, body := range numbers(n) {
				if seen[body] != 1 {
					s.Errorf("%s was settled %d times", body, seen[body])
				}
			}
		},
	},
	{
		name:     "leave/drain-ended",
		contract: "If ctx ends first, Drain does what Close does and returns DeadlineExceeded or Canceled; the text contains the number of lost messages.",
		rule:     "If ctx ends first, Drain does what Close does and returns DeadlineExceeded; the text contains the number of messages that were handed back.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			one := l.consume(of("g", 3))
			l.put("a", "0", "1", "2")
			held := one.takes("0", "1", "2")
			s.ack(held[0])
			two := l.consume(of("g", 3))
			ctx, cancel := shortly(s)
			defer cancel()
			err := one.Drain(ctx)
			s.wantCode(err, transport.DeadlineExceeded)
			if err == nil || !strings.Contains(err.Error(), "2") {
				s.Errorf("%v does not report that 2 were handed back", err)
			}
			two.gets(1, "1", "2")
			s.wantError(held[1].Ack(s.Context()), transport.FailedPrecondition, transport.OutcomeNotDone)
		},
	},
	{
		name: "leave/close",
		rule: "Close hands back all unsettled deliveries. A message that is handed back is delivered again at once, and the delivery does not count as an attempt.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			one := l.consume(of("g", 3))
			l.put("a", "0", "1", "2")
			held := one.takes("0", "1", "2")
			s.ack(held[1])
			s.within("Close", one.Close)
			for _, err := range []error{held[0].Ack(s.Context()), held[2].Nak(s.Context(), time.Hour), held[0].Terminate(s.Context(), "")} {
				s.wantError(err, transport.FailedPrecondition, transport.OutcomeNotDone)
			}
			two := l.consume(of("g", 1))
			two.gets(1, "0", "2")
			two.handlesOnly(l, "a")
			s.within("a second Close", one.Close)
			s.within("Drain", func() { _ = one.Drain(context.Background()) })
		},
	},
	{
		name:     "leave/close-does-not-wait",
		contract: "It does not wait for a running handler.",
		rule:     "Close does not wait for a running handler. Its delivery is handed back.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			g := s.newGate()
			r := l.handle(of("g", 3), func(d *transport.Delivery) { g.hold(&d.Message) })
			l.put("a", "0")
			await(s, g.entered, "the handler")
			s.within("Close", r.Close)
			two := l.consume(of("g", 1))
			s.ack(two.handedBack("0"))
			g.release()
			two.handlesOnly(l, "a")
		},
	},
	{
		name:     "leave/no-more",
		contract: "calls h for its deliveries until the Receiver is drained or closed.",
		rule:     "Consume calls h until the Receiver is drained or closed. OnEnd is not called then.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			drained, closed := l.consume(of("g", 5)), l.consume(of("g", 5))
			s.drainMember(drained)
			closed.Close()
			l.put("a", "0", "1", "2")
			m := l.consume(of("g", 1))
			m.gets(1, "0", "1", "2")
			m.handlesOnly(l, "a")
			for _, ended := range []*member{drained, closed} {
				ended.idle()
				if len(ended.ended) > 0 {
					s.Errorf("OnEnd was called with %v", <-ended.ended)
				}
			}
		},
	},
	{
		name:     "leave/deleted",
		contract: "If the group is deleted while it is consumed, the Receiver ends and c.OnEnd receives the reason.",
		rule:     "If the group is deleted while it is consumed, the Receiver ends and OnEnd receives NotFound.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			g1, g2, h := l.consume(of("g", 2)), l.consume(of("g", 2)), l.consume(of("h", 1))
			l.put("a", "0")
			h.handles("0")
			var held *transport.Delivery
			select {
			case held = <-g1.got:
			case held = <-g2.got:
			case <-s.patient().Done():
				s.Fatal("gave up waiting for a delivery to group g")
			}
			if err := l.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			for _, m := range []*member{g1, g2} {
				s.wantCode(await(s, m.ended, "OnEnd"), transport.NotFound)
			}
			l.put("a", "1")
			h.handles("1")
			if len(h.ended) > 0 || len(g1.ended) > 0 || len(g2.ended) > 0 {
				s.Error("OnEnd was called once more")
			}
			s.within("Drain and Close", func() {
				g1.Close()
				g2.Close()
				_ = g1.Drain(context.Background())
			})
			_ = held.Ack(s.Context()) // the message is for no group any more
			if groups, err := l.Groups(s.patient()); err != nil || len(groups) != 1 {
				s.Errorf("got groups %+v, %v, want h", groups, err)
			}
		},
	},
	{
		name: "leave/delete-group",
		rule: "DeleteGroup permanently removes a durable group and its position. It returns NotFound if the group does not exist.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0", "1")
			m := l.consume(of("g", 1))
			m.handles("0", "1")
			s.drainMember(m)
			s.wantError(l.DeleteGroup(s.patient(), "h"), transport.NotFound, transport.OutcomeNotDone)
			if err := l.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			s.wantError(l.DeleteGroup(s.patient(), "g"), transport.NotFound, transport.OutcomeNotDone)
			l.consume(of("g", 1)).handles("0", "1")
		},
	},
}

// gets acknowledges the next deliveries, which are the given messages at the given
// attempt, in any order: redeliveries have no specified order.
func (m *member) gets(attempt int, bodies ...string) {
	m.s.Helper()
	for len(bodies) > 0 {
		d := m.next()
		i := slices.Index(bodies, string(d.Body))
		if i < 0 || d.Attempt != attempt {
			m.s.Fatalf("group %s got %q at attempt %d, want one of %q at %d", m.group, d.Body, d.Attempt, bodies, attempt)
		}
		bodies = slices.Delete(bodies, i, i+1)
		m.s.ack(d)
	}
}
