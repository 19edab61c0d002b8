package mono

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// homeContext is the context of a handler that is called from within the process,
// and all that there is to know of the call. It ends when the caller's does, at
// the call's own deadline, when the App gives up, and when the handler returns; it
// carries none of the caller's values, as it would not over the wire.
//
// What costs is made when it is asked for: a channel and a timer by Done, the Call
// by CallFrom. A handler that asks for neither has them for nothing.
type homeContext struct {
	caller context.Context
	sender *sender
	began  time.Duration // on the instance's clock

	rare *rarities
	live atomic.Pointer[liveContext]
	call atomic.Pointer[Call]
}

// rarities are what most calls do not have.
type rarities struct {
	header     transport.Header // what the sender has set
	origin     *Call            // what middleware has seen on the sending side
	unreadable error            // the request cannot be decoded
}

// liveContext is a context of the standard library that ends when a homeContext
// does.
type liveContext struct {
	context.Context
	end func()
}

// over stands for the live context of a handler that has returned without having
// asked for one.
var over = &liveContext{}

// limit is how long the call may take, whatever its caller's deadline is; 0: that
// counts alone. A call that took less than patience need not ask.
func (h *homeContext) limit() time.Duration {
	if h.sender.decl.config.Timeout == 0 {
		if _, ok := h.caller.Deadline(); ok {
			return 0
		}
	}
	return h.sender.patience
}

// ownDeadline is when the call has to end, whatever its caller's deadline is.
func (h *homeContext) ownDeadline() (time.Time, bool) {
	limit := h.limit()
	return h.sender.in.clock.at(h.began + limit), limit != 0
}

// Deadline returns the earlier one of the caller's deadline and the call's own.
func (h *homeContext) Deadline() (time.Time, bool) {
	deadline, ok := h.caller.Deadline()
	if own, limited := h.ownDeadline(); limited && (!ok || own.Before(deadline)) {
		return own, true
	}
	return deadline, ok
}

// Done returns a channel that is closed when the context ends.
func (h *homeContext) Done() <-chan struct{} { return h.alive().Done() }

// Err says why the context has ended. It looks at what ends it, so nothing has to
// wait for a timer or a goroutine.
func (h *homeContext) Err() error {
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

// late reports whether a call that takes so long is over its own deadline.
func (h *homeContext) late(took time.Duration) bool {
	return took >= h.sender.patience && h.limit() != 0
}

// Value is what package context needs to find a context of its own kind.
func (h *homeContext) Value(key any) any {
	if live := h.live.Load(); live != nil && live != over {
		return live.Value(key)
	}
	return nil
}

// alive returns the context that ends when this one does, and makes it if need
// be. Several goroutines may ask at once; one of theirs is kept.
func (h *homeContext) alive() *liveContext {
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

func (h *homeContext) enliven() *liveContext {
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

// returned ends the context: its handler has returned.
func (h *homeContext) returned() {
	if !h.live.CompareAndSwap(nil, over) {
		h.live.Load().end()
	}
}

// asCall returns the Call of the handler; request and made point to its payloads.
// Several goroutines may ask at once; all get the same.
func (h *homeContext) asCall(request, made any) *Call {
	if c := h.call.Load(); c != nil {
		return c
	}
	r := h.sender.home
	c := &Call{
		at: r, decl: r.decl, sender: h.sender.module,
		payload: request, reply: made, decoded: true, home: h,
	}
	if h.rare != nil {
		c.header = h.rare.header
	}
	if !h.call.CompareAndSwap(nil, c) {
		return h.call.Load()
	}
	return c
}

// id identifies the call, the same on both sides.
func (h *homeContext) id() string {
	if c := h.call.Load(); c != nil {
		return c.ID()
	}
	return h.newID()
}

func (h *homeContext) newID() string {
	if h.rare != nil && h.rare.origin != nil {
		return h.rare.origin.ID()
	}
	return newID()
}

// valueless is a context without its values. Package context hears of its end
// through AfterFunc, so that it needs no goroutine to wait for it.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

func (v valueless) AfterFunc(f func()) func() bool { return context.AfterFunc(v.Context, f) }

// clock counts from the start of an instance, which is cheaper to read than the
// time of day.
type clock struct{ zero time.Time }

func (c clock) now() time.Duration           { return time.Since(c.zero) }
func (c clock) at(d time.Duration) time.Time { return c.zero.Add(d) }

// wireHeader is the header with what mono would have sent over the wire.
func (h *homeContext) wireHeader(c *Call) transport.Header {
	header := slices.Clone(c.header)
	header.Add(transport.HeaderID, c.ID())
	if c.sender != "" {
		header.Add(transport.HeaderSender, c.sender)
	}
	if deadline, ok := h.Deadline(); ok {
		header.Add(transport.HeaderTimeout, timeoutText(deadline.Sub(h.sender.in.clock.at(h.began))))
	}
	if contentType := h.sender.home.codec.ContentType(); contentType != codec.JSON.ContentType() {
		header.Set(transport.HeaderContentType, contentType)
	}
	return header
}
