package inproc

import (
	"cmp"
	"context"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/intake"
)

// subscription is an intake with a place in the router.
type subscription struct {
	transport *Transport
	number    uint64 // among those of its Transport
	inForce   bool   // guarded by the lock of the router
	pattern   string
	group     string
	begin     func(*transport.Message) transport.Work
	intake    *intake.Intake[*transport.Message]
	turn      turn // of a Backend that takes steps
}

func newSubscription(t *Transport, s transport.Subscription, h transport.Handler) *subscription {
	sub := &subscription{transport: t, pattern: s.Subject, group: s.Group, begin: s.Beginner(h)}
	take := sub.begin
	if t.backend.watched {
		take = sub.takeStep
	}
	sub.intake = intake.New(cmp.Or(s.Pending, transport.DefaultPending), s.OnDrop, take)
	if t.backend.watched {
		sub.intake.Turn = sub.isNext
	}
	return sub
}

// validate reports, as an InvalidArgument, what cannot be subscribed.
func validate(s transport.Subscription, h transport.Handler) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if h == nil && s.Begin == nil {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "subscription to %q has no handler", s.Subject)
	}
	return nil
}

// push adds a copy of m, or drops it when too many wait. It reports false when
// the subscription has ended.
func (s *subscription) push(m *transport.Message) bool { return s.intake.Put(m.Clone()) }

// Drain implements [transport.Receiver]. Nil means that the handler has seen
// everything that had arrived: where a Close was faster, Drain returns Unavailable
// with the number of messages that were lost.
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

// silence implements receiver.
func (s *subscription) silence() { s.end() }

// kill implements receiver: there is nothing to hand back.
func (s *subscription) kill() { s.Close() }

// end lets nothing more arrive. The router goes first, so that a publisher that
// is refused here finds another member of the group there.
func (s *subscription) end() {
	s.transport.backend.router.remove(s)
	s.intake.End()
}

// abandon drops what the handler has not seen, once end was called, and returns
// how many messages were dropped by this call or one before it.
func (s *subscription) abandon() int {
	s.transport.disown(s)
	return s.intake.Discard()
}
