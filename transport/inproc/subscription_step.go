package inproc

import (
	"context"

	"gomono.dev/transport"
)

// turn is a subscription's place among what could happen next. It is guarded by
// the lock of the intake.
type turn struct {
	proposed bool
	granted  bool
}

// takeStep takes a message in a Backend that takes steps or asks for faults: one at a
// time, each when it is picked.
func (s *subscription) takeStep(m *transport.Message) transport.Work {
	s.hand(m)
	return nil
}

// isNext reports whether the first message that waits was picked, and proposes it.
func (s *subscription) isNext(waiting []*transport.Message) bool {
	switch {
	case s.turn.granted || s.transport.backend.scheduler == nil:
		s.turn.granted = false
		return true
	case !s.turn.proposed:
		s.turn.proposed = true
		s.transport.backend.scheduler.propose(&candidate{step: s.step(waiting[0]), choices: s.choices, take: s.take})
	}
	return false
}

func (s *subscription) step(m *transport.Message) Step {
	return Step{Action: Deliver, Transport: s.transport.number, Subject: m.Subject, Receiver: s.number, Group: s.group}
}

// choices says whether there is still something to deliver.
func (s *subscription) choices() (n int) {
	s.intake.Look(func(waiting []*transport.Message) {
		if n = min(len(waiting), 1); n == 0 {
			s.turn.proposed = false
		}
	})
	return n
}

func (s *subscription) take(int) (step Step) {
	s.intake.Look(func(waiting []*transport.Message) {
		s.turn = turn{granted: true}
		step = s.step(waiting[0])
	})
	s.intake.Wake()
	return step
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
		if before.Duplicate {
			own = m.Clone()
		}
		if w := s.begin(own); w != nil {
			go w.Run()
		}
	}
	if _, waited := t.ask(ctx, &step, After, m); waited {
		_ = t.backend.turn(ctx, step, m.Body)
	}
}
