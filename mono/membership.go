package mono

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// rejoinPause is the pause after a failed attempt to rejoin a group.
const rejoinPause = time.Second

// membership is the membership of a receiver in the group of its log. The deletion of
// the group ends it.
type membership struct {
	config transport.ConsumeConfig
	handle transport.DeliveryHandler
	stay   context.Context // ends when the receiver drains
	leave  context.CancelFunc

	mu     sync.Mutex
	tries  int                // number of attempts to join
	last   int                // the attempt that returned member
	member transport.Receiver // nil: none yet

	draining atomic.Bool
	leaving  chan struct{} // closed when the drain begins
	drained  chan struct{} // closed when the member is drained
	err      error         // of the drain
}

func newMembership(c transport.ConsumeConfig, h transport.DeliveryHandler) *membership {
	m := &membership{config: c, handle: h, leaving: make(chan struct{}), drained: make(chan struct{})}
	m.stay, m.leave = context.WithCancel(context.Background())
	return m
}

// join makes the receiver a member of its group.
func (r *receiver) join(ctx context.Context) error {
	log, err := r.storage.log(ctx)
	if err != nil {
		return err
	}
	try := r.membership.begin()
	member, err := log.Consume(ctx, r.membership.config, r.membership.handle)
	if err != nil {
		return about(r.decl.String(), err)
	}
	r.membership.hold(try, member)
	return nil
}

func (m *membership) begin() (try int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	return m.tries
}

// hold keeps a member until the receiver drains. A member of an earlier try has already
// lost its group.
func (m *membership) hold(try int, member transport.Receiver) {
	m.mu.Lock()
	over := m.stay.Err() != nil
	if !over && try > m.last {
		m.last, m.member = try, member
	}
	m.mu.Unlock()
	if over {
		member.Close()
	}
}

// drain ends the membership and drains its member. Later calls wait for the first one and
// return its error.
func (m *membership) drain(ctx context.Context) error {
	if m == nil {
		return nil
	}
	if m.draining.CompareAndSwap(false, true) { // a sync.Once would block on a mutex, which a synctest bubble cannot wait out
		defer close(m.drained)
		member := m.end()
		close(m.leaving)
		if member != nil {
			m.err = member.Drain(ctx)
		}
		return m.err
	}
	<-m.drained
	return m.err
}

// end returns the member, nil if there is none. No other follows.
func (m *membership) end() transport.Receiver {
	m.leave()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.member
}

// leaveGroup begins to drain the membership during a stop, before the turn of the module.
// What the receiver hands back from then on goes to other processes.
func (r *receiver) leaveGroup() {
	if m := r.membership; m != nil {
		go m.drain(r.in.stopEnd)
		<-m.leaving
	}
}

// lost handles the deletion of the receiver's group. The receiver of a queue or a
// durable event rejoins it. The receiver of a stream does not: the position is gone,
// and only a person knows a better one than the start that the declaration gives.
func (r *receiver) lost(err error) {
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
func (r *receiver) rejoin(gone *error) {
	for {
		err := r.join(r.membership.stay)
		if r.membership.stay.Err() != nil {
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
		case <-r.membership.stay.Done():
			return
		}
	}
	r.gone.CompareAndSwap(gone, nil)
	r.in.log.Warn("mono: group recreated, it gets the messages stored from now on", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "group", r.group())
	r.in.observe(GroupRestored{Module: r.unit.name, Handle: r.decl, Group: r.group()})
}
