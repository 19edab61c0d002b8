package mono

import (
	"context"
	"sync/atomic"
	"time"
)

// within returns the context of the Call's handler: ctx, plus the Call for CallFrom. It
// is the Call itself under another type. It is called once per Call.
func (c *Call) within(ctx context.Context) context.Context {
	c.around = ctx
	return (*callContext)(c)
}

type callContext Call

func (c *callContext) Deadline() (time.Time, bool) { return c.around.Deadline() }
func (c *callContext) Done() <-chan struct{}       { return c.around.Done() }
func (c *callContext) Err() error                  { return c.around.Err() }

func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return (*Call)(c)
	}
	return c.around.Value(key)
}

// limitedContext is like context.WithTimeout, but sets its timer only for the first
// Done: most handlers return without using their context, and a transport has timers of
// its own.
type limitedContext struct {
	parent   context.Context
	in       *instance
	deadline time.Duration // on the instance's clock
	live     atomic.Pointer[liveContext]
}

// begin sets the limit, before the context is handed out.
func (l *limitedContext) begin(parent context.Context, in *instance, deadline time.Duration) context.Context {
	l.parent, l.in, l.deadline = parent, in, deadline
	return l
}

// end cancels the context.
func (l *limitedContext) end() {
	if !l.live.CompareAndSwap(nil, over) {
		l.live.Load().end()
	}
}

// Limit returns what ends the context. A transport may wait for these two, with a timer
// of its own.
func (l *limitedContext) Limit() (parent context.Context, deadline time.Time) {
	return l.parent, l.in.clock.at(l.deadline)
}

// wait returns a context of the standard library, and creates it if necessary. If
// several goroutines create one at once, only one is kept.
func (l *limitedContext) wait() context.Context {
	for {
		live := l.live.Load()
		if live != nil && live != over {
			return live
		}
		ctx, cancel := context.WithDeadline(l.parent, l.in.clock.at(l.deadline))
		if live == over {
			cancel()
		}
		if made := (&liveContext{ctx, cancel}); l.live.CompareAndSwap(live, made) {
			return made
		}
		cancel()
	}
}

func (l *limitedContext) Deadline() (time.Time, bool) {
	own := l.in.clock.at(l.deadline)
	if earlier, ok := l.parent.Deadline(); ok && earlier.Before(own) {
		return earlier, true
	}
	return own, true
}

func (l *limitedContext) Done() <-chan struct{} { return l.wait().Done() }

func (l *limitedContext) Err() error {
	if !l.settled() {
		return nil
	}
	if err := l.wait().Err(); err != nil || !l.late() {
		return err
	}
	return context.DeadlineExceeded // the timer will expire now
}

// settled reports whether the context of the standard library determines the result.
func (l *limitedContext) settled() bool {
	return l.live.Load() != nil || l.parent.Err() != nil || l.late()
}

func (l *limitedContext) late() bool { return l.in.clock.now() >= l.deadline }

// Value asks the context of the standard library, if it exists: derived contexts find
// it there, and need no goroutine to wait for it.
func (l *limitedContext) Value(key any) any {
	if l.settled() {
		return l.wait().Value(key)
	}
	return l.parent.Value(key)
}
