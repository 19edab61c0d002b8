package natsx

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// A server that loses a stream drops the requests that wait for the stream there. So a request
// without an answer does not wait for the end of its context: the stream may be gone.

// silentTime is how long a request to a stream waits for an answer before it checks that the
// stream exists. It doubles with each check.
const silentTime = 3 * time.Second

// checkTime bounds a check that the stream exists.
const checkTime = 5 * time.Second

// ask sends one request, and waits for its reply on r. While a read has no answer, it is sent
// again. A write is not, since it may have taken effect.
func (b *bucket) ask(ctx context.Context, r *requests, m *transport.Message, set func(*outgoing)) (*nats.Msg, error) {
	if err := b.t.ready(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	first := b.t.outgoing.get(m)
	if set != nil {
		set(first)
	}
	number, reply, err := b.t.beginRequest(r, first)
	if err != nil {
		return nil, err
	}
	var a answer
	again := false
	err = b.untilAnswered(ctx, transport.OutcomeUnknown, func(limit time.Duration) (err error) {
		if again && r != &b.t.acks {
			msg := b.t.outgoing.get(m)
			msg.Reply = r.inbox(number)
			if err := b.t.send(msg); err != nil {
				return err
			}
		}
		again = true
		a, err = b.t.nextAnswer(ctx, limit, reply)
		return err
	})
	msg, err := r.finishRequest(number, reply, a, err)
	if err != nil && err == ctx.Err() {
		return nil, lost(ctx, transport.OutcomeUnknown)
	}
	return msg, err
}

// untilAnswered calls wait until it returns another error than errSilent. In between, it checks
// that the stream exists. wait waits for at most limit, and may send the request again.
func (b *bucket) untilAnswered(ctx context.Context, outcome transport.Outcome, wait func(limit time.Duration) error) error {
	for limit := silentTime; ; limit *= 2 {
		if err := wait(limit); err != errSilent {
			return err
		}
		if err := b.checkSilent(ctx); err != nil {
			return b.t.noBucket(outcome, err)
		}
	}
}

// checkSilent is checkExists for a request without an answer.
func (b *bucket) checkSilent(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return b.checkExists(ctx)
}

// lost returns the error for an answer that did not arrive by the end of ctx.
func lost(ctx context.Context, outcome transport.Outcome) error {
	return transport.ContextError(ctx, outcome, "no answer: %w", ctx.Err())
}

// bounded returns a context with a deadline.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, apiTimeout)
}
