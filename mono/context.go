package mono

import (
	"context"
	"sync"
	"time"

	"gomono.dev/transport"
)

// within returns the context of the Call's handler: ctx, from which CallFrom finds
// the Call. It is the Call itself in another role, and made once.
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

// limitedContext is context.WithTimeout, but its timer is set when somebody waits for
// it: most handlers return without a look at their context, and a transport has
// timers of its own.
type limitedContext struct {
	parent   context.Context
	deadline time.Time

	mu     sync.Mutex
	real   context.Context // nil until somebody waits
	cancel context.CancelFunc
	ended  bool
}

var _ transport.Limited = (*limitedContext)(nil)

// limit is context.WithTimeout.
func limit(parent context.Context, limit time.Duration) *limitedContext {
	l := new(limitedContext)
	l.begin(parent, limit)
	return l
}

// Limit implements [transport.Limited].
func (l *limitedContext) Limit() (parent context.Context, deadline time.Time) {
	return l.parent, l.deadline
}

// begin sets the limit, before the context is handed out.
func (l *limitedContext) begin(parent context.Context, limit time.Duration) context.Context {
	l.parent, l.deadline = parent, time.Now().Add(limit)
	return l
}

// end cancels the context.
func (l *limitedContext) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.cancel != nil {
		l.cancel()
	}
}

// wait returns the context that somebody can wait for.
func (l *limitedContext) wait() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.real == nil {
		l.real, l.cancel = context.WithDeadline(l.parent, l.deadline)
		if l.ended {
			l.cancel()
		}
	}
	return l.real
}

func (l *limitedContext) Deadline() (time.Time, bool) {
	if earlier, ok := l.parent.Deadline(); ok && earlier.Before(l.deadline) {
		return earlier, true
	}
	return l.deadline, true
}

func (l *limitedContext) Done() <-chan struct{} { return l.wait().Done() }

func (l *limitedContext) Err() error {
	if !l.over() {
		return nil
	}
	if err := l.wait().Err(); err != nil || time.Now().Before(l.deadline) {
		return err
	}
	return context.DeadlineExceeded // the timer is about to say so
}

// over reports whether the real context has something to say.
func (l *limitedContext) over() bool {
	l.mu.Lock()
	over := l.real != nil || l.ended
	l.mu.Unlock()
	return over || l.parent.Err() != nil || !time.Now().Before(l.deadline)
}

// Value asks the real context, once there is one: contexts that derive from this
// one find it there, and need no goroutine to wait for it.
func (l *limitedContext) Value(key any) any {
	if l.over() {
		return l.wait().Value(key)
	}
	return l.parent.Value(key)
}
