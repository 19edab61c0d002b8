package mono

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// grace is the time after the deadline in which waiting callers get their answers and
// the rest is stopped.
const grace = time.Second

// steps is the stack of the started parts of an App, each with the function that stops
// it.
type steps []step

type step struct {
	what string
	stop func(*stopping) error
}

func (s *steps) push(what string, stop func(*stopping) error) { *s = append(*s, step{what, stop}) }

// pop returns the last step.
func (s *steps) pop() step {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// always returns f for a step: it takes no time and cannot fail.
func always(f func()) func(*stopping) error {
	return func(*stopping) error { f(); return nil }
}

// stopping holds the contexts of a stop. soft ends at the given deadline. hard ends a
// moment later: in between nothing new begins, and callers get their answers.
type stopping struct {
	soft, hard context.Context
}

// stop undoes what was started, in reverse, and returns all errors.
func (in *instance) stop(ctx context.Context) error {
	soft, cancelSoft := context.WithTimeout(ctx, in.app.options.stopTimeout)
	defer cancelSoft()
	hard, cancelHard := hardDeadline(soft)
	defer cancelHard()
	in.stopEnd = hard
	close(in.stopping) // before abandon can run
	abandoned := make(chan struct{})
	var begun atomic.Bool
	abandon := func() { // a sync.Once would block on a mutex, which a synctest bubble cannot wait out
		if begun.CompareAndSwap(false, true) {
			in.abandon()
			close(abandoned)
		}
	}
	forgetAbandon := context.AfterFunc(soft, abandon)
	defer forgetAbandon()

	in.plan.closeUnsent()
	var errs []error
	for len(in.started) > 0 {
		last := in.started.pop()
		if err := guard("stopping "+last.what, in.panicked, func() error { return last.stop(&stopping{soft, hard}) }); err != nil {
			errs = append(errs, fmt.Errorf("mono: stopping %s: %w", last.what, err))
		}
	}
	if soft.Err() != nil {
		awaitAbandon(abandon, abandoned, hard)
	}
	in.ended.Store(true)
	if n := in.outgoing.close(soft); n > 0 {
		errs = append(errs, Errorf(DeadlineExceeded, "mono: %d calls and appends have no answer yet: their outcome is unknown", n))
	}
	in.referenced.recheckAll()
	in.giveUp(errors.New("the App has stopped"))
	return errors.Join(errs...)
}

// awaitAbandon returns after the waiting callers have their answers, so that the
// transport may be closed. A context closes its Done before it starts its AfterFunc:
// when soft has ended, abandon may not have begun.
func awaitAbandon(abandon func(), abandoned <-chan struct{}, hard context.Context) {
	go abandon()
	select {
	case <-abandoned:
	case <-hard.Done():
	}
}

// hardDeadline returns a context that ends a moment after soft, whatever ends soft.
func hardDeadline(soft context.Context) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(soft))
	var mu sync.Mutex
	var timer *time.Timer
	stop := context.AfterFunc(soft, func() {
		mu.Lock()
		timer = time.AfterFunc(grace, cancel)
		mu.Unlock()
	})
	return hard, func() {
		stop()
		mu.Lock()
		if timer != nil {
			timer.Stop()
		}
		mu.Unlock()
		cancel()
	}
}

// abandon ends the handlers that still run when the time is over. It claims their
// answers before it ends their contexts, so that no handler answers with the error of
// its context. Then it answers their callers.
func (in *instance) abandon() {
	var answers []func()
	for _, r := range in.plan.receivers {
		unanswered, running := r.gate.giveUp()
		r.cutOff.Store(int64(running))
		answers = append(answers, func() { replier{r}.abandon(unanswered) })
		r.source.leave()
	}
	in.giveUp(fmt.Errorf("the App ran out of time to stop: %w", context.DeadlineExceeded))
	for _, f := range answers {
		f()
	}
}

// stopUnit stops one module, in the order that Stop documents.
func (in *instance) stopUnit(s *stopping, u *unit) error {
	began := time.Now()
	errs := []error{u.drain(s)}
	if stopper, ok := u.module.(Stopper); ok {
		errs = append(errs, hook(s.soft, "Stop of module "+u.name, in.panicked, stopper.Stop, nil))
	}
	errs = append(errs, u.refuseLocal(s))
	err := errors.Join(errs...)
	in.observe(ModuleStopped{Module: u.name, Duration: time.Since(began), Err: err})
	return err
}

// drain drains all receivers of a unit at once, so that none waits for another's slow
// handler.
func (u *unit) drain(s *stopping) error {
	errs := make([]error, len(u.receivers))
	var wait sync.WaitGroup
	for i, r := range u.receivers {
		wait.Go(func() { errs[i] = r.drain(s.soft, s.hard) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// refuseLocal refuses local calls, and waits for those that run.
func (u *unit) refuseLocal(s *stopping) error {
	var errs []error
	for _, r := range u.receivers {
		r.gate.enterPhase(closed)
	}
	for _, r := range u.receivers {
		if n := r.gate.wait(s.soft); n > 0 {
			errs = append(errs, Errorf(DeadlineExceeded, "%d local calls of %s, made while it stopped, still run", n, r.decl))
		}
	}
	return errors.Join(errs...)
}

// outgoing counts messages that wait for an answer: calls over the transport, and
// appends. A stop waits for them before it closes the transport.
type outgoing struct {
	underway atomic.Int64
	closed   atomic.Bool
	left     chan struct{} // of capacity 1: signals a leave after closed was set
}

func newOutgoing() *outgoing { return &outgoing{left: make(chan struct{}, 1)} }

// enter counts a message. It reports false after close.
func (o *outgoing) enter() bool {
	o.underway.Add(1)
	if o.closed.Load() {
		o.leave()
		return false
	}
	return true
}

func (o *outgoing) leave() {
	o.underway.Add(-1)
	if !o.closed.Load() {
		return
	}
	select {
	case o.left <- struct{}{}:
	default:
	}
}

// close refuses further messages and waits for the answers of the others. If ctx ends
// first, it returns the number of missing answers.
func (o *outgoing) close(ctx context.Context) int64 {
	o.closed.Store(true)
	for {
		n := o.underway.Load()
		if n <= 0 {
			return 0
		}
		select {
		case <-o.left:
		case <-ctx.Done():
			return n
		}
	}
}
