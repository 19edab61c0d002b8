package mono

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gomono.dev/transport"
)

// consume begins to receive stored messages.
func (r *receiver) consume(ctx context.Context) error {
	c := transport.ConsumeConfig{Group: r.in.groupConfig(r.decl, &r.config, r.group()), MaxInFlight: r.gate.limit, OnEnd: r.lost}
	c.Group.Update = true
	begin := r.take
	if r.pack != nil {
		b := newBatcher(r)
		c.MaxInFlight *= b.size
		begin = b.add
		r.batcher = b
	}
	c.Begin = r.own(begin)
	r.membership = newMembership(c)
	return r.join(ctx)
}

// own passes over what is for another group: this one is done with it.
func (r *receiver) own(begin func(*transport.Delivery) transport.Work) func(*transport.Delivery) transport.Work {
	prefix, group := r.in.prefix(r.decl), r.group()
	return func(d *transport.Delivery) transport.Work {
		if toAnother(d.Subject, prefix, group) {
			r.told(d, d.Ack(context.Background()))
			return nil
		}
		return begin(d)
	}
}

// take takes a delivery in, as receive does a message.
func (r *receiver) take(d *transport.Delivery) transport.Work {
	t := r.newTicket()
	t.call.at, t.call.message, t.call.delivery = r, &d.Message, d
	if !r.gate.enter(r.in.ctx, t) {
		r.leaveGroup()
		r.handBack(d)
		return nil
	}
	return r.begin(t)
}

// work makes one attempt and settles the delivery.
func (r *receiver) work(t *ticket, d *transport.Delivery) {
	defer r.gate.leave(t)
	c := &t.call
	r.describe(c, d)
	var err error
	returned := false
	defer func() {
		if !returned {
			err = r.exited()
		}
		r.settle(c, d, err)
	}()
	err = r.attempt(t, d)
	returned = true
}

// describe tells a handler about its delivery.
func (r *receiver) describe(c *Call, d *transport.Delivery) {
	c.at, c.decl, c.delivery, c.id = r, r.decl, d, r.storage.idOf(d)
}

// attempt runs the handler, unless the last attempt was one before. The payload is
// a copy: what becomes a dead letter is the message as it came.
func (r *receiver) attempt(t *ticket, d *transport.Delivery) error {
	if d.Attempt > r.config.maxAttempts() {
		return r.overdue(d)
	}
	began := r.in.clock.now()
	k, err := r.codecOf(&d.Message)
	if err == nil {
		err = r.process(r.in.ctx, &d.Message, k, t, began, decode)
	}
	r.stats.record(&r.stats.wire, r.in.clock.now()-began, err)
	return err
}

// overdue is why a delivery after the last attempt is not handled: its dead letter
// could not be stored, or nobody said how that attempt ended.
func (r *receiver) overdue(d *transport.Delivery) error {
	if v := r.unburied.of(d.Sequence); v != nil {
		return v
	}
	return &unheard{Errorf(Unknown, "no word came of how attempt %d ended: its process died, its acknowledgement was lost, or its dead letter could not be stored", r.config.maxAttempts())}
}

type unheard struct{ error }

func (u *unheard) Unwrap() error { return u.error }

// settle ends a delivery as its attempt ended.
func (r *receiver) settle(c *Call, d *transport.Delivery, err error) {
	if err == nil {
		r.told(d, d.Ack(context.Background()))
		return
	}
	if r.isHandBack(c, err) {
		r.leaveGroup()
		r.in.log.Info("mono: handed back, the App stops", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
			"id", c.ID(), "attempt", d.Attempt, "error", err)
		r.handBack(d)
		return
	}
	if reason := r.deadBy(c, d, err); reason != "" {
		r.bury(c, d, reason, err)
		return
	}
	wait := r.wait(d, err)
	r.in.log.Warn("mono: attempt failed, another follows", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
		"id", c.ID(), "attempt", d.Attempt, "of", r.config.maxAttempts(), "wait", wait, "error", err)
	r.in.observe(MessageRetried{Module: r.unit.name, Handle: r.decl, Group: c.Group(), ID: c.ID(), Attempt: d.Attempt, Wait: wait, Err: err})
	r.told(d, d.Nak(context.Background(), wait))
}

// isHandBack reports whether an attempt ended without a verdict about the message: the
// handler hands it back because the App stops, or the time to stop is over and the handler
// gave no verdict.
func (r *receiver) isHandBack(c *Call, err error) bool {
	if !c.decoded || !r.in.isStopping() {
		return false
	}
	if _, ok := errors.AsType[*handBack](err); ok {
		return true
	}
	_, dropped := errors.AsType[*drop](err)
	_, retried := errors.AsType[*retryIn](err)
	return r.in.ctx.Err() != nil && !dropped && !retried
}

// deadBy says why a message gets no further attempt, "" where it does.
func (r *receiver) deadBy(c *Call, d *transport.Delivery, err error) Reason {
	if v, ok := errors.AsType[*unburied](err); ok {
		return v.reason
	}
	if _, ok := errors.AsType[*unheard](err); ok {
		return ReasonOutcomeUnknown
	}
	if !c.decoded {
		return ReasonUndecodable
	}
	if _, ok := errors.AsType[*drop](err); ok {
		return ReasonDropped
	}
	if d.Attempt >= r.config.maxAttempts() {
		return ReasonAttempts
	}
	return ""
}

// bury keeps a message as a dead letter, and only then ends it. Where it cannot
// be kept, the message comes again.
func (r *receiver) bury(c *Call, d *transport.Delivery, reason Reason, err error) {
	letter := r.letter(c, d, reason, err)
	kept := r.in.keep(r.decl, letter)
	for CodeOf(kept) == InvalidArgument && shorten(letter) {
		kept = r.in.keep(r.decl, letter)
	}
	if kept != nil {
		r.in.log.Error("mono: dead letter not stored, the message comes again", "module", r.unit.name, "handle", r.decl.name,
			"id", c.ID(), "reason", reason, "error", err, "because", kept)
		r.unburied.remember(d.Sequence, reason, err)
		r.told(d, d.Nak(context.Background(), max(r.wait(d, nil), minBurialWait)))
		return
	}
	r.unburied.forget(d.Sequence)
	r.in.log.Error("mono: message given up, it is a dead letter now", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
		"id", c.ID(), "attempts", d.Attempt, "reason", reason, "error", err)
	r.in.observe(MessageDied{Module: r.unit.name, Handle: r.decl, Group: c.Group(), ID: c.ID(), Attempts: d.Attempt, Reason: reason, Err: err})
	r.told(d, d.Terminate(context.Background(), string(reason)))
}

// minBurialWait keeps a message that can be neither handled nor buried from
// coming again and again without a pause.
const minBurialWait = time.Second

// handBack lets others have a delivery. It was no attempt.
func (r *receiver) handBack(d *transport.Delivery) {
	r.told(d, d.Release(context.Background()))
}

// handBackAll lets others have deliveries. It hands back all at once, which a backend can
// note together.
func (r *receiver) handBackAll(all []*transport.Delivery) {
	var wait sync.WaitGroup
	for _, d := range all {
		wait.Go(func() { r.handBack(d) })
	}
	wait.Wait()
}

// told logs a settlement that the transport has not taken. The message comes
// again, which is what at least once means.
func (r *receiver) told(d *transport.Delivery, err error) {
	if err != nil && CodeOf(err) != FailedPrecondition {
		r.in.log.Warn("mono: settlement lost, the message comes again", "module", r.unit.name, "handle", r.decl.name,
			"sequence", d.Sequence, "error", err)
	}
}

// check is the health check of a receiver: its group exists, and it may receive.
func (r *receiver) check() error {
	if err := r.gone.Load(); err != nil {
		return fmt.Errorf("%s: %w", r.decl, *err)
	}
	if err := r.in.denials.of(endpoint{r.decl.identity(), r}); err != nil {
		return about(r.decl.String(), err)
	}
	return nil
}
