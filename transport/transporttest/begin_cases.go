package transporttest

import (
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

var beginCases = []conformanceCase{
	{
		name:     "begin/order",
		contract: "h is called for one message after another, in order, never concurrently.",
		rule:     "The handler is called for one message after another, in order, never concurrently.",
		body: func(s *suite) {
			const n = 500
			var inside atomic.Int32
			seen := make(chan string, n)
			s.handle(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) transport.Work {
				if inside.Add(1) > 1 {
					s.Error("the handler is called concurrently with itself")
				}
				defer inside.Add(-1)
				runtime.Gosched() // so that a premature call meets this one
				seen <- string(m.Body)
				if len(seen)%3 == 0 {
					return nil
				}
				return transport.WorkFunc(func() { s.reply(m, "") })
			})
			bodies := numbers(n)
			for _, body := range bodies {
				s.publish("a", body)
			}
			for _, body := range bodies {
				if got := await(s, seen, "the handler"); got != body {
					s.Fatalf("the handler got %q, want %q", got, body)
				}
			}
		},
	},
	{
		name:     "begin/beside",
		contract: "The work runs concurrently with the calls for later messages",
		rule:     "The work that the handler returns runs concurrently with the calls for later messages, and with their work.",
		body: func(s *suite) {
			const n = 50
			all := make(chan struct{})
			var left sync.WaitGroup
			left.Add(n)
			done := make(chan string, n)
			s.handle(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) transport.Work {
				return transport.WorkFunc(func() {
					left.Done()
					<-all
					done <- string(m.Body)
				})
			})
			for _, body := range numbers(n) {
				s.publish("a", body)
			}
			s.within("all work at once", left.Wait)
			close(all)
			got := make([]string, n)
			for i := range got {
				got[i] = await(s, done, "what is left")
			}
			if slices.Sort(got); len(slices.Compact(got)) != n {
				s.Errorf("some work ran twice: %q", got)
			}
		},
	},
	{
		name:     "begin/once",
		contract: "Handler handles one message and returns the remaining work on it, or nil.",
		rule:     "The work that the handler returns runs once for every message that came before Drain.",
		body: func(s *suite) {
			const publishers, each = 4, 500
			var done [publishers * each]atomic.Int32
			var left sync.WaitGroup
			left.Add(len(done))
			r := s.handle(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) transport.Work {
				n, _ := strconv.Atoi(string(m.Body))
				return transport.WorkFunc(func() {
					if done[n].Add(1) == 1 {
						left.Done()
					}
				})
			})
			var wg sync.WaitGroup
			for p := range publishers {
				wg.Go(func() {
					for i := range each {
						s.publish("a", strconv.Itoa(p*each+i))
					}
				})
			}
			wg.Wait()
			s.settle()
			s.drain(r)
			s.within("the work on all messages", left.Wait)
			for n := range done {
				if times := done[n].Load(); times != 1 {
					s.Errorf("message %d: %d times", n, times)
				}
			}
		},
	},
	{
		name:     "begin/drain",
		contract: "Drain and Close do not wait for the work",
		rule:     "Drain waits for the last call of the handler, and not for the work.",
		body: func(s *suite) {
			g := s.newGate()
			var begun atomic.Int32
			r := s.handle(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) transport.Work {
				begun.Add(1)
				return transport.WorkFunc(func() { g.hold(m) })
			})
			for _, body := range numbers(10) {
				s.publish("a", body)
			}
			await(s, g.entered, "the work on a message")
			s.settle()
			s.within("Drain", func() { s.drainQuietly(r) })
			if n := begun.Load(); n != 10 {
				s.Errorf("the handler was called for %d messages before Drain returned, want 10", n)
			}
			s.wantNoSubscriber("a")
		},
	},
}
