// Package lazy has a context with a deadline that needs no timer: most of the contexts
// that are made for a call are never waited for.
package lazy

import (
	"context"
	"sync/atomic"
	"time"
)

// Context is like a context of [context.WithDeadline]. It creates its channel and its
// timer for the first Done. It ends with its parent, at its deadline, and by End. Begin
// must be called before anything else, once.
type Context struct {
	rules    *Rules
	parent   context.Context
	deadline time.Duration // on the clock
	live     atomic.Pointer[live]
}

// Rules apply to many contexts. They do not change while a context has them.
type Rules struct {
	Clock Clock

	// Isolation, if not nil, hides the values of the parent, and ends the context when it
	// ends itself.
	Isolation context.Context

	// Yield, with an Isolation, makes the deadline apply only if the parent has none.
	Yield bool
}

// live is a context of the standard library that ends when a Context does.
type live struct {
	context.Context
	end func()
}

// over is the live context of a Context that has ended before it needed one.
var over = new(live)

// Begin sets the parent, and the deadline on the clock. It returns c.
func (c *Context) Begin(rules *Rules, parent context.Context, deadline time.Duration) context.Context {
	c.rules, c.parent, c.deadline = rules, parent, deadline
	return c
}

// End cancels the context.
func (c *Context) End() {
	if !c.live.CompareAndSwap(nil, over) {
		c.live.Load().end()
	}
}

// Parent returns the parent.
func (c *Context) Parent() context.Context { return c.parent }

// Limit returns the parent and the deadline of a [Context]. A caller that waits for ctx
// may wait for these two instead, with a timer that it reuses. It returns false for
// every other context, and for one with an Isolation.
func Limit(ctx context.Context) (parent context.Context, deadline time.Time, ok bool) {
	c, ok := ctx.(*Context)
	if !ok || c.rules.Isolation != nil {
		return nil, time.Time{}, false
	}
	return c.parent, c.rules.Clock.At(c.deadline), true
}

// Deadline implements [context.Context].
func (c *Context) Deadline() (time.Time, bool) {
	deadline, ok := c.parent.Deadline()
	if ok && c.rules.Yield {
		return deadline, true
	}
	if own := c.rules.Clock.At(c.deadline); !ok || own.Before(deadline) {
		return own, true
	}
	return deadline, true
}

// Done implements [context.Context].
func (c *Context) Done() <-chan struct{} { return c.alive().Done() }

// Err implements [context.Context]. It examines the causes directly, and needs no timer.
func (c *Context) Err() error {
	if c.live.Load() == nil && c.ended() == nil {
		return nil
	}
	if err := c.alive().Err(); err != nil {
		return err
	}
	return c.ended() // its timer will expire now
}

// Value implements [context.Context]. If the context of the standard library exists,
// derived contexts find it here, and need no goroutine to wait for it.
func (c *Context) Value(key any) any {
	live := c.live.Load()
	switch {
	case live != nil && live != over:
		return live.Value(key)
	case c.rules.Isolation != nil:
		return nil
	case live == over, c.ended() != nil:
		return c.alive().Value(key)
	}
	return c.parent.Value(key)
}

// LateAt reports whether a moment on the clock is after the deadline, if that applies.
func (c *Context) LateAt(now time.Duration) bool { return now >= c.deadline && c.limits() }

// limits reports whether the deadline applies.
func (c *Context) limits() bool {
	if !c.rules.Yield {
		return true
	}
	_, ok := c.parent.Deadline()
	return !ok
}

// ended returns why the context has ended, nil if it has not. It does not know of End.
func (c *Context) ended() error {
	if err := c.parent.Err(); err != nil {
		return err
	}
	if c.LateAt(c.rules.Clock.Now()) {
		return context.DeadlineExceeded
	}
	if c.rules.Isolation != nil {
		return c.rules.Isolation.Err()
	}
	return nil
}

// alive returns a context that ends when this one does, and creates it if necessary. If
// several goroutines create one at once, only one is kept.
func (c *Context) alive() *live {
	for {
		old := c.live.Load()
		if old != nil && old != over {
			return old
		}
		made := c.create()
		if old == over {
			made.end()
		}
		if c.live.CompareAndSwap(old, made) {
			return made
		}
		made.end()
	}
}

func (c *Context) create() *live {
	isolation := c.rules.Isolation
	if isolation == nil {
		ctx, cancel := context.WithDeadline(c.parent, c.rules.Clock.At(c.deadline))
		return &live{ctx, cancel}
	}
	ctx, cancel := context.WithCancelCause(valueless{c.parent})
	forget := context.AfterFunc(isolation, func() { cancel(context.Cause(isolation)) })
	stop := func() {}
	limited := ctx
	if c.limits() {
		limited, stop = context.WithDeadline(ctx, c.rules.Clock.At(c.deadline))
	}
	return &live{limited, func() {
		forget()
		stop()
		cancel(nil)
	}}
}

// valueless is a context without its values. Package context uses its AfterFunc, so
// that it needs no goroutine to wait for its end.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

func (v valueless) AfterFunc(f func()) func() bool { return context.AfterFunc(v.Context, f) }

// Clock counts from a moment, which is faster to read than the time of day. The zero
// Clock is not ready to use.
type Clock struct{ zero time.Time }

// NewClock returns a Clock that counts from now.
func NewClock() Clock { return Clock{time.Now()} }

// Now returns the time since the clock's beginning.
func (c Clock) Now() time.Duration { return time.Since(c.zero) }

// At returns the time of day of a moment on the clock.
func (c Clock) At(d time.Duration) time.Time { return c.zero.Add(d) }
