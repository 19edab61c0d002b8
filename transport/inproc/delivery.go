package inproc

import (
	"context"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// delivery is one delivery of a message: the value passed to the handler, and the state
// for its settlement.
type delivery struct {
	transport.Delivery
	member  *member
	hold    *hold
	record  string
	meta    int
	settled bool // guarded by the lock of the log
}

// deliver passes a message to a member. Every delivery goes through here.
func (g *group) deliver(m *member, h *hold) {
	g.log.fencingToken++
	h.attempt++
	h.member = m
	d := g.log.read(h.sequence)
	d.member, d.hold = m, h
	d.Attempt, d.FencingToken, d.Remaining, d.Settler = h.attempt, g.log.fencingToken, g.undelivered, d
	m.assigned = d
	m.held++
	m.wake.Signal()
}

// read returns a stored message.
func (l *log) read(sequence uint64) *delivery {
	s := l.store.at(sequence)
	d := &delivery{record: s.record, meta: int(s.meta)}
	d.Subject = l.store.subjects.all[s.subject].name
	d.Sequence, d.Stored = sequence, l.backend.clock.time(s.stored)
	return d
}

// open copies the message for the handler. It runs on the member's goroutine, without the
// lock.
func (d *delivery) open() {
	d.ID, d.Header, d.Body = readRecord(d.record, d.meta)
	d.record = ""
}

// Ack implements [transport.Settler].
func (d *delivery) Ack(ctx context.Context) error {
	return d.settle(ctx, Ack, (*group).settle)
}

// Nak implements [transport.Settler].
func (d *delivery) Nak(ctx context.Context, delay time.Duration) error {
	return d.settle(ctx, Nak, func(g *group, h *hold) { g.handBack(h, after(g.log.now, delay)) })
}

// Release implements [transport.Settler].
func (d *delivery) Release(ctx context.Context) error {
	return d.settle(ctx, Release, (*group).release)
}

// Terminate implements [transport.Settler]. An inproc Backend has no observers, so it
// drops the reason.
func (d *delivery) Terminate(ctx context.Context, _ string) error {
	return d.settle(ctx, Terminate, (*group).settle)
}

// settle ends the delivery. Every settlement by a handler goes through here.
func (d *delivery) settle(ctx context.Context, action Action, apply func(*group, *hold)) error {
	m := d.member
	if err := m.transport.ready(ctx); err != nil {
		return err
	}
	if m.transport.backend.watched {
		return d.settleStep(ctx, action, apply)
	}
	return d.end(apply)
}

func (d *delivery) end(apply func(*group, *hold)) error {
	m := d.member
	m.log.lock()
	defer m.log.unlock()
	switch {
	case m.ended == killed:
		return driver.ErrClosed
	case d.settled:
		return d.late("was settled before: a delivery is settled once")
	case m.ended == closed:
		return d.late("was handed back when its receiver was closed")
	}
	d.settled = true
	m.held--
	if !m.group.gone {
		apply(m.group, d.hold)
		m.offer()
	}
	m.finish()
	return nil
}

func (d *delivery) late(why string) error {
	return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
		"attempt %d at message %d for %s %s", d.Attempt, d.Sequence, d.member.group, why)
}
