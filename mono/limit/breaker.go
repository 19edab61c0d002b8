package limit

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/mono"
)

// Breaker is a circuit breaker around the calls that an App makes: a middleware that refuses calls of
// a service that keeps failing, so that callers do not wait for it and it can recover. Create one with
// NewBreaker. Each service has a circuit of its own, in this process.
//
// A closed circuit lets all calls pass. After failures in a row it opens, and calls are refused with
// unavailable, "not done" and the time to wait. After that time it is half-open: one call passes, and
// decides whether the circuit closes or opens again. The log of the App has a line for each change.
type Breaker struct {
	options
	failures int
	wait     time.Duration
	log      atomic.Pointer[slog.Logger]

	mu       sync.Mutex
	circuits map[string]*circuit // by service
}

// State is the state of a circuit.
type State string

// The states.
const (
	StateClosed   State = "closed"
	StateOpen     State = "open"
	StateHalfOpen State = "half-open"
)

// Change is a change of the state of a circuit. Err is the error that has opened it.
type Change struct {
	Handle   mono.Handle
	From, To State
	Err      error
}

// NewBreaker returns a Breaker whose circuits open after a number of failures in a row, for a time. It
// panics if one of them is not positive.
//
// A call has failed if its error has one of the [Codes], whether from the handler or on the way. It
// has succeeded if the handler replied, even with another error. Other calls, such as those that their
// caller has cancelled, do not count.
func NewBreaker(failures int, wait time.Duration, opts ...BreakerOption) *Breaker {
	check(failures > 0 && wait > 0, "NewBreaker(%d, %v): want both greater than 0", failures, wait)
	b := &Breaker{options: options{codes: []mono.Code{mono.Unavailable, mono.DeadlineExceeded}}, failures: failures, wait: wait, circuits: make(map[string]*circuit)}
	applyTo(&b.options, "NewBreaker", opts)
	return b
}

// Codes sets the codes that count as failures, instead of unavailable and deadline_exceeded.
func Codes(codes ...mono.Code) BreakerOption {
	check(len(codes) > 0 && !slices.Contains(codes, ""), "Codes: want at least one, none empty")
	return option(func(o *options) { o.codes = codes })
}

// OnChange calls f for each change of a circuit, on the goroutine of the call that causes it. f must
// return soon. A panic of f is logged, and changes neither the circuit nor the result of the call.
func OnChange(f func(Change)) BreakerOption {
	check(f != nil, "OnChange(nil): want a function")
	return option(func(o *options) { o.changed = f })
}

// Name returns "breaker".
func (b *Breaker) Name() string { return "breaker" }

// Bind implements [mono.Module].
func (b *Breaker) Bind(s *mono.Scope) error {
	b.log.Store(s.Logger())
	return nil
}

// Selects implements [mono.Selective].
func (b *Breaker) Selects(h mono.Handle, side mono.Side, _ bool) bool {
	return side == mono.SideSender && h.Kind() == mono.KindService && b.concerns(h)
}

// State returns the state of the circuit of a service. An open circuit is half-open only when the
// call has come that is let through.
func (b *Breaker) State(service mono.Handle) State {
	c := b.of(service)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Wrap implements [mono.Middleware].
func (b *Breaker) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) (err error) {
		of := b.of(c.Handle())
		generation, wait, change := of.admit(time.Now())
		if wait > 0 {
			return mono.RetryAfter(wait, refusal(mono.Unavailable, "service %s: the circuit is open after %d failures", c.Handle().Name(), b.failures))
		}
		verdict := undecided // also of a panic
		defer func() { b.report(c.Handle(), of.record(b, generation, verdict, err)) }()
		b.report(c.Handle(), change)
		err = next(ctx, c)
		verdict = b.judge(err)
		return err
	}
}

type verdict uint8

const (
	undecided verdict = iota
	succeeded
	failed
)

func (b *Breaker) judge(err error) verdict {
	switch {
	case err != nil && slices.Contains(b.codes, mono.CodeOf(err)):
		return failed
	case err == nil || mono.IsHandlerError(err):
		return succeeded
	}
	return undecided
}

func (b *Breaker) of(service mono.Handle) *circuit {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.circuits[service.Name()]
	if c == nil {
		c = &circuit{state: StateClosed}
		b.circuits[service.Name()] = c
	}
	return c
}

func (b *Breaker) report(h mono.Handle, change *Change) {
	if change == nil {
		return
	}
	change.Handle = h
	if log := b.log.Load(); log != nil {
		b.contain(h, func() { change.write(log, b.wait) })
	}
	if b.changed != nil {
		b.contain(h, func() { b.changed(*change) })
	}
}

// contain calls f. A panic is logged, and does not concern the call that changes a circuit.
func (b *Breaker) contain(h mono.Handle, f func()) {
	defer func() {
		v, log := recover(), b.log.Load()
		if v == nil || log == nil {
			return
		}
		defer func() { _ = recover() }() // the log is the program's, too
		log.Error("limit: panic at the change of a circuit", "service", h.Name(), "panic", v, "stack", string(debug.Stack()))
	}()
	f()
}

// write logs a change.
func (c *Change) write(log *slog.Logger, wait time.Duration) {
	if c.To == StateOpen {
		log.Warn("limit: circuit open", "service", c.Handle.Name(), "from", c.From, "wait", wait, "error", c.Err)
		return
	}
	log.Info("limit: circuit "+string(c.To), "service", c.Handle.Name())
}

// circuit is the circuit of a service.
type circuit struct {
	mu         sync.Mutex
	state      State
	generation uint64    // of the state: a result of an earlier one does not count
	failures   int       // in a row
	until      time.Time // it is open
	trial      bool      // the call that decides is under way
}

// admit returns how long a call has to wait, 0 if it passes.
func (c *circuit) admit(now time.Time) (generation uint64, wait time.Duration, change *Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == StateClosed:
		return c.generation, 0, nil
	case now.Before(c.until):
		return 0, c.until.Sub(now), nil
	case c.trial:
		return 0, minWait, nil
	}
	if c.state == StateOpen {
		change = c.become(StateHalfOpen)
	}
	c.trial = true
	return c.generation, 0, change
}

// minWait is the time to wait while another call decides, which takes an unknown time.
const minWait = 100 * time.Millisecond

// record notes the result of a call.
func (c *circuit) record(b *Breaker, generation uint64, v verdict, err error) *Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return nil
	}
	c.trial = false
	switch {
	case v == succeeded:
		c.failures = 0
		if c.state == StateHalfOpen {
			return c.become(StateClosed)
		}
	case v == failed:
		if c.failures++; c.state == StateHalfOpen || c.failures >= b.failures {
			c.until, c.failures = time.Now().Add(b.wait), 0
			change := c.become(StateOpen)
			change.Err = err
			return change
		}
	}
	return nil
}

func (c *circuit) become(s State) *Change {
	change := &Change{From: c.state, To: s}
	c.state = s
	c.generation++
	return change
}
