package transporttest

import (
	"slices"
	"strconv"

	"gomono.dev/transport"
)

var pendingCases = []conformanceCase{
	{
		name:     "pending/slow-delays-only-itself",
		contract: "A slow h delays only its own subscription",
		rule:     "A slow h delays only its own subscription.",
		body: func(s *suite) {
			slow := s.newGate()
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, slow.hold)
			others := []*listener{s.listen("a"), s.listen(">"), s.join("a", "g"), s.listen("b")}
			s.publish("a", "0")
			await(s, slow.entered, "the slow handler")
			for _, body := range numbers(200)[1:] {
				s.publish("a", body)
			}
			for _, l := range others[:3] {
				l.want(numbers(200)...)
			}
			others[3].wantOnly("b")
		},
	},
	{
		name:     "pending/waits",
		contract: "PendingLimit is the number of messages that may be queued for the handler, in addition to the message that it is handling.",
		rule:     "Up to PendingLimit messages are queued; the default is 65536.",
		body: func(s *suite) {
			const n = 10_000
			slow := s.newGate()
			received := make(chan string, n)
			s.subscribe(transport.Subscription{Subject: s.subject("a"), OnDrop: s.noDrop}, func(m *transport.Message) {
				slow.hold(m)
				received <- string(m.Body)
			})
			for _, body := range numbers(n) {
				s.publish("a", body)
			}
			slow.release()
			for _, want := range numbers(n) {
				if got := await(s, received, "message "+want); got != want {
					s.Fatalf("got %s, want %s", got, want)
				}
			}
		},
	},
	{
		name:     "pending/newest-dropped",
		contract: "up to s.PendingLimit messages are queued, then the newest are dropped and counted.",
		rule:     "Up to PendingLimit messages are queued, then the newest are dropped and counted. OnDrop is called once per episode.",
		body: func(s *suite) {
			o := s.overflowing(10)
			o.overflow("first")
			o.wantKept("first")
		},
	},
	{
		name:     "pending/exactly",
		contract: "PendingLimit is the number of messages that may be queued for the handler, in addition to the message that it is handling.",
		rule:     "Up to PendingLimit messages are queued: exactly as many are kept.",
		body: func(s *suite) {
			for _, pending := range []int{1, 2, 7} {
				o := s.overflowing(pending)
				o.overflow("only")
				o.wantKept("only")
				o.receiver.Close()
			}
		},
	},
	{
		name:     "pending/episodes",
		contract: "once per episode, when its first message is dropped, with the number dropped since the subscription began.",
		rule:     "OnDrop is called once per episode, with the number dropped since the subscription began. An episode ends when the handler has caught up.",
		body: func(s *suite) {
			o := s.overflowing(5)
			var totals []uint64
			for _, episode := range []string{"one", "two", "three"} {
				totals = append(totals, o.overflow(episode))
				o.wantKept(episode)
			}
			s.drain(o.receiver)
			s.rest()
			if !slices.IsSorted(totals) || totals[0] == totals[1] || totals[1] == totals[2] {
				s.Errorf("totals are %v, want them to grow", totals)
			}
			select {
			case total := <-o.drops:
				s.Errorf("OnDrop was called once more, with %d, after %v", total, totals)
			default:
			}
		},
	},
	{
		name:     "pending/request-dropped",
		contract: "DeadlineExceeded or Canceled with OutcomeUnknown if ctx ends first",
		rule:     "A request that was dropped was not rejected: there is a subscriber, and the request waits until ctx ends.",
		body: func(s *suite) {
			o := s.overflowing(1)
			o.overflow("full")
			s.wantError(s.expires(&transport.Message{Subject: o.subject}), transport.DeadlineExceeded, transport.OutcomeUnknown)
		},
	},
	{
		name:     "pending/on-drop-may-publish",
		contract: "OnDrop is called on a goroutine of the transport and must return soon.",
		rule:     "OnDrop is called on a goroutine of the transport, and may publish.",
		body: func(s *suite) {
			l := s.listen("alarm")
			slow := s.newGate()
			s.subscribe(transport.Subscription{
				Subject: s.subject("a"), PendingLimit: 1,
				OnDrop: func(uint64) { _ = s.tr.Publish(s.Context(), s.message("alarm", "dropped")) },
			}, slow.hold)
			for range 20 {
				s.publish("a", "x")
			}
			l.want("dropped")
		},
	},
}

func (s *suite) noDrop(total uint64) { s.Errorf("OnDrop: %d messages were dropped", total) }

// overflowing is a subscription whose handler can be blocked.
type overflowing struct {
	s        *suite
	subject  string
	pending  int
	receiver transport.Receiver
	gates    chan *gate
	received chan string
	drops    chan uint64
	holding  *gate
}

func (s *suite) overflowing(pending int) *overflowing {
	s.Helper()
	o := &overflowing{
		s: s, subject: s.subject("overflow-" + strconv.Itoa(pending)), pending: pending,
		gates: make(chan *gate, 1), received: make(chan string, 1000), drops: make(chan uint64, 1000),
	}
	o.receiver = s.subscribe(transport.Subscription{
		Subject: o.subject, PendingLimit: pending, OnDrop: func(total uint64) { o.drops <- total },
	}, func(m *transport.Message) {
		select {
		case g := <-o.gates:
			g.hold(m)
		default:
		}
		o.received <- string(m.Body)
	})
	return o
}

func (o *overflowing) publish(body string) {
	o.s.Helper()
	o.s.send(&transport.Message{Subject: o.subject, Body: []byte(body)})
}

// overflow blocks the handler with one message and publishes more messages than the queue
// holds. It returns the argument of OnDrop.
func (o *overflowing) overflow(episode string) uint64 {
	o.s.Helper()
	o.holding = o.s.newGate()
	o.gates <- o.holding
	o.publish(episode)
	await(o.s, o.holding.entered, "the handler")
	for _, n := range numbers(o.pending + 20) {
		o.publish(episode + n)
	}
	o.s.settle()
	return await(o.s, o.drops, "OnDrop")
}

// wantKept unblocks the handler, and fails unless it receives exactly the oldest queued
// messages.
func (o *overflowing) wantKept(episode string) {
	o.s.Helper()
	o.holding.release()
	want := []string{episode}
	for _, n := range numbers(o.pending) {
		want = append(want, episode+n)
	}
	for _, body := range want {
		if got := await(o.s, o.received, body); got != body {
			o.s.Fatalf("got %q, want %q", got, body)
		}
	}
	for _, marker := range []string{"caught up", "with all"} { // the second comes when the first has been handled
		o.publish(marker)
		if got := await(o.s, o.received, marker); got != marker {
			o.s.Fatalf("got %q beyond the %d that may be queued", got, o.pending)
		}
	}
}
