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

func (l *log) delayedName() string { return l.config.Name + delayedSuffix }

func (l *log) delayedSubject(rest string) string { return delayedPrefix + l.config.Name + "." + rest }

func (l *log) delayedSource() *jetstream.StreamSource {
	return &jetstream.StreamSource{
		Name:              l.delayedName(),
		Consumer:          &jetstream.StreamConsumerSource{Name: sourceName, DeliverSubject: l.delayedSubject("deliver")},
		SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: l.delayedSubject("due.>"), Destination: ">"}},
	}
}

func (l *log) delayedConfig(base jetstream.StreamConfig) jetstream.StreamConfig {
	s := base
	s.Name = l.delayedName()
	s.Subjects = []string{l.delayedSubject("at.*"), l.delayedSubject("due.>")}
	s.Retention = jetstream.WorkQueuePolicy
	s.AllowMsgSchedules = true
	s.Duplicates = l.config.Window()
	s.Metadata = metadata(base.Metadata, nil, map[string]string{metaGeneration: formatNumber(l.config.Generation)})
	l.setStorage(&s)
	return s
}

// openDelayed creates the second stream, and the consumer from which the log copies.
func (l *log) openDelayed(ctx context.Context) error {
	is, err := l.t.stream(ctx, l.delayedName())
	switch {
	case missing(err):
		_, err = l.makeStream(ctx, l.delayedConfig(jetstream.StreamConfig{}))
	case err == nil && !is.AllowMsgSchedules:
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"its Delays need the stream %s, but another one has that name: rename one of them", l.delayedName())
	case err == nil:
		_, err = l.updateStream(ctx, is, l.delayedConfig(*is))
	}
	if err != nil {
		return err
	}
	return l.openSource(ctx)
}

func (l *log) openSource(ctx context.Context) error {
	_, err := callAPI(ctx, l.t, func(ctx context.Context) (jetstream.PushConsumer, error) {
		c, err := l.t.js(ctx).PushConsumer(ctx, l.delayedName(), sourceName)
		if codeOfAPI(err) != jetstream.JSErrCodeConsumerNotFound {
			return c, err
		}
		return l.t.js(ctx).CreateOrUpdatePushConsumer(ctx, l.delayedName(), jetstream.ConsumerConfig{
			Durable: sourceName, AckPolicy: jetstream.AckFlowControlPolicy, MaxAckPending: sourcePending,
			DeliverSubject: l.delayedSubject("deliver"), FilterSubject: l.delayedSubject("due.>"),
		})
	})
	return err
}

// schedule delays msg, in which only the subject is still missing. The server parses
// fractions of a second, which nats.go's own option truncates.
func (l *log) schedule(msg *outgoing, o *transport.AppendOptions) {
	at := o.NotBefore
	if at.Before(firstTime) {
		at = firstTime
	}
	msg.set(headerSchedule, "@at "+at.UTC().Format(time.RFC3339Nano))
	msg.set(headerTarget, l.delayedSubject("due."+msg.Subject))
	if o.ID != "" {
		msg.set(headerMovedID, o.ID)
	}
	msg.Subject = l.delayedSubject("at." + rand.Text())
}

// firstTime is the earliest time that the server can represent, in nanoseconds since 1970.
var firstTime = time.Unix(0, 0)

// room bounds the delayed messages of a log. The server counts the stored messages, and this
// process counts the appends without an answer. Only one append at a time checks and sends,
// so each is counted at least once.
type room struct {
	turn     chan struct{} // of capacity 1: holds the token of the append that checks and sends
	underway atomic.Uint64 // appends without an answer
	answered chan struct{} // of capacity 1: an append was answered
}

func newRoom() *room {
	return &room{turn: make(chan struct{}, 1), answered: make(chan struct{}, 1)}
}

func (r *room) takeTurn(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy(ctx)
	}
}

func (r *room) endTurn() { <-r.turn }

// leave records that an append was answered.
func (r *room) leave() {
	r.underway.Add(^uint64(0))
	nudge(r.answered)
}

func (r *room) wait(ctx context.Context) error {
	select {
	case <-r.answered:
		return nil
	case <-ctx.Done():
		return busy(ctx)
	}
}

func busy(ctx context.Context) error {
	return transport.ContextError(ctx, transport.OutcomeNotDone, "%w while other delayed messages wait for their acknowledgement", ctx.Err())
}

// checkRoom reports that there are too many delayed messages. A stored message without an
// answer counts twice, so only a count without unanswered appends is final. The caller has
// the turn.
func (l *log) checkRoom(ctx context.Context) error {
	for {
		underway := l.room.underway.Load()
		waiting, err := l.countDelayed(ctx)
		switch {
		case err != nil:
			return err
		case waiting+underway < l.config.MaxDelayed:
			return nil
		case underway == 0:
			return transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone,
				"%d messages are delayed, and MaxDelayed is %d: try later, or raise MaxDelayed", waiting, l.config.MaxDelayed)
		}
		if err := l.room.wait(ctx); err != nil {
			return err
		}
	}
}

// countDelayed returns the number of delayed messages that are not due. Due messages are in
// the same stream, until the log has confirmed them.
func (l *log) countDelayed(ctx context.Context) (uint64, error) {
	due, err := callAPI(ctx, l.t, func(ctx context.Context) (jetstream.PushConsumer, error) {
		return l.t.js(ctx).PushConsumer(ctx, l.delayedName(), sourceName)
	})
	if l.maybeStarting(err) {
		err = unavailable("the consumer %s that moves delayed messages is missing, or its servers have yet to start it: try later", sourceName)
	}
	if err != nil {
		return 0, err
	}
	all, err := callAPI(ctx, l.t, func(ctx context.Context) (jetstream.Stream, error) { return l.t.js(ctx).Stream(ctx, l.delayedName()) })
	if err != nil {
		return 0, err
	}
	moved := due.CachedInfo().NumPending + uint64(max(due.CachedInfo().NumAckPending, 0))
	messages := all.CachedInfo().State.Msgs
	return messages - min(moved, messages), nil
}
