package mono

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// consumer receives the messages of a stored handle: it is a member of a group of the
// handle's log. The deletion of the group ends the membership.
type consumer struct {
	r       *receiver
	config  transport.ConsumeConfig
	prefix  string          // of the subjects of the handle
	batcher *batcher        // nil: one message at a time
	stay    context.Context // ends when the drain begins
	end     context.CancelFunc

	mu     sync.Mutex
	tries  int                // number of attempts to join
	last   int                // the attempt that returned member
	member transport.Receiver // nil: none yet

	begun   atomic.Bool
	leaving chan struct{} // closed when the drain has begun
	drained chan struct{} // closed when the member is drained
	err     error         // of the drain
}

// rejoinPause is the pause after a failed attempt to rejoin a group.
const rejoinPause = time.Second

func newConsumer(r *receiver) *consumer {
	c := &consumer{r: r, prefix: r.in.names.prefix(r.decl), leaving: make(chan struct{}), drained: make(chan struct{})}
	c.stay, c.end = context.WithCancel(context.Background())
	return c
}

// start implements source.
func (c *consumer) start(ctx context.Context) error {
	c.config = transport.ConsumeConfig{
		Group: c.r.in.logs.groupOf(c.r), MaxInFlight: c.r.gate.limit, OnEnd: c.lost, OnFull: c.r.full.set,
	}
	c.config.Group.Update = true
	if c.r.pack != nil {
		c.batcher = newBatcher(c.r)
		c.config.MaxInFlight *= c.batcher.size
	}
	return c.join(ctx)
}

// receive receives a delivery. It acknowledges and skips the messages for other groups.
func (c *consumer) receive(d *transport.Delivery) transport.Work {
	switch {
	case forOtherGroup(d.Subject, c.prefix, c.config.Group.Name):
		c.r.settler.logSettlement(d, d.Ack(context.Background()))
		return nil
	case c.batcher != nil:
		return c.batcher.add(c.r.message(&d.Message, d))
	}
	return c.r.admit(c.r.message(&d.Message, d))
}

// join makes the receiver a member of its group.
func (c *consumer) join(ctx context.Context) error {
	log, err := c.r.storage.log(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.tries++
	try := c.tries
	c.mu.Unlock()
	member, err := log.Consume(ctx, c.config, c.receive)
	if err != nil {
		return about(c.r.decl.String(), err)
	}
	c.hold(try, member)
	return nil
}

// hold keeps a member until the receiver drains. A member of an earlier try has already
// lost its group.
func (c *consumer) hold(try int, member transport.Receiver) {
	c.mu.Lock()
	over := c.stay.Err() != nil
	if !over && try > c.last {
		c.last, c.member = try, member
	}
	c.mu.Unlock()
	if over {
		member.Close()
	}
}

// drain implements source.
func (c *consumer) drain(ctx context.Context) error {
	if c.batcher != nil {
		close(c.batcher.flush)
		defer close(c.batcher.quit)
	}
	return c.drainMember(ctx)
}

// leave implements source. The messages that are handed back from then on go to other
// processes.
func (c *consumer) leave() {
	go c.drainMember(c.r.in.stopEnd)
	<-c.leaving
}

// drainMember ends the membership and drains the member. Later calls wait for the first
// one and return its error.
func (c *consumer) drainMember(ctx context.Context) error {
	if c.begun.CompareAndSwap(false, true) { // a sync.Once would block on a mutex, which a synctest bubble cannot wait out
		defer close(c.drained)
		c.end()
		c.mu.Lock()
		member := c.member
		c.mu.Unlock()
		close(c.leaving)
		if member != nil {
			c.err = member.Drain(ctx)
		}
		return c.err
	}
	<-c.drained
	return c.err
}

// concerned implements source.
func (c *consumer) concerned(d *transport.Denial) bool {
	return c.r.storage.config.Name == d.Log && c.r.group() == d.Group
}

// lost handles the deletion of the receiver's group. The receiver of a queue or a
// durable event rejoins it. The receiver of a stream does not: the position is gone,
// and only a person knows a better one than the start that the declaration gives.
func (c *consumer) lost(err error) {
	c.r.full.clear()
	c.r.in.log.Error("mono: group lost", "module", c.r.unit.name, "handle", c.r.decl.name, "kind", c.r.decl.kind, "group", c.r.group(), "error", err)
	c.r.in.observe(GroupLost{Module: c.r.unit.name, Handle: c.r.decl, Group: c.r.group(), Err: err})
	if c.r.decl.kind == KindStream {
		err = fmt.Errorf("group %q is gone, with its position: %w; restart the App to recreate it: it begins as mono.From specifies, by default with the oldest message", c.r.group(), err)
		c.r.gone.Store(&err)
		return
	}
	err = fmt.Errorf("group %q is gone and is being recreated: %w", c.r.group(), err)
	c.r.gone.Store(&err)
	go c.rejoin(&err)
}

// rejoin joins the group again. Until then the receiver is unhealthy, with gone or a
// later error as the reason.
func (c *consumer) rejoin(gone *error) {
	for {
		err := c.join(c.stay)
		if c.stay.Err() != nil {
			return
		}
		if err == nil {
			break
		}
		if CodeOf(err) == NotFound {
			c.r.storage.reopen() // the log was deleted, with all that was in it
		}
		err = fmt.Errorf("group %q is gone and cannot be recreated yet: %w", c.r.group(), err)
		if !c.r.gone.CompareAndSwap(gone, &err) {
			return // the receiver has ended for another reason
		}
		gone = &err
		select {
		case <-time.After(rejoinPause):
		case <-c.stay.Done():
			return
		}
	}
	c.r.gone.CompareAndSwap(gone, nil)
	c.r.in.log.Warn("mono: group recreated, it gets the messages stored from now on", "module", c.r.unit.name, "handle", c.r.decl.name, "kind", c.r.decl.kind, "group", c.r.group())
	c.r.in.observe(GroupRestored{Module: c.r.unit.name, Handle: c.r.decl, Group: c.r.group()})
}
