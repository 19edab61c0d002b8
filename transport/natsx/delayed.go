package natsx

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// Delayed messages are stored in a second stream. A stream with schedules cannot refuse
// messages when it is full, but the log may have to. In the second stream each message has
// its own subject. When it is due, the server moves it to the subject of due messages. The
// log's stream copies due messages through a consumer that keeps them until they are stored,
// so a full log loses none. A full log tries again about every two seconds.
//
//	_later.<log>.at.<id>          waits
//	_later.<log>.due.<subject>    is due
const (
	delayedPrefix = "_later."
	delayedSuffix = "__later" // names of handles never contain two underscores
	sourceName    = "source"  // of the consumer from which the log copies
)

// Headers of a schedule (ADR-51). The server drops the id of a message that it moves, so the
// id is also stored under another name.
const (
	headerSchedule = "Nats-Schedule"
	headerTarget   = "Nats-Schedule-Target"
	headerMovedID  = "Nats-Mono-Id"
)

// sourcePending bounds the messages that the log receives before it confirms them.
const sourcePending = 1000

// delayed is the stream of a log's delayed messages. It bounds their number. The server counts
// the stored messages, and this process counts the appends without an answer. Only one append
// at a time checks and sends, so each is counted at least once.
type delayed struct {
	stream
	log      string
	turn     chan struct{} // of capacity 1: holds the token of the append that checks and sends
	underway atomic.Uint64 // appends without an answer
	answered chan struct{} // of capacity 1: an append was answered
}

func newDelayed(t *Transport, log string) *delayed {
	return &delayed{stream: stream{t: t, name: log + delayedSuffix}, log: log, turn: make(chan struct{}, 1), answered: make(chan struct{}, 1)}
}

// openSource creates the consumer from which the log copies.
func (d *delayed) openSource(ctx context.Context) error {
	c := jetstream.ConsumerConfig{
		Durable: sourceName, AckPolicy: jetstream.AckFlowControlPolicy, MaxAckPending: sourcePending,
		DeliverSubject: delayedSubject(d.log, "deliver"), FilterSubject: delayedSubject(d.log, "due.>"),
	}
	if d.dry != nil {
		if _, err := d.source(ctx, nil); err != nil {
			d.dry.setConsumer(d.name, c, true)
		}
		return nil
	}
	_, err := d.source(ctx, func(ctx context.Context) (jetstream.PushConsumer, error) {
		return d.t.api.js(ctx).CreateOrUpdatePushConsumer(ctx, d.name, c)
	})
	return err
}

// source asks for the state of the consumer from which the log copies. It calls create, if not
// nil, for a missing one.
func (d *delayed) source(ctx context.Context, create func(context.Context) (jetstream.PushConsumer, error)) (*jetstream.ConsumerInfo, error) {
	c, err := callAPI(ctx, d.t, func(ctx context.Context) (jetstream.PushConsumer, error) {
		c, err := d.t.api.js(ctx).PushConsumer(ctx, d.name, sourceName)
		if create == nil || codeOfAPI(err) != jetstream.JSErrCodeConsumerNotFound {
			return c, err
		}
		return create(ctx)
	})
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

// schedule delays msg, in which only the subject is still missing. The server parses
// fractions of a second, which nats.go's own option truncates.
func (d *delayed) schedule(msg *outgoing, o *transport.AppendOptions) {
	at := o.NotBefore
	if at.Before(firstTime) {
		at = firstTime
	}
	msg.set(headerSchedule, "@at "+at.UTC().Format(time.RFC3339Nano))
	msg.set(headerTarget, delayedSubject(d.log, "due."+msg.Subject))
	if o.ID != "" {
		msg.set(headerMovedID, o.ID)
	}
	msg.Subject = delayedSubject(d.log, "at."+rand.Text())
}

// firstTime is the earliest time that the server can represent, in nanoseconds since 1970.
var firstTime = time.Unix(0, 0)

func (d *delayed) takeTurn(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy(ctx)
	}
}

func (d *delayed) endTurn() { <-d.turn }

// leave records that an append was answered.
func (d *delayed) leave() {
	d.underway.Add(^uint64(0))
	nudge(d.answered)
}

func busy(ctx context.Context) error {
	return transport.ContextError(ctx, transport.OutcomeNotDone, "%w while other delayed messages wait for their acknowledgement", ctx.Err())
}

// checkRoom reports that there are limit delayed messages. A stored message without an answer
// counts twice, so only a count without unanswered appends is final. The caller has the turn.
func (d *delayed) checkRoom(ctx context.Context, limit uint64) error {
	for {
		underway := d.underway.Load()
		waiting, err := d.count(ctx)
		switch {
		case err != nil:
			return err
		case waiting+underway < limit:
			return nil
		case underway == 0:
			return transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone,
				"%d messages are delayed, and MaxDelayed is %d: try later, or raise MaxDelayed", waiting, limit)
		}
		select {
		case <-d.answered:
		case <-ctx.Done():
			return busy(ctx)
		}
	}
}

// count returns the number of delayed messages that are not due. Due messages are in the same
// stream, until the log has confirmed them.
func (d *delayed) count(ctx context.Context) (uint64, error) {
	due, err := d.source(ctx, nil)
	if d.maybeStarting(err) {
		err = unavailable("the consumer %s that moves delayed messages is missing, or its servers have yet to start it: try later", sourceName)
	}
	if err != nil {
		return 0, err
	}
	all, err := d.info(ctx)
	if err != nil {
		return 0, err
	}
	moved := due.NumPending + uint64(max(due.NumAckPending, 0))
	return all.State.Msgs - min(moved, all.State.Msgs), nil
}
