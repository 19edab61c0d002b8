package mono

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gomono.dev/transport"
)

// consume starts to receive stored messages.
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
	r.membership = newMembership(c, r.skipOtherGroups(begin))
	return r.join(ctx)
}

// skipOtherGroups acknowledges and skips the messages for other groups.
func (r *receiver) skipOtherGroups(begin transport.DeliveryHandler) transport.DeliveryHandler {
	prefix, group := r.in.prefix(r.decl), r.group()
	return func(d *transport.Delivery) transport.Work {
		if forOtherGroup(d.Subject, prefix, group) {
			r.logSettlement(d, d.Ack(context.Background()))
			return nil
		}
		return begin(d)
	}
}

// take admits a delivery, as receive does a message.
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

// describe fills in a Call from its delivery.
func (r *receiver) describe(c *Call, d *transport.Delivery) {
	c.at, c.decl, c.delivery, c.id = r, r.decl, d, r.storage.idOf(d)
}

// attempt runs the handler, unless the delivery exceeds the last attempt. The payload
// is a copy: a dead letter is the message as it came.
func (r *receiver) attempt(t *ticket, d *transport.Delivery) error {
	if d.Attempt > r.config.maxAttempts() {
		return r.overdue(d)
	}
	began := r.in.clock.now()
	k, err := r.codecOf(&d.Message)
	if err == nil {
		err = r.process(r.in.ctx, &d.Message, k, t, began, decode)
	}
	r.stats.record(&r.stats.received, r.in.clock.now()-began, err)
	return err
}

// runAttempt runs middleware and handler for a message or a batch, within the Timeout.
func (r *receiver) runAttempt(ctx context.Context, c *Call) error {
	if r.config.Timeout == 0 {
		return r.run(ctx, c)
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	err := r.run(ctx, c)
	if !expired(ctx) {
		return err
	}
	return r.exceeded(err)
}

// expired reports whether the deadline of a context has passed before its parent ended.
func expired(ctx context.Context) bool {
	if err := ctx.Err(); err != nil {
		return errors.Is(err, context.DeadlineExceeded)
	}
	deadline, _ := ctx.Deadline()
	return !time.Now().Before(deadline) // its timer may be late
}

// exceeded returns the error of an attempt that exceeded the Timeout. Its cause is the
// error of the handler, which may be nil.
func (r *receiver) exceeded(err error) error {
	if err == nil {
		return &overtime{Errorf(DeadlineExceeded, "%s: the attempt exceeded its Timeout of %v", r.decl, r.config.Timeout)}
	}
	return &overtime{Errorf(DeadlineExceeded, "%s: the attempt exceeded its Timeout of %v: %w", r.decl, r.config.Timeout, err)}
}

// overdue returns why a delivery after the last attempt is not handled: its dead letter
// could not be stored, or the outcome of that attempt is unknown.
func (r *receiver) overdue(d *transport.Delivery) error {
	if v := r.pending.of(d.Sequence); v != nil {
		return v
	}
	return &unknownOutcome{Errorf(Unknown, "the outcome of attempt %d is unknown: its process died, its acknowledgement was lost, or its dead letter could not be stored", r.config.maxAttempts())}
}

type unknownOutcome struct{ error }

func (u *unknownOutcome) Unwrap() error { return u.error }

// settle settles a delivery according to the result of its attempt.
func (r *receiver) settle(c *Call, d *transport.Delivery, err error) {
	if err == nil {
		r.logSettlement(d, d.Ack(context.Background()))
		return
	}
	if r.isHandBack(c, err) {
		r.leaveGroup()
		r.in.log.Info("mono: message handed back, the App stops", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
			"id", c.ID(), "attempt", d.Attempt, "error", err)
		r.handBack(d)
		return
	}
	if reason := r.deadLetterReason(c, d, err); reason != "" {
		r.moveToDeadLetters(c, d, reason, err)
		return
	}
	wait := r.wait(d, err)
	r.in.log.Warn("mono: attempt failed, another follows", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
		"id", c.ID(), "attempt", d.Attempt, "of", r.config.maxAttempts(), "wait", wait, "error", err)
	r.in.observe(MessageRetried{Module: r.unit.name, Handle: r.decl, Group: c.Group(), ID: c.ID(), Attempt: d.Attempt, Wait: wait, Err: err})
	r.logSettlement(d, d.Nak(context.Background(), wait))
}

// isHandBack reports whether an attempt does not count: the handler hands the message back
// because the App stops, or it failed because the App ran out of time to stop. A failure
// counts if it is Permanent or RetryAfter, or if its Timeout expired before.
func (r *receiver) isHandBack(c *Call, err error) bool {
	if !c.decoded || !r.in.isStopping() {
		return false
	}
	if _, ok := errors.AsType[*handBack](err); ok {
		return true
	}
	_, dropped := errors.AsType[*permanent](err)
	_, retried := errors.AsType[*retryAfter](err)
	_, late := errors.AsType[*overtime](err)
	return r.in.ctx.Err() != nil && !dropped && !retried && !late
}

// deadLetterReason returns the reason why a message gets no further attempt, "" if it
// gets one.
func (r *receiver) deadLetterReason(c *Call, d *transport.Delivery, err error) Reason {
	if v, ok := errors.AsType[*pendingDeadLetter](err); ok {
		return v.reason
	}
	if _, ok := errors.AsType[*unknownOutcome](err); ok {
		return ReasonOutcomeUnknown
	}
	if !c.decoded {
		return ReasonUndecodable
	}
	if _, ok := errors.AsType[*permanent](err); ok {
		return ReasonPermanent
	}
	if d.Attempt >= r.config.maxAttempts() {
		return ReasonAttempts
	}
	return ""
}

// moveToDeadLetters stores a message as a dead letter, and then ends its delivery. If
// the dead letter cannot be stored, the message is delivered again.
func (r *receiver) moveToDeadLetters(c *Call, d *transport.Delivery, reason Reason, err error) {
	deadLetter := r.newDeadLetter(c, d, reason, err)
	kept := r.in.storeDeadLetter(r.decl, deadLetter)
	for CodeOf(kept) == InvalidArgument && shortenDeadLetter(deadLetter) {
		kept = r.in.storeDeadLetter(r.decl, deadLetter)
	}
	if kept != nil {
		r.in.log.Error("mono: dead letter not stored, the message will be delivered again", "module", r.unit.name, "handle", r.decl.name,
			"id", c.ID(), "reason", reason, "error", err, "because", kept)
		r.pending.remember(d.Sequence, reason, err)
		r.logSettlement(d, d.Nak(context.Background(), max(r.wait(d, nil), minDeadLetterWait)))
		return
	}
	r.pending.forget(d.Sequence)
	r.in.log.Error("mono: message given up, it is a dead letter now", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
		"id", c.ID(), "attempts", d.Attempt, "reason", reason, "error", err)
	r.in.observe(MessageDeadLettered{Module: r.unit.name, Handle: r.decl, Group: c.Group(), ID: c.ID(), Attempts: d.Attempt, Reason: reason, Err: err})
	r.logSettlement(d, d.Terminate(context.Background(), string(reason)))
}

// minDeadLetterWait is the minimal wait between two attempts to store a dead letter.
const minDeadLetterWait = time.Second

// handBack returns a delivery for other receivers. It does not count as an attempt.
func (r *receiver) handBack(d *transport.Delivery) {
	r.logSettlement(d, d.Release(context.Background()))
}

// handBackAll hands back deliveries concurrently, so that a backend can note them together.
func (r *receiver) handBackAll(all []*transport.Delivery) {
	var wait sync.WaitGroup
	for _, d := range all {
		wait.Go(func() { r.handBack(d) })
	}
	wait.Wait()
}

// logSettlement logs a settlement that the transport has not accepted. The message is
// delivered again, as at-least-once delivery allows.
func (r *receiver) logSettlement(d *transport.Delivery, err error) {
	if err != nil && CodeOf(err) != FailedPrecondition {
		r.in.log.Warn("mono: settlement lost, the message will be delivered again", "module", r.unit.name, "handle", r.decl.name,
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
