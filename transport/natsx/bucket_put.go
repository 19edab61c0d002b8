package natsx

import (
	"cmp"
	"context"
	"crypto/rand"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Headers of a batch (ADR-50).
const (
	headerBatch         = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// Put implements [driver.Bucket].
func (b *bucket) Put(ctx context.Context, writes ...driver.Write) (uint64, error) {
	is := b.shape.Load()
	if err := is.admit(writes); err != nil {
		return 0, err
	}
	p := putting{b: b, subject: is.prefix}
	if b.t.options.domain != "" {
		p.subject = b.t.api.prefix() + "." + is.prefix
	}
	switch len(writes) {
	case 0:
		info, err := b.Info(ctx)
		return info.Last, err
	case 1:
		return p.put(ctx, &writes[0])
	}
	return p.putBatch(ctx, writes)
}

// admit reports why the bucket cannot store the writes.
func (is *shape) admit(writes []driver.Write) error {
	if err := is.checkWritable(); err != nil {
		return err
	}
	if len(writes) > 1 && !is.batches {
		return transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "several writes at once cannot be stored: %s", batchAdvice)
	}
	for i := range writes {
		w := &writes[i]
		if limit := is.config.MaxValue; limit > 0 && len(w.Value) > limit {
			return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "the value of %q has %d bytes, and the bucket allows %d: store a smaller value, or raise MaxValue", w.Key, len(w.Value), limit)
		}
		if w.TTL > 0 && !is.expires {
			return transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "a TTL of one record cannot be stored: %s", ttlAdvice)
		}
	}
	return nil
}

// putting is a Put.
type putting struct {
	b       *bucket
	subject string // before the key
	batch   string // its id
}

func (p *putting) put(ctx context.Context, w *driver.Write) (uint64, error) {
	return p.putWith(ctx, w, nil)
}

// putAfter is a put on the condition that the last sequence of the stream is the given one.
func (p *putting) putAfter(ctx context.Context, w *driver.Write, last uint64) (uint64, error) {
	return p.putWith(ctx, w, func(msg *outgoing) { msg.setNumber(jetstream.ExpectedLastSeqHeader, last) })
}

// putWith is a put with further headers, which more sets unless it is nil.
func (p *putting) putWith(ctx context.Context, w *driver.Write, more func(*outgoing)) (uint64, error) {
	reply, err := p.send(ctx, w, more)
	if err != nil {
		return 0, err
	}
	ack, err := p.readAck(reply)
	return ack.Seq, err
}

// send sends one write and waits for the reply. more, if not nil, sets further headers. While no
// server accepts the write, it is sent again, for acceptTime.
func (p *putting) send(ctx context.Context, w *driver.Write, more func(*outgoing)) (*nats.Msg, error) {
	for r := retryFor(acceptTime); ; {
		reply, err := p.b.ask(ctx, &p.b.t.acks, p.message(w), func(msg *outgoing) {
			p.set(msg, w)
			if more != nil {
				more(msg)
			}
		})
		if err != nil || !noResponders(reply) {
			return reply, err
		}
		if err := p.b.checkExists(ctx); err != nil {
			return nil, p.b.explain(err)
		}
		if !p.b.replicated || !r.next(ctx) {
			return nil, errNoLeader
		}
	}
}

// acceptTime is how long a request is sent again until a server accepts it: see retries. The
// servers of a cluster learn one after the other of a new bucket, and of a new leader.
const acceptTime = time.Second

func (p *putting) message(w *driver.Write) *transport.Message {
	return &transport.Message{Subject: p.subject + w.Key, Header: w.Header, Body: w.Value}
}

// set sets the headers of a write. A record with a TTL replaces all older ones, since the
// last of them would reappear when it expires.
func (p *putting) set(msg *outgoing, w *driver.Write) {
	switch w.Op {
	case driver.Delete:
		msg.set(headerOperation, operationDelete)
	case driver.Purge:
		msg.set(headerOperation, operationPurge)
	}
	if w.Op == driver.Purge || w.TTL > 0 || p.b.shape.Load().rollup {
		msg.set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	if w.TTL > 0 {
		msg.setNumber(jetstream.MsgTTLHeader, uint64((w.TTL+time.Second-1)/time.Second))
	}
	if w.Expect != nil {
		msg.setNumber(jetstream.ExpectedLastSubjSeqHeader, *w.Expect)
	}
}

// readAck returns the acknowledgement of the stream, or the error in it.
func (p *putting) readAck(reply *nats.Msg) (publishAck, error) {
	ack, err := parseAck(reply.Data)
	switch {
	case err != nil:
		return ack, errNotStream(reply.Data)
	case ack.Error != nil:
		return ack, p.b.explain(ack.Error)
	}
	return ack, nil
}

func errNotStream(data []byte) error {
	return transport.Errorf(transport.Internal, transport.OutcomeUnknown,
		"a subscriber that is not the stream answered %.100q: find the other subscribers of the subject", data)
}

// putBatch stores all writes at once. The server collects them, and checks and stores them
// when it gets the last one.
func (p *putting) putBatch(ctx context.Context, writes []driver.Write) (uint64, error) {
	if err := p.openBatch(ctx, &writes[0]); err != nil {
		return 0, err
	}
	last := len(writes) - 1
	for i := 1; i < last; i++ {
		msg := p.b.t.outgoing.get(p.message(&writes[i]))
		p.set(msg, &writes[i])
		p.member(i)(msg)
		if err := p.b.t.send(msg); err != nil {
			return 0, err
		}
	}
	reply, err := p.send(ctx, &writes[last], func(msg *outgoing) {
		p.member(last)(msg)
		msg.set(headerBatchCommit, "1")
	})
	if err != nil {
		return 0, err
	}
	return p.readCommit(ctx, reply, writes)
}

// member returns a function that sets the headers of a write of the batch.
func (p *putting) member(i int) func(*outgoing) {
	return func(msg *outgoing) {
		msg.set(headerBatch, p.batch)
		msg.setNumber(headerBatchSequence, uint64(i+1))
	}
}

// openBatch sends the first write of a batch. While the bucket has as many open batches as the
// server allows, which is 50 by default, it sends it again. It also does if there is no answer,
// which may have been lost with the leader: the server forgets a batch that nobody completes.
func (p *putting) openBatch(ctx context.Context, w *driver.Write) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for {
		p.batch = rand.Text()
		attempt, cancel := context.WithTimeout(ctx, openTime)
		reply, err := p.send(attempt, w, p.member(0))
		unanswered := attempt.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil && len(reply.Data) == 0 {
			return nil
		}
		if err == nil {
			if _, err = p.readAck(reply); err == nil {
				return transport.Errorf(transport.Internal, transport.OutcomeUnknown, "the server stored the first write by itself: it ignores batches: upgrade it")
			}
		}
		if !unanswered && codeOfAPI(err) != codeBatchesTooMany || !pause(ctx, batchPause) {
			return notDone(err)
		}
	}
}

// openTime is how long openBatch waits for an answer.
const openTime = 2 * time.Second

const batchPause = 10 * time.Millisecond

// readCommit returns the revision in the acknowledgement of a batch.
func (p *putting) readCommit(ctx context.Context, reply *nats.Msg, writes []driver.Write) (uint64, error) {
	ack, err := p.readAck(reply)
	switch {
	case err == nil && ack.Batch != p.batch:
		err = errNotStream(reply.Data)
	case codeOfAPI(err) == codeBatchIncomplete:
		err = cmp.Or(p.denial(ctx, writes), err)
	}
	return ack.Seq, err
}

// denial returns the error for a write that the server has denied, or nil. The server does not
// answer the writes between the first and the last, and reports a denial by itself.
func (p *putting) denial(ctx context.Context, writes []driver.Write) error {
	if err := p.b.t.flush(ctx); err != nil {
		return nil
	}
	for i := range writes {
		if _, err := p.b.t.denials.of(p.subject + writes[i].Key); err != nil {
			return err
		}
	}
	return nil
}

// notDone returns an error of a batch that was not completed: the server forgets it.
func notDone(err error) error {
	if e, ok := err.(*transport.Error); ok {
		done := *e
		done.Outcome = transport.OutcomeNotDone
		return &done
	}
	return err
}
