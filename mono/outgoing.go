package mono

import (
	"context"
	"sync/atomic"
)

// outgoing counts messages that wait for an answer: calls over the transport, and
// appends. A stop waits for them before it closes the transport.
type outgoing struct {
	underway atomic.Int64
	closed   atomic.Bool
	left     chan struct{} // of capacity 1: signals a leave after closed was set
}

func newOutgoing() *outgoing { return &outgoing{left: make(chan struct{}, 1)} }

// enter counts a message. It reports false after close.
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

// close refuses further messages and waits for the answers of the others. If ctx ends
// first, it returns the number of missing answers.
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
