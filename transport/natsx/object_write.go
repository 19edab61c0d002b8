package natsx

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// maxUnacknowledged bounds the bytes of the chunks of a Writer that are not acknowledged. So
// a replicated store paces its writers.
const maxUnacknowledged = 2 << 20

// ackTimeout bounds the wait for the acknowledgement of a chunk.
const ackTimeout = 30 * time.Second

// objectWriter is a [driver.Writer].
type objectWriter struct {
	o       *objects
	upload  string
	subject string // of chunks, as they are sent
	put     putting
	last    uint64 // the last acknowledged chunk
	base    uint64 // the oldest chunk that this writer knows
	blind   bool   // a chunk was sent without an expectation
	sent    []sentChunk
	bytes   int // of sent
	err     error
	stored  *driver.Chunk // by a Commit without a batch
}

// sentChunk is a chunk without an acknowledgement.
type sentChunk struct {
	token string
	reply chan answer
	size  int
}

// Write implements [driver.Store].
func (o *objects) Write(upload string, last uint64) driver.Writer { return o.newWriter(upload, last) }

func (o *objects) newWriter(upload string, last uint64) *objectWriter {
	w := &objectWriter{o: o, upload: upload, subject: o.chunks + upload, last: last, base: last}
	w.put = putting{b: o.bucket, subject: o.shape.Load().prefix}
	if o.t.options.domain != "" {
		w.subject, w.put.subject = o.t.api.prefix()+"."+w.subject, o.t.api.prefix()+"."+w.put.subject
	}
	return w
}

// Append implements [driver.Writer]. A chunk that is sent alone expects the one before.
func (w *objectWriter) Append(ctx context.Context, c driver.Chunk) error {
	for w.err == nil && len(w.sent) > 0 && w.bytes+len(c.Data) > maxUnacknowledged {
		if err := w.await(ctx); err != nil {
			return err
		}
	}
	if w.err != nil {
		return w.err
	}
	if err := w.o.t.ready(ctx); err != nil {
		return err
	}
	msg := w.message(&c)
	if len(w.sent) == 0 {
		msg.setNumber(jetstream.ExpectedLastSubjSeqHeader, w.last)
	} else {
		w.blind = true
	}
	return w.send(msg, len(c.Data))
}

// message returns the message of a chunk.
func (w *objectWriter) message(c *driver.Chunk) *outgoing {
	msg := w.o.t.outgoing.get(&transport.Message{Subject: w.subject, Header: c.Header, Body: c.Data})
	if c.TTL > 0 {
		msg.setNumber(jetstream.MsgTTLHeader, objectTTL(c.TTL))
	}
	return msg
}

// send sends a message whose acknowledgement is awaited later.
func (w *objectWriter) send(msg *outgoing, size int) error {
	t := w.o.t
	if err := t.permissions.checkReplies(); err != nil {
		t.outgoing.put(msg)
		return err
	}
	s := sentChunk{size: size}
	s.token, s.reply = t.acks.open(msg.Subject)
	msg.Reply = t.acks.prefix + s.token
	if err := t.send(msg); err != nil {
		t.acks.take(s.token)
		return err
	}
	w.sent = append(w.sent, s)
	w.bytes += size
	return nil
}

// await waits for the oldest acknowledgement. If ctx ends first, the chunk still counts as sent.
func (w *objectWriter) await(ctx context.Context) error {
	s := w.sent[0]
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	var a answer
	select {
	case a = <-s.reply:
	case <-ctx.Done():
		return lost(ctx, transport.OutcomeUnknown)
	case <-timer.C:
		w.o.t.acks.take(s.token)
		a.err = transport.Errorf(transport.DeadlineExceeded, transport.OutcomeUnknown, "no acknowledgement of a chunk within %v: the servers are overloaded, or have no leader", ackTimeout)
	}
	w.sent = w.sent[1:]
	w.bytes -= s.size
	if a.err != nil {
		w.fail(a.err)
		return w.err
	}
	ack, err := w.put.readAck(ctx, a.msg)
	if isConflict(err) {
		err = errOtherWriter
	}
	if err != nil {
		w.fail(err)
		return w.err
	}
	w.last, w.base = ack.Seq, cmp.Or(w.base, ack.Seq)
	return nil
}

func (w *objectWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

var errOtherWriter = transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
	"its chunks were removed meanwhile, or another writer continues the upload: begin again")

// isConflict reports whether an expectation did not hold.
func isConflict(err error) bool { return transport.CodeOf(err) == transport.Aborted }

// Flush implements [driver.Writer]. After an error it still waits for the other chunks.
func (w *objectWriter) Flush(ctx context.Context) (last uint64, err error) {
	for len(w.sent) > 0 {
		if err := w.await(ctx); err != nil && ctx.Err() != nil {
			return 0, err
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return w.last, nil
}

// Commit implements [driver.Writer].
func (w *objectWriter) Commit(ctx context.Context, c *driver.Chunk, entry kv.Write) (uint64, error) {
	if _, err := w.Flush(ctx); err != nil {
		return 0, err
	}
	var about driver.Entry
	if err := json.Unmarshal(entry.Value, &about); err != nil {
		return 0, transport.Errorf(transport.Internal, transport.OutcomeNotDone, "the entry of the object cannot be decoded: %w", err)
	}
	if err := (entries{w.o.bucket}).encode(&entry); err != nil {
		return 0, err
	}
	is := w.o.shape.Load()
	if err := is.admit([]kv.Write{entry}); err != nil {
		return 0, err
	}
	if c == nil || !is.batches {
		return w.commitAfter(ctx, c, &entry, uint64(about.Chunks))
	}
	if err := w.checkChunks(ctx, uint64(about.Chunks)-1); err != nil {
		return 0, err
	}
	return w.commitBatch(ctx, c, &entry)
}

// checkChunks checks that the upload has n chunks, and that none was removed. A Discard may come
// between two chunks if the second one was sent blindly. Then the upload has one message more,
// until the removal, and after it no base.
func (w *objectWriter) checkChunks(ctx context.Context, n uint64) error {
	if !w.blind {
		return nil
	}
	subject := w.o.chunks + w.upload
	all, err := w.o.subjects(ctx, subject)
	if err != nil {
		return notDone(w.o.explain(err))
	}
	_, err = w.o.message(ctx, map[string]any{"seq": w.base})
	switch {
	case isNoMessage(err), err == nil && all[subject] != n:
		return errOtherWriter
	case err != nil:
		return notDone(w.o.explain(err))
	}
	return nil
}

// commitAfter stores a chunk, and then an entry if the upload has n chunks.
func (w *objectWriter) commitAfter(ctx context.Context, c *driver.Chunk, entry *kv.Write, n uint64) (uint64, error) {
	if c != nil && w.stored != c {
		if err := w.Append(ctx, *c); err != nil {
			return 0, err
		}
		if _, err := w.Flush(ctx); err != nil {
			return 0, err
		}
		w.stored = c
	}
	if err := w.checkChunks(ctx, n); err != nil {
		return 0, err
	}
	if err := w.checkEnd(ctx); err != nil {
		return 0, err
	}
	return w.put.put(ctx, entry)
}

// checkEnd checks that the upload ends with the last chunk of this writer.
func (w *objectWriter) checkEnd(ctx context.Context) error {
	is, err := w.o.Last(ctx, w.upload)
	switch {
	case transport.CodeOf(err) == transport.NotFound:
		is = &driver.Chunk{}
	case err != nil:
		return notDone(err)
	}
	if is.Sequence != w.last {
		return errOtherWriter
	}
	return nil
}

// commitBatch stores a chunk and an entry at once (ADR-50).
func (w *objectWriter) commitBatch(ctx context.Context, c *driver.Chunk, entry *kv.Write) (uint64, error) {
	t, id := w.o.t, rand.Text()
	if err := t.ready(ctx); err != nil {
		return 0, err
	}
	first := w.message(c)
	first.setNumber(jetstream.ExpectedLastSubjSeqHeader, w.last)
	first.set(headerBatch, id)
	first.setNumber(headerBatchSequence, 1)
	if err := w.send(first, len(c.Data)); err != nil {
		return 0, err
	}
	reply, err := w.put.send(ctx, entry, func(msg *outgoing) {
		msg.set(headerBatch, id)
		msg.setNumber(headerBatchSequence, 2)
		msg.set(headerBatchCommit, "1")
	})
	begun := w.takeFirst()
	if err != nil {
		return 0, err
	}
	ack, err := w.put.readAck(ctx, reply)
	if begun != nil && err != nil { // the server has refused the first one
		if _, refused := w.put.readAck(ctx, begun); refused != nil {
			err = notDone(refused)
		}
	}
	if isConflict(err) {
		if end := w.checkEnd(ctx); end != nil {
			return 0, end
		}
	}
	return ack.Seq, err
}

// takeFirst returns the answer to the first message of a batch, or nil if the server has not
// answered yet, or has accepted it with an empty answer.
func (w *objectWriter) takeFirst() *nats.Msg {
	s := w.sent[0]
	w.sent, w.bytes = nil, 0
	w.o.t.acks.take(s.token)
	select {
	case a := <-s.reply:
		if a.err == nil && len(a.msg.Data) > 0 {
			return a.msg
		}
	default:
	}
	return nil
}
