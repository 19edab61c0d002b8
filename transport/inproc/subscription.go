package inproc

import (
	"context"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
	"gomono.dev/transport/internal/intake"
)

// subscription is an intake with a place in the router.
type subscription struct {
	transport *Transport
	number    uint64 // number among the subscriptions of its Transport
	inForce   bool   // guarded by the lock of the router
	pattern   string
	group     string
	handle    transport.Handler
	intake    *intake.Intake[*transport.Message]
	picked    bool // an engine has picked the next message; guarded by the lock of the intake
}

func newSubscription(t *Transport, s transport.Subscription, h transport.Handler) *subscription {
	sub := &subscription{transport: t, pattern: s.Subject, group: s.Group, handle: h}
	sub.intake = intake.New(s.PendingLimit, s.OnDrop, sub.take)
	if t.backend.engine != nil {
		sub.intake.Gate = sub.isNext
	}
	return sub
}

// push adds a copy of m, or drops it if the queue is full. It returns false if the
// subscription has ended.
func (s *subscription) push(m *transport.Message) bool { return s.intake.Put(m.Clone()) }

// take calls the handler for a message.
func (s *subscription) take(m *transport.Message) transport.Work {
	op, err := s.transport.begin(context.Background(), engine.Deliver, m, s)
	if err != nil {
		return nil
	}
	return hand(s.transport, op, m, (*transport.Message).Clone, s.handle)
}

// isNext reports whether the first message in the intake may be taken now.
func (s *subscription) isNext() bool {
	next := s.picked || !s.transport.backend.scheduled(s)
	s.picked = false
	return next
}

// Lock implements [engine.Source].
func (s *subscription) Lock() { s.intake.Lock() }

// Unlock implements [engine.Source].
func (s *subscription) Unlock() { s.intake.Unlock() }

// Next implements [engine.Source].
func (s *subscription) Next() (step engine.Step, choices int) {
	waiting := s.intake.Waiting()
	if len(waiting) == 0 {
		return step, 0
	}
	return s.transport.step(engine.Deliver, waiting[0], s), 1
}

// Take implements [engine.Source].
func (s *subscription) Take(int) engine.Step {
	s.picked = true
	s.intake.Wake()
	step, _ := s.Next()
	return step
}

// Drain implements [transport.Receiver]. Nil means that the handler has processed every
// message that had arrived. If a Close came first, Drain returns Unavailable with the
// number of lost messages.
func (s *subscription) Drain(ctx context.Context) error {
	s.end()
	select {
	case <-s.intake.Done():
	case <-ctx.Done():
		lost := s.abandon()
		return transport.ContextError(ctx, transport.OutcomeNotDone,
			"drain of the subscription to %q: %w, %d messages were lost", s.pattern, ctx.Err(), lost)
	}
	if lost := s.abandon(); lost > 0 {
		return transport.Errorf(transport.Unavailable, transport.OutcomeNotDone,
			"drain of the subscription to %q: it was closed, %d messages were lost", s.pattern, lost)
	}
	return nil
}

// Close implements [transport.Receiver].
func (s *subscription) Close() {
	s.end()
	s.abandon()
}

// stopReceiving implements receiver.
func (s *subscription) stopReceiving() { s.end() }

// kill implements receiver. There is nothing to hand back.
func (s *subscription) kill() { s.Close() }

// end stops new messages from arriving. It leaves the router first, so that a publisher
// that is rejected here finds another member of the group there.
func (s *subscription) end() {
	s.transport.backend.router.remove(s)
	s.intake.End()
}

// abandon drops the queued messages, after end was called. It returns the number of
// messages dropped by this call or an earlier one.
func (s *subscription) abandon() int {
	s.transport.unregister(s)
	return s.intake.Discard()
}
