package inproc

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"gomono.dev/transport"
)

// member is one receiver of a group, with goroutines that lead in turn and call its
// handler ([intake.Relay]). Its state is guarded by the lock of the log.
type member struct {
	transport *Transport
	log       *log
	group     *group // nil before it has joined
	begin     func(*transport.Delivery) transport.Work
	onEnd     func(error)
	limit     int    // of held
	number    uint64 // by which the members of a group are ordered

	wake     sync.Cond // assigned or ended is set
	parked   bool      // who leads waits for a delivery
	assigned *delivery // what it gets when it wakes
	held     int       // deliveries that are not settled
	lost     int       // of those, what Close has handed back

	ended    ending
	silent   bool          // about to end
	returned bool          // the handler is called no more
	finished chan struct{} // closed when that is so and nothing is held
}

// ending is how far a member has come to its end.
type ending uint8

const (
	live     ending = iota
	draining        // gets nothing new
	closed          // what it held was handed back
	killed          // what it held waits for the AckWait
)

func newMember(t *Transport, l *log, c transport.ConsumeConfig, h func(*transport.Delivery)) *member {
	m := &member{
		transport: t,
		log:       l,
		begin:     c.Beginner(h),
		onEnd:     c.OnEnd,
		limit:     max(c.MaxInFlight, 1),
		finished:  make(chan struct{}),
	}
	m.wake.L = &l.mu
	return m
}

// join makes the member one of the group that c describes. It reports false when
// it has ended before, with its Transport.
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
	return m.begin(&d.Delivery), true
}

// next waits for a delivery. It returns nil when the member has ended.
func (m *member) next() *delivery {
	m.log.lock()
	defer m.log.unlock()
	m.parked = true
	m.offer()
	for m.assigned == nil && m.ended == live {
		m.wake.Wait()
	}
	d := m.assigned
	m.parked, m.assigned = false, nil
	return d
}

// offer puts the member among the idle ones of its group, if it is one, and lets
// the group see whether there is something to do.
func (m *member) offer() {
	if m.parked && m.assigned == nil && m.held < m.limit && m.ended == live && !m.silent {
		i, there := slices.BinarySearchFunc(m.group.idle, m, func(a, b *member) int { return cmp.Compare(a.number, b.number) })
		if !there {
			m.group.idle = slices.Insert(m.group.idle, i, m)
		}
	}
	m.group.offer()
}

// leave is the end of the calls.
func (m *member) leave() {
	m.log.lock()
	defer m.log.unlock()
	if m.ended == live {
		m.end(closed, 0)
	}
	m.returned = true
	m.finish()
}

// finish notes that the member has finished, when it has.
func (m *member) finish() {
	if m.returned && m.held == 0 {
		m.returned = false
		close(m.finished)
		m.transport.disown(m)
	}
}

// end takes the member out of its group, as far as that has not happened, and
// hands back what it held, unseen or, unless it drains, at all.
func (m *member) end(how ending, delay time.Duration) {
	if m.ended >= how {
		return
	}
	m.ended = how
	if m.group == nil {
		return
	}
	m.group.drop(m)
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

// drop takes a member out.
func (g *group) drop(m *member) {
	is := func(other *member) bool { return other == m }
	g.members = slices.DeleteFunc(g.members, is)
	g.idle = slices.DeleteFunc(g.idle, is)
}

// Drain implements [transport.Receiver]. Nil means that all that the handler has
// seen is settled: where a Close was faster, Drain returns Unavailable with the
// number of deliveries that were handed back.
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

// silence lets the member get nothing more, before it ends.
func (m *member) silence() {
	m.log.lock()
	defer m.log.unlock()
	m.silent = true
	if m.group != nil {
		m.group.drop(m)
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

// stop ends the member and returns how much Close has handed back.
func (m *member) stop(how ending, delay time.Duration) int {
	m.log.lock()
	defer m.log.unlock()
	m.end(how, delay)
	return m.lost
}

// deleted ends a member whose group is gone. What it has seen can still be
// settled, to no effect.
func (m *member) deleted(err error) {
	m.end(draining, 0)
	if m.onEnd != nil {
		go m.callOnEnd(err)
	}
}

// callOnEnd is a step, since several members of a deleted group may join again.
func (m *member) callOnEnd(err error) {
	_ = m.transport.AwaitStep(context.Background(), Step{Action: End, Log: m.log.name, Group: m.group.name, Receiver: m.number}, nil)
	m.onEnd(err)
}
