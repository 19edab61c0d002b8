package inproc

import "context"

// step describes a step of the delivery.
func (d *delivery) step(a Action) Step {
	return Step{
		Action: a, Transport: d.member.transport.number, Subject: d.Subject, Receiver: d.member.number,
		Log: d.member.log.name, Group: d.member.group.name, Sequence: d.Sequence, Attempt: d.Attempt,
	}
}

// hand passes a delivery to the handler, as often as the fault specifies.
func (m *member) hand(d *delivery) {
	t, ctx, step := m.transport, context.Background(), d.step(Deliver)
	before, waited := t.ask(ctx, &step, Before, &d.Message)
	if waited {
		_ = t.backend.awaitStep(ctx, step, d.Body) // this context does not end
	}
	switch {
	case t.closed.Load():
		return // the delivery was handed back
	case before.Err != nil:
		d.lose(true)
		return
	case before.Drop:
		d.lose(false)
		return
	}
	for range before.times() {
		own := d.Delivery
		own.Message = *d.Message.Clone()
		if w := m.handle(&own); w != nil {
			go w.Run()
		}
	}
	if _, waited := t.ask(ctx, &step, After, &d.Message); waited {
		_ = t.backend.awaitStep(ctx, step, d.Body)
	}
}

// lose ends the delivery without calling the handler. The message is redelivered at once
// or after the AckWait.
func (d *delivery) lose(atOnce bool) {
	_ = d.end(func(g *group, h *hold) { // an error means that it was handed back already
		due := g.log.now
		if !atOnce {
			due = after(due, g.config.AckWait)
		}
		g.handBack(h, due)
	})
}

// settleStep runs a settlement as a step. If it is lost, the message is redelivered after
// the AckWait.
func (d *delivery) settleStep(ctx context.Context, action Action, apply func(*group, *hold)) error {
	lost := func() { d.lose(false) }
	return d.member.transport.act(ctx, d.step(action), &d.Message, func(times int) error {
		if times == 0 {
			lost()
			return nil
		}
		return d.end(apply)
	}, lost)
}
