package inproc

import (
	"context"

	"gomono.dev/transport"
)

// turn is a subscription's place among what could happen next. It is guarded by
// the lock of the subscription.
type turn struct {
	proposed bool
	granted  bool
}

// runSteps is run in a Backend that takes steps or asks for faults: the handler
// sees one message at a time, each when it is picked.
func (s *subscription) runSteps() {
	for {
		m := s.nextStep()
		if m == nil {
			return
		}
		s.hand(m)
	}
}

// nextStep waits for a message, and for its turn. It returns nil when the
// subscription has ended.
func (s *subscription) nextStep() *transport.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case len(s.waiting) == 0 && s.ended:
			return nil
		case len(s.waiting) > 0 && (s.turn.granted || s.transport.backend.scheduler == nil):
			s.turn.granted = false
			m := s.waiting[0]
			s.waiting[0] = nil
			s.waiting = s.waiting[1:]
			return m
		case len(s.waiting) > 0 && !s.turn.proposed:
			s.turn.proposed = true
			s.transport.backend.scheduler.propose(&candidate{step: s.step(s.waiting[0]), choices: s.choices, take: s.take})
		}
		s.arrived.Wait()
	}
}

func (s *subscription) step(m *transport.Message) Step {
	return Step{Action: Deliver, Transport: s.transport.number, Subject: m.Subject, Receiver: s.number, Group: s.group}
}

// choices says whether there is still something to deliver.
func (s *subscription) choices() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.turn.proposed = false
		return 0
	}
	return 1
}

func (s *subscription) take(int) Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn = turn{granted: true}
	s.arrived.Signal()
	return s.step(s.waiting[0])
}

// hand hands a message to the handler, as often as the verdict says.
func (s *subscription) hand(m *transport.Message) {
	t, ctx, step := s.transport, context.Background(), s.step(m)
	before, waited := t.ask(ctx, &step, Before, m)
	if waited {
		_ = t.backend.turn(ctx, step, m.Body) // its context does not end
	}
	for range before.times() {
		if t.closed.Load() {
			return
		}
		own := m
		if before.Twice {
			own = m.Clone()
		}
		s.handler(own)
	}
	if _, waited := t.ask(ctx, &step, After, m); waited {
		_ = t.backend.turn(ctx, step, m.Body)
	}
}
