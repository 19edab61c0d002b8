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
	msg := b.t.outgoing.get(m)
	if set != nil {
		set(msg)
	}
	token, reply, err := b.t.beginRequest(r, msg)
	if err != nil {
		return nil, err
	}
	var again func() error
	if r != &b.t.acks {
		again = func() error {
			msg := b.t.outgoing.get(m)
			msg.Reply = r.prefix + token
			return b.t.send(msg)
		}
	}
	a, err := b.awaitAnswer(ctx, reply, again)
	return r.finishRequest(token, reply, a, err)
}

// awaitAnswer waits for the reply to a request that was sent. While there is none, it checks that
// the stream exists, and calls again if that is not nil.
func (b *bucket) awaitAnswer(ctx context.Context, reply <-chan answer, again func() error) (answer, error) {
	for limit := silentTime; ; limit *= 2 {
		a, err := b.t.nextAnswer(ctx, limit, reply)
		if err == nil {
			return a, nil
		}
		if err != errSilent {
			return answer{}, lost(ctx, transport.OutcomeUnknown)
		}
		if err := b.checkSilent(ctx, transport.OutcomeUnknown); err != nil {
			return answer{}, err
		}
		if again == nil {
			continue
		}
		if err := again(); err != nil {
			return answer{}, err
		}
	}
}

// checkSilent returns NotFound if the stream of a request without an answer does not exist.
func (b *bucket) checkSilent(ctx context.Context, outcome transport.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := b.checkExists(ctx); err != nil {
		return b.t.noBucket(outcome, err)
	}
	return nil
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
