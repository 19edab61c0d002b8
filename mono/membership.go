package mono

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gomono.dev/transport"
)

// rejoinPause is the pause after a failed attempt to receive again.
const rejoinPause = time.Second

// membership is the place of a receiver in the group of its log. The receiver loses it
// when somebody deletes the group.
type membership struct {
	config transport.ConsumeConfig
	stay   context.Context // ends when the receiver drains
	leave  context.CancelFunc

	mu     sync.Mutex
	tries  int                // to join
	last   int                // the try that member is from
	member transport.Receiver // nil: none yet
}

func newMembership(c transport.ConsumeConfig) *membership {
	m := &membership{config: c}
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
	member, err := log.Consume(ctx, r.membership.config, nil)
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

// hold keeps a member until the receiver drains. One from an earlier try than the last
// has lost its group already.
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

// end returns the member that is to be drained, if there is one. None follows it.
func (m *membership) end() []transport.Receiver {
	if m == nil {
		return nil
	}
	m.leave()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.member == nil {
		return nil
	}
	return []transport.Receiver{m.member}
}

// lost is told that the receiver's group was deleted. The group of a queue or of a
// durable event is made again. That of a stream is not: its position is gone, and only
// a person knows where it should begin.
func (r *receiver) lost(err error) {
	r.in.log.Error("mono: group lost", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "group", r.group(), "error", err)
	r.in.observe(GroupLost{Module: r.unit.name, Handle: r.decl, Group: r.group(), Err: err})
	if r.decl.kind == KindStream {
		err = fmt.Errorf("group %q is gone, and its position with it: %w; restart the App to make it anew: it begins where mono.From says", r.group(), err)
		r.gone.Store(&err)
		return
	}
	err = fmt.Errorf("group %q is gone, and is being made again: %w", r.group(), err)
	r.gone.Store(&err)
	go r.rejoin(&err)
}

// rejoin receives again. Until then the receiver is not healthy.
func (r *receiver) rejoin(gone *error) {
	for {
		err := r.join(r.membership.stay)
		if r.membership.stay.Err() != nil {
			return
		}
		if err == nil {
			break
		}
		err = fmt.Errorf("group %q is gone, and cannot be made again yet: %w", r.group(), err)
		if !r.gone.CompareAndSwap(gone, &err) {
			return // nothing can be received any more
		}
		gone = &err
		select {
		case <-time.After(rejoinPause):
		case <-r.membership.stay.Done():
			return
		}
	}
	r.gone.CompareAndSwap(gone, nil)
	r.in.log.Warn("mono: group made again, it receives what is stored from now on", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "group", r.group())
	r.in.observe(GroupRestored{Module: r.unit.name, Handle: r.decl, Group: r.group()})
}
