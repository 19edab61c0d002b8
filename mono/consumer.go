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
	*receiver
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
	c := &consumer{receiver: r, prefix: r.in.names.prefix(r.decl), leaving: make(chan struct{}), drained: make(chan struct{})}
	c.stay, c.end = context.WithCancel(context.Background())
	return c
}

// start implements source.
func (r *consumer) start(ctx context.Context) error {
	r.config = transport.ConsumeConfig{
		Group: r.in.logs.group(r.decl, &r.receiver.config, r.group()), MaxInFlight: r.gate.limit, OnEnd: r.lost,
	}
	r.config.Group.Update = true
	if r.pack != nil {
		r.batcher = newBatcher(r.receiver)
		r.config.MaxInFlight *= r.batcher.size
	}
	return r.join(ctx)
}

// receive receives a delivery. It acknowledges and skips the messages for other groups.
func (r *consumer) receive(d *transport.Delivery) transport.Work {
	switch {
	case forOtherGroup(d.Subject, r.prefix, r.config.Group.Name):
		r.settler.logSettlement(d, d.Ack(context.Background()))
		return nil
	case r.batcher != nil:
		return r.batcher.add(r.message(&d.Message, d))
	}
	return r.admit(r.message(&d.Message, d))
}

// join makes the receiver a member of its group.
func (r *consumer) join(ctx context.Context) error {
	log, err := r.storage.log(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.tries++
	try := r.tries
	r.mu.Unlock()
	member, err := log.Consume(ctx, r.config, r.receive)
	if err != nil {
		return about(r.decl.String(), err)
	}
	r.hold(try, member)
	return nil
}

// hold keeps a member until the receiver drains. A member of an earlier try has already
// lost its group.
func (r *consumer) hold(try int, member transport.Receiver) {
	r.mu.Lock()
	over := r.stay.Err() != nil
	if !over && try > r.last {
		r.last, r.member = try, member
	}
	r.mu.Unlock()
	if over {
		member.Close()
	}
}

// drain implements source.
func (r *consumer) drain(ctx context.Context) error {
	if r.batcher != nil {
		close(r.batcher.flush)
		defer close(r.batcher.quit)
	}
	return r.drainMember(ctx)
}

// leave implements source. The messages that are handed back from then on go to other
// processes.
func (r *consumer) leave() {
	go r.drainMember(r.in.stopEnd)
	<-r.leaving
}

// drainMember ends the membership and drains the member. Later calls wait for the first
// one and return its error.
func (r *consumer) drainMember(ctx context.Context) error {
	if r.begun.CompareAndSwap(false, true) { // a sync.Once would block on a mutex, which a synctest bubble cannot wait out
		defer close(r.drained)
		r.end()
		r.mu.Lock()
		member := r.member
		r.mu.Unlock()
		close(r.leaving)
		if member != nil {
			r.err = member.Drain(ctx)
		}
		return r.err
	}
	<-r.drained
	return r.err
}

// concerned implements source.
func (r *consumer) concerned(d *transport.Denial) bool {
	return r.storage.config.Name == d.Log && r.group() == d.Group
}

// lost handles the deletion of the receiver's group. The receiver of a queue or a
// durable event rejoins it. The receiver of a stream does not: the position is gone,
// and only a person knows a better one than the start that the declaration gives.
func (r *consumer) lost(err error) {
	r.in.log.Error("mono: group lost", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "group", r.group(), "error", err)
	r.in.observe(GroupLost{Module: r.unit.name, Handle: r.decl, Group: r.group(), Err: err})
	if r.decl.kind == KindStream {
		err = fmt.Errorf("group %q is gone, with its position: %w; restart the App to recreate it: it begins as mono.From specifies, by default with the oldest message", r.group(), err)
		r.gone.Store(&err)
		return
	}
	err = fmt.Errorf("group %q is gone and is being recreated: %w", r.group(), err)
	r.gone.Store(&err)
	go r.rejoin(&err)
}

// rejoin joins the group again. Until then the receiver is unhealthy, with gone or a
// later error as the reason.
func (r *consumer) rejoin(gone *error) {
	for {
		err := r.join(r.stay)
		if r.stay.Err() != nil {
			return
		}
		if err == nil {
			break
		}
		if CodeOf(err) == NotFound {
			r.storage.reopen() // the log was deleted, with all that was in it
		}
		err = fmt.Errorf("group %q is gone and cannot be recreated yet: %w", r.group(), err)
		if !r.gone.CompareAndSwap(gone, &err) {
			return // the receiver has ended for another reason
		}
		gone = &err
		select {
		case <-time.After(rejoinPause):
		case <-r.stay.Done():
			return
		}
	}
	r.gone.CompareAndSwap(gone, nil)
	r.in.log.Warn("mono: group recreated, it gets the messages stored from now on", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "group", r.group())
	r.in.observe(GroupRestored{Module: r.unit.name, Handle: r.decl, Group: r.group()})
}
