package mono

import "sync/atomic"

// crew runs the handlers of a receiver that has several at once. Its goroutines stay
// for the next message, since a new one would grow its stack anew, until the App has
// stopped. How many run at once is for the gate to say.
type crew struct {
	run  func(*ticket)
	work chan *ticket
	over <-chan struct{}
	idle atomic.Int32
}

// maxIdle is how many goroutines of a crew wait at most for what comes next.
const maxIdle = 32

func newCrew(run func(*ticket), over <-chan struct{}) *crew {
	return &crew{run: run, work: make(chan *ticket), over: over}
}

// hand gives a message that was let in to somebody who waits, or to somebody new.
func (c *crew) hand(t *ticket) {
	select {
	case c.work <- t:
	default:
		go c.member(t)
	}
}

func (c *crew) member(t *ticket) {
	for t != nil {
		c.run(t)
		t = c.wait()
	}
}

// wait returns the next message, or nil where nobody has to wait for it any more.
func (c *crew) wait() *ticket {
	defer c.idle.Add(-1)
	if c.idle.Add(1) > maxIdle {
		return nil
	}
	select {
	case t := <-c.work:
		return t
	case <-c.over:
		return nil
	}
}
