package inproc

import (
	"context"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
	"gomono.dev/transport/internal/intake"
)

// member is one receiver of a group. It gets one delivery at a time in its intake, whose
// goroutines call the handler. The lock of the log guards its state.
type member struct {
	transport *Transport
	log       *log
	group     *group // nil before it has joined
	handle    transport.DeliveryHandler
	onEnd     func(error)
	limit     int    // of held
	number    uint64 // orders the members of a group

	intake   *intake.Intake[*delivery]
	assigned *delivery // the delivery in the intake or in the handler; nil if the member is free
	held     int       // deliveries that are not settled
	lost     int       // how many of them Close has handed back

	ended    ending
	stopping bool          // about to end
	over     bool          // finished is closed
	finished chan struct{} // closed when the member has ended, is free, and nothing is held
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
	m.intake = intake.New(1, nil, m.take)
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
	g, err := m.log.groups.ensure(c)
	if err != nil {
		return false, err
	}
	m.group = g
	g.members.add(m)
	m.offer()
	return true, nil
}

// take calls the handler for a delivery. A handler that ends its goroutine ends the
// member.
func (m *member) take(d *delivery) (w transport.Work) {
	how := closed
	defer func() { m.free(how) }()
	d.open()
	op, err := m.transport.begin(context.Background(), engine.Deliver, &d.Message, d)
	switch {
	case op.Times() == 0:
		d.lose(err != nil)
	case err == nil:
		w = hand(m.transport, op, &d.Delivery, cloneDelivery, m.handle)
	}
	how = live
	return w
}

func cloneDelivery(d *transport.Delivery) *transport.Delivery {
	own := *d
	own.Message = *d.Message.Clone()
	return &own
}

// free makes the member ready for another delivery, after the handler has returned, or
// ends it.
func (m *member) free(how ending) {
	m.log.lock()
	defer m.log.unlock()
	m.assigned = nil
	m.end(how, 0)
	m.offer()
	m.finish()
}

// offer adds the member to the idle ones of its group, if it is idle, and makes the group
// deliver what it can.
func (m *member) offer() {
	if m.assigned == nil && m.held < m.limit && m.ended == live && !m.stopping {
		m.group.members.rest(m)
	}
	m.group.offer()
}

// finish marks the member as finished, if it is.
func (m *member) finish() {
	if m.ended != live && m.assigned == nil && m.held == 0 && !m.over {
		m.over = true
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
	m.group.members.remove(m)
	unseen := m.intake.Discard() > 0
	if unseen && how == draining {
		m.held--
		m.group.inFlight.release(m.assigned.hold)
		m.group.offer()
	}
	if unseen {
		m.assigned = nil
	}
	if how > draining {
		m.lost += m.held
		m.held = 0
		m.group.inFlight.handBackAll(m, delay)
		m.group.offer()
	}
	m.finish()
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
		m.group.members.remove(m)
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
	_, _ = m.transport.begin(context.Background(), engine.End, nil, m)
	m.onEnd(err)
}
