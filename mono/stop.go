package mono

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Stop stops the App: what was started last is stopped first.
//
// For each module, its receivers stop taking messages from the wire and its
// handlers finish; then its Stop is called, while calls from within the process
// still reach it; then those are refused too. What it depends on serves it all
// the while. At last, when the calls and appends that are on their way have their
// answers, also those of code outside modules, the transport is closed. No caller
// sees a broken connection because of it.
//
// ctx and StopTimeout bound the whole. When they end, the contexts of handlers
// that still run are cancelled, their callers are told that the outcome is
// unknown, waiting callers are told that nothing was done, and what overran is
// named in the error. Stop returns at most about a second later.
//
// A handler of a stored message that was cut off, and returns an error that is
// neither Drop nor RetryIn, has given no verdict: its message is handed back at once,
// and the attempt does not count. A handler learns of the stop from [Call.Stopping]
// before its time is over, and can end early with [HandBack].
//
// Stopping an App that was never started closes its transport. Stopping it twice
// returns nil once the first has finished. While a start runs, Stop waits for its
// end first, as long as ctx allows.
func (a *App) Stop(ctx context.Context) error {
	if err := a.acquire(ctx); err != nil {
		return err
	}
	defer a.release()
	switch a.State() {
	case Stopped:
		return nil
	case Created:
		ctx, cancel := context.WithTimeout(ctx, a.options.stopTimeout)
		defer cancel()
		return errors.Join(a.closeTransport(ctx), a.change(Stopped, Created))
	}
	if err := a.change(Stopping, Running); err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.options.stopTimeout)
	defer cancel()
	err := a.current.Load().stop(ctx)
	err = errors.Join(err, a.closeTransport(ctx), a.change(Stopped, Stopping))
	if err != nil {
		a.log.Error("mono: stopped with errors", "duration", time.Since(began), "error", err)
		return err
	}
	a.log.Info("mono: stopped", "duration", time.Since(began))
	return nil
}

// closeTransport gives the transport a moment even when the time is over, and
// leaves it behind when it takes longer.
func (a *App) closeTransport(ctx context.Context) error {
	left := grace
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		left = max(grace, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	return hook(ctx, "mono: closing the transport", a.panicked, a.transport.Close, nil)
}

// grace is what is left after the deadline to answer those who wait and to end
// the rest.
const grace = time.Second

// step is something that was started, and how it is stopped.
type step struct {
	what string
	stop func(*stopping) error
}

// stopping is the time that a stop has: soft is the deadline that was given, and
// hard ends a moment later, in which nothing new begins and callers are told.
type stopping struct {
	soft, hard context.Context
}

// stop undoes what was started, in reverse, and returns everything that went
// wrong on the way.
func (in *instance) stop(ctx context.Context) error {
	soft, cancelSoft := context.WithTimeout(ctx, in.app.options.stopTimeout)
	defer cancelSoft()
	hard, cancelHard := hardDeadline(soft)
	defer cancelHard()
	in.stopEnd = hard
	close(in.stopping) // before abandon can run
	told := make(chan struct{})
	var begun atomic.Bool
	abandon := func() { // a sync.Once would block on a mutex, which a synctest bubble cannot wait out
		if begun.CompareAndSwap(false, true) {
			in.abandon()
			close(told)
		}
	}
	forgetAbandon := context.AfterFunc(soft, abandon)
	defer forgetAbandon()

	in.closeUnsent()
	var errs []error
	for len(in.started) > 0 {
		last := in.started[len(in.started)-1]
		in.started = in.started[:len(in.started)-1]
		if err := guard("stopping "+last.what, in.panicked, func() error { return last.stop(&stopping{soft, hard}) }); err != nil {
			errs = append(errs, fmt.Errorf("mono: stopping %s: %w", last.what, err))
		}
	}
	if soft.Err() != nil {
		awaitAbandon(abandon, told, hard)
	}
	in.ended.Store(true)
	if n := in.outgoing.close(soft); n > 0 {
		errs = append(errs, Errorf(DeadlineExceeded, "mono: %d calls and appends have no answer yet: what became of them is not known", n))
	}
	in.shared.lookAtAll()
	in.giveUp(errors.New("the App has stopped"))
	return errors.Join(errs...)
}

// awaitAbandon returns when those who wait have been told, so that the transport
// may close. A context closes its Done before it starts its AfterFunc: whoever saw
// the one first may find that the other has not begun.
func awaitAbandon(abandon func(), told <-chan struct{}, hard context.Context) {
	go abandon()
	select {
	case <-told:
	case <-hard.Done():
	}
}

// hardDeadline returns a context that ends a moment after soft does, whatever
// ends soft.
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
// answers before their contexts end, so that none answers with the end of its
// context; then their callers are told.
func (in *instance) abandon() {
	var tell []func()
	for _, u := range in.units {
		for _, r := range u.receivers {
			unanswered, running := r.gate.giveUp()
			r.cutOff.Store(int64(running))
			tell = append(tell, func() { r.abandon(unanswered) })
			r.leaveGroup()
		}
	}
	in.giveUp(fmt.Errorf("the App ran out of time to stop: %w", context.DeadlineExceeded))
	for _, f := range tell {
		f()
	}
}

// stopUnit stops one module, in the order that Stop promises.
func (in *instance) stopUnit(s *stopping, u *unit) error {
	began := time.Now()
	errs := []error{u.drain(s)}
	if stopper, ok := u.module.(Stopper); ok {
		errs = append(errs, hook(s.soft, "Stop of module "+u.name, in.panicked, stopper.Stop, nil))
	}
	errs = append(errs, u.refuseHome(s))
	err := errors.Join(errs...)
	in.observe(ModuleStopped{Module: u.name, Duration: time.Since(began), Err: err})
	return err
}

// drain ends all receivers of a unit at once, so that none waits for another's
// slow handler.
func (u *unit) drain(s *stopping) error {
	errs := make([]error, len(u.receivers))
	var wait sync.WaitGroup
	for i, r := range u.receivers {
		wait.Go(func() { errs[i] = r.drain(s.soft, s.hard) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// refuseHome refuses calls from within the process, and waits for those that are
// inside.
func (u *unit) refuseHome(s *stopping) error {
	var errs []error
	for _, r := range u.receivers {
		r.gate.enterPhase(closed)
	}
	for _, r := range u.receivers {
		if n := r.gate.wait(s.soft); n > 0 {
			errs = append(errs, Errorf(DeadlineExceeded, "%d calls of %s from within the process, made while it stopped, still run", n, r.decl))
		}
	}
	return errors.Join(errs...)
}
