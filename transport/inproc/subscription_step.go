package inproc

import (
	"context"

	"gomono.dev/transport"
)

// proposal is the state of a subscription's proposal to the scheduler. The lock of the intake
// guards it.
type proposal struct {
	proposed bool
	granted  bool
}

// takeStep handles a message in a Backend with steps or faults: one at a time, each when
// it is picked.
func (s *subscription) takeStep(m *transport.Message) transport.Work {
	s.hand(m)
	return nil
}

// isNext reports whether the first queued message was picked, and proposes it otherwise.
func (s *subscription) isNext(waiting []*transport.Message) bool {
	switch {
	case s.proposal.granted || s.transport.backend.scheduler == nil:
		s.proposal.granted = false
		return true
	case !s.proposal.proposed:
		s.proposal.proposed = true
		s.transport.backend.scheduler.propose(&candidate{step: s.step(waiting[0]), choices: s.choices, take: s.take})
	}
	return false
}

func (s *subscription) step(m *transport.Message) Step {
	return Step{Action: Deliver, Transport: s.transport.number, Subject: m.Subject, Receiver: s.number, Group: s.group}
}

// choices returns 1 if a message is queued, and 0 otherwise.
func (s *subscription) choices() (n int) {
	s.intake.Look(func(waiting []*transport.Message) {
		if n = min(len(waiting), 1); n == 0 {
			s.proposal.proposed = false
		}
	})
	return n
}

func (s *subscription) take(int) (step Step) {
	s.intake.Look(func(waiting []*transport.Message) {
		s.proposal = proposal{granted: true}
		step = s.step(waiting[0])
	})
	s.intake.Wake()
	return step
}

// hand passes a message to the handler, as often as the fault specifies.
func (s *subscription) hand(m *transport.Message) {
	t, ctx, step := s.transport, context.Background(), s.step(m)
	before, waited := t.ask(ctx, &step, Before, m)
	if waited {
		_ = t.backend.awaitStep(ctx, step, m.Body) // this context does not end
	}
	for range before.times() {
		if t.closed.Load() {
			return
		}
		own := m
		if before.Duplicate {
			own = m.Clone()
		}
		if w := s.handle(own); w != nil {
			go w.Run()
		}
	}
	if _, waited := t.ask(ctx, &step, After, m); waited {
		_ = t.backend.awaitStep(ctx, step, m.Body)
	}
}
