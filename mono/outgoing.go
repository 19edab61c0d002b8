package mono

import (
	"context"
	"sync/atomic"
)

// outgoing counts what is on its way out and has no answer yet: calls over the
// transport, and appends. A stop waits for them before the transport closes.
type outgoing struct {
	underway atomic.Int64
	closed   atomic.Bool
	left     chan struct{} // of capacity 1: one has left since closed was set
}

func newOutgoing() *outgoing { return &outgoing{left: make(chan struct{}, 1)} }

// enter counts one. It reports false when nothing may leave any more.
func (o *outgoing) enter() bool {
	o.underway.Add(1)
	if o.closed.Load() {
		o.leave()
		return false
	}
	return true
}

func (o *outgoing) leave() {
	o.underway.Add(-1)
	if !o.closed.Load() {
		return
	}
	select {
	case o.left <- struct{}{}:
	default:
	}
}

// close lets nothing out any more, waits for the answers of what has left, and
// returns how many are missing when ctx ends.
func (o *outgoing) close(ctx context.Context) int64 {
	o.closed.Store(true)
	for {
		n := o.underway.Load()
		if n <= 0 {
			return 0
		}
		select {
		case <-o.left:
		case <-ctx.Done():
			return n
		}
	}
}
