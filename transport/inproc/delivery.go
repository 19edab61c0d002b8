package inproc

import (
	"context"
	"fmt"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/inproc/internal/engine"
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
	return d.settle(ctx, engine.Ack, (*inFlight).settle)
}

// Nak implements [transport.Settler].
func (d *delivery) Nak(ctx context.Context, delay time.Duration) error {
	return d.settle(ctx, engine.Nak, func(f *inFlight, h *hold) { f.handBack(h, after(f.group.log.now, delay)) })
}

// Release implements [transport.Settler].
func (d *delivery) Release(ctx context.Context) error {
	return d.settle(ctx, engine.Release, (*inFlight).release)
}

// Terminate implements [transport.Settler]. An inproc Backend has no observers, so it
// drops the reason.
func (d *delivery) Terminate(ctx context.Context, _ string) error {
	return d.settle(ctx, engine.Terminate, (*inFlight).settle)
}

// settle ends the delivery. Every settlement by a handler goes through here.
func (d *delivery) settle(ctx context.Context, action engine.Action, apply func(*inFlight, *hold)) error {
	m := d.member
	if err := m.transport.ready(ctx); err != nil {
		return d.about(err)
	}
	op, err := m.transport.begin(ctx, action, &d.Message, d)
	switch {
	case op.Times() == 0:
		d.lose(false)
	case err == nil:
		err = d.end(apply)
	case op == nil:
		err = d.about(err)
	}
	return op.End(err)
}

// about names the message in an error of its settlement.
func (d *delivery) about(err error) error {
	return driver.About(fmt.Sprintf("settle message %d of log %q", d.Sequence, d.member.log.name), err)
}

// lose ends the delivery because a fault has lost it, or its settlement. The message is
// redelivered at once or after the AckWait.
func (d *delivery) lose(atOnce bool) {
	_ = d.end(func(f *inFlight, h *hold) { // an error means that it was handed back already
		due := f.group.log.now
		if !atOnce {
			due = after(due, f.group.config.AckWait)
		}
		f.handBack(h, due)
	})
}

func (d *delivery) end(apply func(*inFlight, *hold)) error {
	m := d.member
	m.log.lock()
	defer m.log.unlock()
	switch {
	case m.ended == killed:
		return d.about(driver.ErrClosed)
	case d.settled:
		return d.late("was settled before: a delivery is settled once")
	case m.ended == closed:
		return d.late("was handed back when its receiver was closed")
	}
	d.settled = true
	m.held--
	if !m.group.gone {
		apply(&m.group.inFlight, d.hold)
		m.offer()
	}
	m.finish()
	return nil
}

func (d *delivery) late(why string) error {
	return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
		"attempt %d at message %d for %s %s", d.Attempt, d.Sequence, d.member.group, why)
}
