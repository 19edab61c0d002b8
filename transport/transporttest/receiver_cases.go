package transporttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"gomono.dev/transport"
)

var receiverCases = []conformanceCase{
	{
		name:     "close-receiver/ends",
		contract: "Close ends the subscription and drops the queued messages.",
		rule:     "Close ends the subscription.",
		body: func(s *suite) {
			ended, other := s.listen("a"), s.listen("a")
			ended.Close()
			s.publish("a", "after")
			other.want("after")
			s.drainQuietly(ended)
			if n := len(ended.messages); n != 0 {
				s.Errorf("%d messages after Close", n)
			}
		},
	},
	{
		name:     "close-receiver/drops-queued",
		contract: "Close ends the subscription and drops the queued messages. It does not wait for a running handler.",
		rule:     "Close drops the queued messages. It does not wait for a running handler.",
		body: func(s *suite) {
			h := s.held("a", 100)
			s.within("Close", h.Close)
			h.release()
			s.drainQuietly(h)
			h.wantSeen(1)
		},
	},
	{
		name: "close-receiver/twice",
		rule: "Closing again, or after a Drain, does nothing.",
		body: func(s *suite) {
			l, other := s.listen("a"), s.listen("a")
			l.Close()
			l.Close()
			drained := s.listen("a")
			s.drain(drained)
			drained.Close()
			var wg sync.WaitGroup
			concurrent := s.listen("a")
			for range 8 {
				wg.Go(concurrent.Close)
			}
			wg.Wait()
			other.wantOnly("a")
		},
	},
	{
		name:     "close-receiver/resubscribe",
		contract: "When it returns, the subscription is in force",
		rule:     "A closed subscription leaves nothing behind: another one on the same subject is new.",
		body: func(s *suite) {
			for _, body := range numbers(30) {
				l := s.listen("a")
				s.publish("a", body)
				l.want(body)
				l.Close()
				s.wantNoSubscriber("a")
			}
		},
	},
	{
		name:     "drain/idle",
		contract: "returns when its last call has returned.",
		rule:     "Drain returns when the handler's last call has returned.",
		body: func(s *suite) {
			l := s.listen("a")
			s.publish("a", "x")
			l.want("x")
			s.drain(l)
			s.wantNoSubscriber("a")
		},
	},
	{
		name:     "drain/handles-arrived",
		contract: "lets the handler process the messages that had arrived",
		rule:     "Drain lets the handler process the messages that had arrived.",
		body: func(s *suite) {
			h := s.held("a", 100)
			drained := h.drainAside()
			s.eventuallyNoSubscriber("a")
			h.release()
			if err := await(s, drained, "Drain"); err != nil {
				s.Fatal(err)
			}
			h.wantSeen(101)
		},
	},
	{
		name:     "drain/waits",
		contract: "returns when its last call has returned.",
		rule:     "Drain returns when the handler's last call has returned.",
		body: func(s *suite) {
			h := s.held("a", 0)
			drained := h.drainAside()
			s.eventuallyNoSubscriber("a")
			s.rest()
			select {
			case err := <-drained:
				s.Errorf("Drain returned %v while the handler ran", err)
			default:
			}
			h.release()
			if err := await(s, drained, "Drain"); err != nil {
				s.Fatal(err)
			}
			h.wantFirst()
		},
	},
	{
		name:     "drain/nothing-new",
		contract: "A request sent after Drain began finds no subscriber, at once.",
		rule:     "Drain stops new messages from arriving. A request sent after Drain began finds no subscriber, at once.",
		body: func(s *suite) {
			h := s.held("a", 3)
			drained := h.drainAside()
			s.eventuallyNoSubscriber("a")
			for range 10 {
				s.publish("a", "after")
				s.wantNoSubscriber("a")
			}
			h.release()
			if err := await(s, drained, "Drain"); err != nil {
				s.Fatal(err)
			}
			for len(h.bodies) > 0 {
				if <-h.bodies == "after" {
					s.Error("a message published after Drain began was handled")
				}
			}
		},
	},
	{
		name:     "drain/deadline",
		contract: "If ctx ends first, Drain does what Close does and returns DeadlineExceeded or Canceled; the text contains the number of lost messages.",
		rule:     "If ctx ends first, Drain does what Close does and returns DeadlineExceeded; the text contains the number of lost messages.",
		body: func(s *suite) {
			h := s.held("a", 37)
			ctx, cancel := shortly(s)
			defer cancel()
			h.wantLost(h.Drain(ctx), transport.DeadlineExceeded, 37)
		},
	},
	{
		name:     "drain/cancel",
		contract: "If ctx ends first, Drain does what Close does and returns DeadlineExceeded or Canceled; the text contains the number of lost messages.",
		rule:     "If ctx ends first, Drain does what Close does and returns Canceled; the text contains the number of lost messages.",
		body: func(s *suite) {
			h := s.held("a", 41)
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			h.wantLost(h.Drain(ctx), transport.Canceled, 41)
		},
	},
	{
		name:     "drain/twice",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "Every method may be called concurrently, and Drain may be called again.",
		body: func(s *suite) {
			h := s.held("a", 50)
			first, second := h.drainAside(), h.drainAside()
			h.release()
			for _, drained := range []<-chan error{first, second, h.drainAside()} {
				if err := await(s, drained, "Drain"); err != nil {
					s.Error(err)
				}
			}
			h.wantSeen(51)
		},
	},
	{
		name:     "drain/others-go-on",
		contract: "Drain stops new messages from arriving, lets the handler process the messages that had arrived",
		rule:     "Drain affects only its subscription.",
		body: func(s *suite) {
			l, other := s.listen("a"), s.listen("a")
			s.drain(l)
			s.publish("a", "x")
			other.wantOnly("a", "x")
		},
	},
}

// soon is the timeout of a context that should end during a call.
const soon = 20 * time.Millisecond

// shortly returns a context that ends soon.
func shortly(s *suite) (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.Context(), soon)
}

// drainQuietly waits, if the backend can, for the last call of a handler whose
// subscription has already ended. The result of such a Drain is not specified.
func (s *suite) drainQuietly(r transport.Receiver) { _ = r.Drain(s.patient()) }

// probe is the body of requests that test for a subscriber.
const probe = "probe"

// eventuallyNoSubscriber waits until requests find no subscriber. Earlier requests may have
// been accepted, and are abandoned.
func (s *suite) eventuallyNoSubscriber(rest string) {
	s.Helper()
	wait := soon
	for patience := s.patient(); patience.Err() == nil; wait += wait / 10 { // a slow machine needs more
		ctx, cancel := context.WithTimeout(s.Context(), wait)
		_, err := s.tr.Request(ctx, s.message(rest, probe))
		cancel()
		if transport.CodeOf(err) == transport.Unavailable {
			return
		}
	}
	s.Fatalf("gave up waiting for requests on %s to find no subscriber", rest)
}

// held is a subscription whose handler blocks on its first message, while others are
// queued.
type held struct {
	transport.Receiver
	*gate
	s      *suite
	bodies chan string
}

func (s *suite) held(rest string, waiting int) *held {
	s.Helper()
	h := &held{gate: s.newGate(), s: s, bodies: make(chan string, 1000)}
	h.Receiver = s.subscribe(transport.Subscription{Subject: s.subject(rest)}, func(m *transport.Message) {
		h.hold(m)
		if string(m.Body) != probe {
			h.bodies <- string(m.Body)
		}
	})
	witness := s.listen(rest)
	defer witness.Close()
	s.publish(rest, "first")
	await(s, h.entered, "the handler")
	for _, body := range numbers(waiting) {
		s.publish(rest, body)
	}
	witness.want(append([]string{"first"}, numbers(waiting)...)...)
	s.settle()
	return h
}

func (h *held) drainAside() <-chan error {
	drained, ctx := make(chan error, 1), h.s.patient()
	go func() { drained <- h.Drain(ctx) }()
	return drained
}

// wantFirst fails unless the handler has received the first message.
func (h *held) wantFirst() {
	h.s.Helper()
	if got := await(h.s, h.bodies, "the first message"); got != "first" {
		h.s.Errorf("got %q", got)
	}
}

// wantSeen fails unless the handler has received the given number of messages, including
// the first.
func (h *held) wantSeen(n int) {
	h.s.Helper()
	h.wantFirst()
	if got := len(h.bodies) + 1; got != n {
		h.s.Errorf("the handler has received %d messages, want %d", got, n)
	}
}

// wantLost fails unless err reports that n messages were lost, and they were.
func (h *held) wantLost(err error, code transport.Code, n int) {
	h.s.Helper()
	h.s.wantCode(err, code)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d messages", n)) {
		h.s.Errorf("got %v, want it to name %d messages", err, n)
	}
	h.release()
	h.s.drainQuietly(h)
	h.wantSeen(1)
}
