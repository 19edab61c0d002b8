// Package patience waits for contexts with reusable timers.
package patience

import (
	"context"
	"sync"
	"time"
)

// Timers holds timers for waiting for contexts. The zero value is ready to use. It may be
// used concurrently, by goroutines of one bubble of testing/synctest.
type Timers struct{ idle sync.Pool }

// Wait returns two channels, either of which may be nil. When ctx ends, one of them
// delivers or is closed. The timer must be passed to Stop.
func (ts *Timers) Wait(ctx context.Context) (done <-chan struct{}, late <-chan time.Time, timer *time.Timer) {
	limited, ok := ctx.(Limited)
	if !ok {
		return ctx.Done(), nil, nil
	}
	parent, deadline := limited.Limit()
	left := time.Until(deadline)
	timer, ok = ts.idle.Get().(*time.Timer)
	if ok {
		timer.Reset(left)
	} else {
		timer = time.NewTimer(left)
	}
	return parent.Done(), timer.C, timer
}

// Stop ends a wait.
func (ts *Timers) Stop(timer *time.Timer) {
	if timer == nil {
		return
	}
	timer.Stop()
	ts.idle.Put(timer)
}
