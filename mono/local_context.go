package mono

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// localContext is the context of a local call's handler, and holds the state of the
// call. It ends with the caller's context, at the call's own deadline, when the App
// gives up, and when the handler returns. It carries none of the caller's values, like
// a call over the transport.
//
// Expensive parts are created on demand: a channel and a timer by Done, the Call by
// CallFrom.
type localContext struct {
	caller context.Context
	sender *sender
	began  time.Duration // on the instance's clock

	rare *rarities
	live atomic.Pointer[liveContext]
	call atomic.Pointer[Call]
}

// rarities holds what most calls do not have.
type rarities struct {
	header     transport.Header // set by the sender
	info       *CallInfo        // of the caller, nil if it has none
	origin     *Call            // the Call of the sending side, if middleware has seen it
	unreadable error            // the error of a request that cannot be decoded
}

// liveContext is a context of the standard library that ends when a localContext does.
type liveContext struct {
	context.Context
	end func()
}

// over is the live context of a handler that has returned without creating one.
var over = &liveContext{}

// limit returns how long the call may take, regardless of its caller's deadline. 0
// means that only the caller's deadline applies. A call that took less than callTimeout
// need not call limit.
func (h *localContext) limit() time.Duration {
	if h.sender.decl.config.Timeout == 0 {
		if _, ok := h.caller.Deadline(); ok {
			return 0
		}
	}
	return h.sender.callTimeout
}

// ownDeadline returns the end of the call's limit, regardless of its caller's deadline.
func (h *localContext) ownDeadline() (time.Time, bool) {
	limit := h.limit()
	return h.sender.in.clock.at(h.began + limit), limit != 0
}

// Deadline returns the earlier of the caller's deadline and the call's own.
func (h *localContext) Deadline() (time.Time, bool) {
	deadline, ok := h.caller.Deadline()
	if own, limited := h.ownDeadline(); limited && (!ok || own.Before(deadline)) {
		return own, true
	}
	return deadline, ok
}

// Done returns a channel that is closed when the context ends.
func (h *localContext) Done() <-chan struct{} { return h.alive().Done() }

// Err returns why the context has ended. It examines the causes directly, so it needs
// no timer or goroutine.
func (h *localContext) Err() error {
	switch live := h.live.Load(); live {
	case nil:
	case over:
		return context.Canceled
	default:
		if err := live.Err(); err != nil {
			return err
		}
	}
	if err := h.caller.Err(); err != nil {
		return err
	}
	if h.late(h.sender.in.clock.now() - h.began) {
		return context.DeadlineExceeded
	}
	return h.sender.in.ctx.Err()
}

// late reports whether a call of this duration exceeds its own deadline.
func (h *localContext) late(took time.Duration) bool {
	return took >= h.sender.callTimeout && h.limit() != 0
}

// Value returns what package context needs to find a context of its own type.
func (h *localContext) Value(key any) any {
	if live := h.live.Load(); live != nil && live != over {
		return live.Value(key)
	}
	return nil
}

// alive returns a context that ends when this one does, and creates it if necessary. If
// several goroutines create one at once, only one is kept.
func (h *localContext) alive() *liveContext {
	for {
		live := h.live.Load()
		if live != nil && live != over {
			return live
		}
		made := h.enliven()
		if live == over {
			made.end()
		}
		if h.live.CompareAndSwap(live, made) {
			return made
		}
		made.end()
	}
}

func (h *localContext) enliven() *liveContext {
	ctx, cancel := context.WithCancelCause(valueless{h.caller})
	stopTimer := func() {}
	if deadline, ok := h.ownDeadline(); ok {
		ctx, stopTimer = context.WithDeadline(ctx, deadline)
	}
	app := h.sender.in.ctx
	forget := context.AfterFunc(app, func() { cancel(context.Cause(app)) })
	return &liveContext{ctx, func() {
		forget()
		stopTimer()
		cancel(nil)
	}}
}

// returned ends the context after its handler has returned.
func (h *localContext) returned() {
	if !h.live.CompareAndSwap(nil, over) {
		h.live.Load().end()
	}
}

// asCall returns the Call of the handler; request and made point to its payloads. If
// several goroutines call it at once, all get the same Call.
func (h *localContext) asCall(request, made any) *Call {
	if c := h.call.Load(); c != nil {
		return c
	}
	r := h.sender.local
	c := &Call{
		at: r, decl: r.decl, sender: h.sender.module,
		payload: request, reply: made, decoded: true, local: h,
	}
	if h.rare != nil {
		c.header = h.rare.header
	}
	if !h.call.CompareAndSwap(nil, c) {
		return h.call.Load()
	}
	return c
}

// id returns the id of the call, which is the same on both sides.
func (h *localContext) id() string {
	if c := h.call.Load(); c != nil {
		return c.ID()
	}
	return h.newID()
}

func (h *localContext) newID() string {
	if h.rare != nil && h.rare.origin != nil {
		return h.rare.origin.ID()
	}
	return newID()
}

// valueless is a context without its values. Package context uses its AfterFunc, so
// that it needs no goroutine to wait for its end.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

func (v valueless) AfterFunc(f func()) func() bool { return context.AfterFunc(v.Context, f) }

// clock counts from the start of an instance, which is faster to read than the time of
// day.
type clock struct{ zero time.Time }

func (c clock) now() time.Duration           { return time.Since(c.zero) }
func (c clock) at(d time.Duration) time.Time { return c.zero.Add(d) }

// transportHeader returns the header with the fields that mono would have sent over the
// transport.
func (h *localContext) transportHeader(c *Call) transport.Header {
	header := slices.Clone(c.header)
	header.Add(transport.HeaderID, c.ID())
	if c.sender != "" {
		header.Add(transport.HeaderSender, c.sender)
	}
	if deadline, ok := h.Deadline(); ok {
		header.Add(transport.HeaderTimeout, timeoutText(deadline.Sub(h.sender.in.clock.at(h.began))))
	}
	if contentType := h.sender.local.codec.ContentType(); contentType != codec.JSON.ContentType() {
		header.Set(transport.HeaderContentType, contentType)
	}
	return header
}
