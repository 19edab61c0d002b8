package inproc

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"gomono.dev/transport"
)

// member is one receiver of a group. Its goroutines take turns to call the handler
// ([intake.Relay]). The lock of the log guards its state.
type member struct {
	transport *Transport
	log       *log
	group     *group // nil before it has joined
	handle    transport.DeliveryHandler
	onEnd     func(error)
	limit     int    // of held
	number    uint64 // orders the members of a group

	wake     sync.Cond // signaled when assigned or ended is set
	waiting  bool      // the leading goroutine waits for a delivery
	assigned *delivery // the delivery for the parked goroutine
	held     int       // deliveries that are not settled
	lost     int       // how many of them Close has handed back

	ended    ending
	stopping bool          // about to end
	returned bool          // the handler is not called any more
	finished chan struct{} // closed when the handler has returned and nothing is held
}

// ending is the state of the end of a member.
type ending uint8

const (
	live     ending = iota
	draining        // gets nothing new
	closed          // its deliveries were handed back
	killed          // its deliveries wait for the AckWait
)

func newMember(t *Transport, l *log, c transport.ConsumeConfig, h transport.DeliveryHandler) *member {
	m := &member{
		transport: t,
		log:       l,
		handle:    h,
		onEnd:     c.OnEnd,
		limit:     c.MaxInFlight,
		finished:  make(chan struct{}),
	}
	m.wake.L = &l.mu
	return m
}

// join adds the member to the group that c describes. It returns false if the member has
// ended before, together with its Transport.
func (m *member) join(c transport.GroupConfig) (bool, error) {
	m.log.lock()
	defer m.log.unlock()
	if m.ended != live {
		return false, nil
	}
	g, err := m.log.ensureGroup(c)
	if err != nil {
		return false, err
	}
	g.joined++
	m.group, m.number = g, g.joined
	g.members = append(g.members, m)
	return true, nil
}

// step calls the handler for the next delivery, until the member has ended. A handler
// that ends its goroutine ends the member.
func (m *member) step() (w transport.Work, more bool) {
	d := m.next()
	if d == nil {
		return nil, false
	}
	d.open()
	if m.transport.backend.watched {
		m.hand(d)
		return nil, true
	}
	return m.handle(&d.Delivery), true
}

// next waits for a delivery. It returns nil if the member has ended.
func (m *member) next() *delivery {
	m.log.lock()
	defer m.log.unlock()
	m.waiting = true
	m.offer()
	for m.assigned == nil && m.ended == live {
		m.wake.Wait()
	}
	d := m.assigned
	m.waiting, m.assigned = false, nil
	return d
}

// offer adds the member to the idle ones of its group, if it is idle, and makes the group
// deliver what it can.
func (m *member) offer() {
	if m.waiting && m.assigned == nil && m.held < m.limit && m.ended == live && !m.stopping {
		i, there := slices.BinarySearchFunc(m.group.idle, m, func(a, b *member) int { return cmp.Compare(a.number, b.number) })
		if !there {
			m.group.idle = slices.Insert(m.group.idle, i, m)
		}
	}
	m.group.offer()
}

// leave ends the calls of the handler.
func (m *member) leave() {
	m.log.lock()
	defer m.log.unlock()
	if m.ended == live {
		m.end(closed, 0)
	}
	m.returned = true
	m.finish()
}

// finish marks the member as finished, if it is.
func (m *member) finish() {
	if m.returned && m.held == 0 {
		m.returned = false
		close(m.finished)
		m.transport.unregister(m)
	}
}

// end removes the member from its group, unless that has happened. It hands back the
// deliveries that the handler has not received and, unless the member drains, all others.
func (m *member) end(how ending, delay time.Duration) {
	if m.ended >= how {
		return
	}
	m.ended = how
	if m.group == nil {
		return
	}
	m.group.removeMember(m)
	if unseen := m.assigned; unseen != nil && how == draining {
		m.assigned = nil
		m.held--
		m.group.release(unseen.hold)
		m.group.offer()
	}
	if how > draining {
		m.lost += m.held
		m.assigned, m.held = nil, 0
		m.group.handBackAll(m, delay)
	}
	m.finish()
	m.wake.Signal()
}

// removeMember removes a member.
func (g *group) removeMember(m *member) {
	is := func(other *member) bool { return other == m }
	g.members = slices.DeleteFunc(g.members, is)
	g.idle = slices.DeleteFunc(g.idle, is)
}

// Drain implements [transport.Receiver]. Nil means that all deliveries passed to the
// handler are settled. If a Close came first, Drain returns Unavailable with the number
// of deliveries that were handed back.
func (m *member) Drain(ctx context.Context) error {
	m.stop(draining, 0)
	select {
	case <-m.finished:
	case <-ctx.Done():
		lost := m.stop(closed, 0)
		return transport.ContextError(ctx, transport.OutcomeNotDone,
			"drain of a member of %s: %w, %d messages were handed back", m.group, ctx.Err(), lost)
	}
	if lost := m.stop(draining, 0); lost > 0 {
		return transport.Errorf(transport.Unavailable, transport.OutcomeNotDone,
			"drain of a member of %s: it was closed, %d messages were handed back", m.group, lost)
	}
	return nil
}

// Close implements [transport.Receiver].
func (m *member) Close() { m.stop(closed, 0) }

// stopReceiving stops deliveries to the member, before it ends.
func (m *member) stopReceiving() {
	m.log.lock()
	defer m.log.unlock()
	m.stopping = true
	if m.group != nil {
		m.group.removeMember(m)
	}
}

// kill ends the member as the end of its process would.
func (m *member) kill() {
	m.log.lock()
	defer m.log.unlock()
	if m.group != nil {
		m.end(killed, m.group.config.AckWait)
	}
	m.ended = killed
}

// stop ends the member and returns how many deliveries Close has handed back.
func (m *member) stop(how ending, delay time.Duration) int {
	m.log.lock()
	defer m.log.unlock()
	m.end(how, delay)
	return m.lost
}

// deleted ends a member whose group is gone. Deliveries that it has received can still be
// settled, without effect.
func (m *member) deleted(err error) {
	m.end(draining, 0)
	if m.onEnd != nil {
		go m.callOnEnd(err)
	}
}

// callOnEnd is a step, because several members of a deleted group may join again.
func (m *member) callOnEnd(err error) {
	_ = m.transport.AwaitStep(context.Background(), Step{Action: End, Log: m.log.name, Group: m.group.name, Receiver: m.number}, nil)
	m.onEnd(err)
}
