package mono

import (
	"context"
	"errors"
	"sync"
	"time"

	"gomono.dev/transport"
)

// settler finishes stored messages: it settles their deliveries.
type settler struct {
	*receiver
	consumer *consumer
	pending  pendingDeadLetters
}

// refuse implements finisher.
func (r *settler) refuse(m *inbound) {
	r.consumer.leave()
	if m.batch == nil {
		r.handBack(m.call.delivery)
		return
	}
	r.handBackAll(m.batch)
}

// finish implements finisher. It settles a delivery according to the result of its
// attempt.
func (r *settler) finish(m *inbound, res result) {
	if m.batch != nil {
		r.finishBatch(m.batch, res)
		return
	}
	c, d := &m.call, m.call.delivery
	if res.late {
		res.err = r.exceeded(res.err)
	}
	if res.err == nil {
		r.logSettlement(d, d.Ack(context.Background()))
		return
	}
	if r.isHandBack(res) {
		r.consumer.leave()
		r.in.log.Info("mono: message handed back, the App stops", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
			"id", c.ID(), "attempt", d.Attempt, "error", res.err)
		r.handBack(d)
		return
	}
	if res.reason = r.reason(d, res); res.reason != "" {
		r.moveToDeadLetters(c, res)
		return
	}
	wait := r.wait(d, res.err)
	r.in.log.Warn("mono: attempt failed, another follows", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
		"id", c.ID(), "attempt", d.Attempt, "of", r.config.maxAttempts(), "wait", wait, "error", res.err)
	r.in.observe(MessageRetried{Module: r.unit.name, Handle: r.decl, Group: c.Group(), ID: c.ID(), Attempt: d.Attempt, Wait: wait, Err: res.err})
	r.logSettlement(d, d.Nak(context.Background(), wait))
}

// exceeded returns the error of an attempt that exceeded the Timeout. Its cause is the
// error of the handler, which may be nil.
func (r *settler) exceeded(err error) error {
	if err == nil {
		return Errorf(DeadlineExceeded, "%s: the attempt exceeded its Timeout of %v", r.decl, r.config.Timeout)
	}
	return Errorf(DeadlineExceeded, "%s: the attempt exceeded its Timeout of %v: %w", r.decl, r.config.Timeout, err)
}

// isHandBack reports whether an attempt does not count: the handler hands the message back
// because the App stops, or it failed because the App ran out of time to stop. A failure
// counts if it is Permanent or RetryAfter, or if its Timeout expired before.
func (r *settler) isHandBack(res result) bool {
	if res.reason != "" || !r.in.isStopping() {
		return false
	}
	if _, ok := errors.AsType[*handBack](res.err); ok {
		return true
	}
	_, dropped := errors.AsType[*permanent](res.err)
	asked, retried := errors.AsType[*retryAfter](res.err)
	retried = retried && !asked.received
	return r.in.ctx.Err() != nil && !dropped && !retried && !res.late
}

// reason returns the reason why a message gets no further attempt, "" if it gets one.
func (r *settler) reason(d *transport.Delivery, res result) Reason {
	if res.reason != "" {
		return res.reason
	}
	if _, ok := errors.AsType[*permanent](res.err); ok {
		return ReasonPermanent
	}
	if d.Attempt >= r.config.maxAttempts() {
		return ReasonAttempts
	}
	return ""
}

// overdue returns the result of a delivery after the last attempt. It is not handled:
// its dead letter could not be stored, or the outcome of the last attempt is unknown.
func (r *settler) overdue(d *transport.Delivery) result {
	if res, ok := r.pending.of(d.Sequence); ok {
		return res
	}
	err := Errorf(Unknown, "the outcome of attempt %d is unknown: its process died, its acknowledgement was lost, its dead letter could not be stored, or a worker that does not use mono gave it back", r.config.maxAttempts())
	return result{err: err, reason: ReasonOutcomeUnknown}
}

// moveToDeadLetters stores a message as a dead letter, and then ends its delivery. If
// the dead letter cannot be stored, the message is delivered again.
func (r *settler) moveToDeadLetters(c *Call, res result) {
	d := c.delivery
	deadLetter := r.newDeadLetter(c, res)
	kept := r.in.logs.storeDeadLetter(r.decl, deadLetter)
	for CodeOf(kept) == InvalidArgument && shortenDeadLetter(deadLetter) {
		kept = r.in.logs.storeDeadLetter(r.decl, deadLetter)
	}
	if kept != nil {
		r.in.log.Error("mono: dead letter not stored, the message will be delivered again", "module", r.unit.name, "handle", r.decl.name,
			"id", c.ID(), "reason", res.reason, "error", res.err, "because", kept)
		r.pending.remember(d.Sequence, result{err: res.err, reason: res.reason})
		r.logSettlement(d, d.Nak(context.Background(), max(r.wait(d, nil), minDeadLetterWait)))
		return
	}
	r.pending.forget(d.Sequence)
	r.in.log.Error("mono: message given up, it is a dead letter now", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind,
		"id", c.ID(), "attempts", d.Attempt, "reason", res.reason, "error", res.err)
	r.in.observe(MessageDeadLettered{Module: r.unit.name, Handle: r.decl, Group: c.Group(), ID: c.ID(), Attempts: d.Attempt, Reason: res.reason, Err: res.err})
	r.logSettlement(d, d.Terminate(context.Background(), string(res.reason)))
}

// minDeadLetterWait is the minimal wait between two attempts to store a dead letter.
const minDeadLetterWait = time.Second

// handBack returns a delivery for other receivers. It does not count as an attempt.
func (r *settler) handBack(d *transport.Delivery) {
	r.logSettlement(d, d.Release(context.Background()))
}

// handBackAll hands back messages concurrently, so that a backend can note them together.
func (r *settler) handBackAll(messages []*inbound) {
	var wait sync.WaitGroup
	for _, m := range messages {
		wait.Go(func() { r.handBack(m.call.delivery) })
	}
	wait.Wait()
}

// logSettlement logs a settlement that the transport has not accepted. The message is
// delivered again, as at-least-once delivery allows.
func (r *settler) logSettlement(d *transport.Delivery, err error) {
	if err != nil && CodeOf(err) != FailedPrecondition {
		r.in.log.Warn("mono: settlement lost, the message will be delivered again", "module", r.unit.name, "handle", r.decl.name,
			"sequence", d.Sequence, "error", err)
	}
}

// pendingDeadLetters holds the results of messages that were given up, but whose dead
// letters could not be stored yet. Such a message is delivered again until it can. After
// its last attempt it is not handled any more. If the receiver does not know one, because another process
// has given it up, the dead letter has ReasonOutcomeUnknown.
type pendingDeadLetters struct {
	mu  sync.Mutex
	all map[uint64]result // by sequence
}

// maxPendingDeadLetters bounds their number.
const maxPendingDeadLetters = 10_000

func (p *pendingDeadLetters) remember(sequence uint64, res result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[uint64]result)
	}
	if _, known := p.all[sequence]; known || len(p.all) < maxPendingDeadLetters {
		p.all[sequence] = res
	}
}

func (p *pendingDeadLetters) forget(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, sequence)
}

// of returns the result of a message, if it is known.
func (p *pendingDeadLetters) of(sequence uint64) (result, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	res, ok := p.all[sequence]
	return res, ok
}
