// Package patience waits for contexts with reusable timers.
package patience

import (
	"context"
	"sync"
	"time"

	"gomono.dev/internal/lazy"
)

// Timers holds timers for waiting for contexts. The zero value is ready to use. It may be
// used concurrently, by goroutines of one bubble of testing/synctest.
type Timers struct{ idle sync.Pool }

// Wait returns two channels, either of which may be nil. When ctx ends, or after limit if that
// is not 0, one of them delivers or is closed. The timer must be passed to Stop.
func (ts *Timers) Wait(ctx context.Context, limit time.Duration) (done <-chan struct{}, late <-chan time.Time, timer *time.Timer) {
	left := limit
	if parent, deadline, ok := lazy.Limit(ctx); ok {
		if ctx, left = parent, time.Until(deadline); limit > 0 {
			left = min(left, limit)
		}
	} else if limit == 0 {
		return ctx.Done(), nil, nil
	}
	timer, ok := ts.idle.Get().(*time.Timer)
	if ok {
		timer.Reset(left)
	} else {
		timer = time.NewTimer(left)
	}
	return ctx.Done(), timer.C, timer
}

// Stop ends a wait.
func (ts *Timers) Stop(timer *time.Timer) {
	if timer == nil {
		return
	}
	timer.Stop()
	ts.idle.Put(timer)
}
