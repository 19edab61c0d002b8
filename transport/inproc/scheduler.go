package inproc

import (
	"context"
	"slices"
	"sync"

	"gomono.dev/transport"
)

// scheduler takes the steps of a Backend one at a time. Possible next steps are proposed
// to it, and when everything is idle it picks one.
//
// Its goroutine exists only while a step is proposed. So it keeps no test from ending,
// and virtual time advances if nothing can happen without it.
type scheduler struct {
	quiesce func()
	picker  picker
	clock   clock

	mu       sync.Mutex
	proposed []*candidate // in the order of the proposals
	settling []chan struct{}
	running  bool
	steps    []Step
}

func newScheduler(o *Options, c clock) *scheduler {
	if o.Quiesce == nil {
		return nil
	}
	return &scheduler{quiesce: o.Quiesce, picker: newPicker(o.Seed), clock: c}
}

// propose adds a possible next step.
func (s *scheduler) propose(c *candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proposed = append(s.proposed, c)
	s.start()
}

// withdraw reports whether c was still proposed.
func (s *scheduler) withdraw(c *candidate) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.proposed)
	s.proposed = slices.DeleteFunc(s.proposed, func(other *candidate) bool { return other == c })
	return len(s.proposed) < n
}

// start starts the scheduler's goroutine; the lock is held.
func (s *scheduler) start() {
	if !s.running {
		s.running = true
		go s.run()
	}
}

func (s *scheduler) run() {
	for {
		s.quiesce()
		if !s.step() && s.end() {
			return
		}
	}
}

// step takes one step, if there is one.
func (s *scheduler) step() bool {
	possible := s.possible()
	total := 0
	for _, p := range possible {
		total += p.choices
	}
	if total == 0 {
		return false
	}
	choice := s.picker.pick(total)
	for _, p := range possible {
		if choice < p.choices {
			if s.withdraw(p.candidate) {
				s.note(p.take(choice), total)
			}
			return true
		}
		choice -= p.choices
	}
	return false
}

// possibility is a candidate with its current number of choices.
type possibility struct {
	*candidate
	choices int
}

// possible returns the steps that can happen now, in an order that does not depend on the
// order of goroutines. It forgets candidates that can no longer happen.
func (s *scheduler) possible() []possibility {
	s.mu.Lock()
	all := slices.Clone(s.proposed)
	s.mu.Unlock()
	var possible []possibility
	for _, c := range all {
		if n := c.choices(); n > 0 {
			possible = append(possible, possibility{c, n})
		} else {
			s.withdraw(c)
		}
	}
	slices.SortStableFunc(possible, func(a, b possibility) int { return a.compare(b.candidate) })
	return possible
}

// end ends the goroutine if nothing is proposed, and wakes the callers of settle.
func (s *scheduler) end() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.proposed) > 0 {
		return false
	}
	for _, settled := range s.settling {
		close(settled)
	}
	s.settling, s.running = nil, false
	return true
}

func (s *scheduler) note(step Step, of int) {
	step.Of = of
	step.At = s.clock.since()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step)
}

// await waits until a step is picked. It returns false if ctx ends first.
func (s *scheduler) await(ctx context.Context, step Step, body []byte) bool {
	granted := make(chan struct{})
	c := &candidate{
		step:    step,
		body:    body,
		choices: func() int { return 1 },
		take:    func(int) Step { close(granted); return step },
	}
	s.propose(c)
	select {
	case <-granted:
		return true
	case <-ctx.Done():
		return !s.withdraw(c)
	}
}

// AwaitStep makes a step of an external action: it waits until s is picked, and sets its
// Transport. body distinguishes s from another step with the same fields; it is not kept.
// Without Options.Quiesce it returns at once. It returns an error if ctx ends first.
func (t *Transport) AwaitStep(ctx context.Context, s Step, body []byte) error {
	s.Transport = t.number
	return t.backend.awaitStep(ctx, s, body)
}

func (b *Backend) awaitStep(ctx context.Context, s Step, body []byte) error {
	if b.scheduler == nil || b.scheduler.await(ctx, s, body) {
		return nil
	}
	return transport.ContextError(ctx, transport.OutcomeNotDone, "%s: %w before it was picked", s, ctx.Err())
}

// Settle waits until nothing more can happen unless time passes, or until ctx ends. It
// needs Options.Quiesce, and the caller must be the only goroutine that starts new work.
func (b *Backend) Settle(ctx context.Context) error {
	if b.scheduler == nil {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "settle: the Backend cannot detect that it is idle: set Options.Quiesce")
	}
	settled := make(chan struct{})
	b.scheduler.settle(settled)
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeUnknown, "settle: %w before the Backend was idle", ctx.Err())
	}
}

func (s *scheduler) settle(settled chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settling = append(s.settling, settled)
	s.start()
}

// Steps returns all steps taken so far, in order. Without Options.Quiesce it returns nil.
func (b *Backend) Steps() []Step {
	if b.scheduler == nil {
		return nil
	}
	b.scheduler.mu.Lock()
	defer b.scheduler.mu.Unlock()
	return slices.Clone(b.scheduler.steps)
}
