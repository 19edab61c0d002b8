package mono

import (
	"context"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// arrival is an event without a header, for a handler without middleware and time limit. Most of
// what a Call has is unknown or the same for all of these, and memory is what an event costs. So the
// arrival is the context of the handler, and its Call is made for the first CallFrom, as that of a
// localCall. It passes the stages of an inbound in one function; a failure makes it one.
type arrival struct {
	at      *receiver
	message *transport.Message
	place   place
	call    atomic.Pointer[Call]
}

// arrivalOf is an arrival with its payload, in one piece of memory.
type arrivalOf[T any] struct {
	arrival
	handle  Sink[T]
	payload T
}

// arrive admits an event. It handles the event in order, or returns it as Work.
func arrive[T any](r *receiver, m *transport.Message, fn Sink[T]) transport.Work {
	a := &arrivalOf[T]{arrival: arrival{at: r, message: m}, handle: fn}
	if !r.gate.enter(r.in.ctx, &a.place) {
		r.finisher.refuse(nil)
		return nil
	}
	if r.serial() {
		a.Run()
		return nil
	}
	return a
}

// Run implements [transport.Work]. The event is finished even if the handler ends its goroutine.
func (a *arrivalOf[T]) Run() {
	r := a.at
	defer r.gate.leave(&a.place)
	decoded, returned := false, false
	defer func() {
		if !returned {
			m := a.failed(decoded)
			r.finisher.finish(m, r.exited(m))
		}
	}()
	err := takePayload(a.message, r.bare, &a.payload)
	if decoded = err == nil; decoded {
		err = guard(r.where, r.in.panicked, func() error { return a.handle(a, a.payload) })
	}
	returned = true
	if err == nil {
		return
	}
	res := result{err: err}
	if !decoded {
		res = result{err: about(r.decl.String(), err), reason: ReasonUndecodable, ended: r.in.clock.Now()}
	}
	r.finisher.finish(a.failed(decoded), res)
}

// failed returns the event for its finisher.
func (a *arrivalOf[T]) failed(decoded bool) *inbound {
	return &inbound{call: *a.describe(), decoded: decoded}
}

// describe returns the Call. If several goroutines ask for it at once, all get the same one.
func (a *arrivalOf[T]) describe() *Call {
	if c := a.call.Load(); c != nil {
		return c
	}
	c := &Call{at: a.at, decl: a.at.decl, message: a.message, payload: &a.payload, size: len(a.message.Body), handled: true}
	if !a.call.CompareAndSwap(nil, c) {
		return a.call.Load()
	}
	return c
}

// The context of the handler is the App's, with the Call.

func (a *arrivalOf[T]) Deadline() (time.Time, bool) { return a.at.in.ctx.Deadline() }
func (a *arrivalOf[T]) Done() <-chan struct{}       { return a.at.in.ctx.Done() }
func (a *arrivalOf[T]) Err() error                  { return a.at.in.ctx.Err() }

func (a *arrivalOf[T]) Value(key any) any {
	if key == (callKey{}) {
		return a.describe()
	}
	return a.at.in.ctx.Value(key)
}

var _ context.Context = (*arrivalOf[int])(nil)
