package inproctest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// scheduler takes the steps of a Backend one at a time. Possible next steps are proposed
// to it, and when everything is idle it picks one.
//
// Its goroutine exists only while a step is proposed. So it keeps no test from ending,
// and virtual time advances if nothing can happen without it.
type scheduler struct {
	quiesce func()
	picker  *picker
	began   time.Time

	mu       sync.Mutex
	proposed []*candidate // in the order of the proposals
	settling []chan struct{}
	running  bool
	steps    []Step
}

// candidate is a step that could happen next.
type candidate struct {
	engine.Source
	step    Step   // known before the step is picked
	body    []byte // distinguishes steps with equal fields
	choices int    // at the last look
}

func (c *candidate) compare(other *candidate) int {
	return cmp.Or(c.step.compare(&other.step), bytes.Compare(c.body, other.body))
}

// propose adds the next step of a source, unless it is proposed already. The lock of the
// source is held.
func (s *scheduler) propose(source engine.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.proposed, func(c *candidate) bool { return c.Source == source }) {
		return
	}
	if step, choices := source.Next(); choices > 0 {
		s.add(&candidate{Source: source, step: Step(step)})
	}
}

// add adds a possible next step; the lock is held.
func (s *scheduler) add(c *candidate) {
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
	for _, c := range possible {
		total += c.choices
	}
	if total == 0 {
		return false
	}
	choice := s.picker.pick(total)
	for _, c := range possible {
		if choice < c.choices {
			s.take(c, choice, total)
			break
		}
		choice -= c.choices
	}
	return true
}

// possible returns the steps that can happen now, in an order that does not depend on the
// order of goroutines. It forgets candidates that can no longer happen.
func (s *scheduler) possible() []*candidate {
	s.mu.Lock()
	all := slices.Clone(s.proposed)
	s.mu.Unlock()
	possible := slices.DeleteFunc(all, func(c *candidate) bool { return !s.look(c) })
	slices.SortStableFunc(possible, (*candidate).compare)
	return possible
}

// look counts the choices of a candidate, and reports whether it has any.
func (s *scheduler) look(c *candidate) bool {
	c.Lock()
	defer c.Unlock()
	if _, c.choices = c.Next(); c.choices == 0 {
		s.withdraw(c)
	}
	return c.choices > 0
}

// take makes a step happen, if it still can.
func (s *scheduler) take(c *candidate, choice, of int) {
	c.Lock()
	defer c.Unlock()
	if _, choices := c.Next(); choice >= choices || !s.withdraw(c) {
		return
	}
	step := Step(c.Take(choice))
	step.Of, step.At = of, time.Since(s.began)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step)
}

// end ends the goroutine if nothing is proposed, and wakes the callers of Settle.
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

// settled returns a channel that is closed when nothing is proposed.
func (s *scheduler) settled() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	settled := make(chan struct{})
	s.settling = append(s.settling, settled)
	s.start()
	return settled
}

// taken returns the steps so far. A nil scheduler takes none.
func (s *scheduler) taken() []Step {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.steps)
}

// await waits until a step is picked. It returns an error if ctx ends first. A nil
// scheduler picks it at once.
func (s *scheduler) await(ctx context.Context, step Step, body []byte) error {
	if s == nil {
		return nil
	}
	w := &waiter{candidate: candidate{step: step, body: body}, picked: make(chan struct{})}
	w.Source = w
	s.mu.Lock()
	s.add(&w.candidate)
	s.mu.Unlock()
	select {
	case <-w.picked:
	case <-ctx.Done():
		if s.withdraw(&w.candidate) {
			return transport.ContextError(ctx, transport.OutcomeNotDone, "%s: %w before it was picked", step, ctx.Err())
		}
	}
	return nil
}

// waiter is the source of one step, for a caller that waits for it.
type waiter struct {
	candidate
	picked chan struct{}
}

func (w *waiter) Lock()                    {}
func (w *waiter) Unlock()                  {}
func (w *waiter) Next() (engine.Step, int) { return engine.Step(w.step), 1 }

func (w *waiter) Take(int) engine.Step {
	close(w.picked)
	return engine.Step(w.step)
}
