package natsx

import (
	"cmp"
	"context"
	"crypto/rand"
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
	count   int    // of the chunks up to the last one sent, -1 if unknown
	piped   bool   // a chunk was sent without an expectation
	sent    []sentChunk
	bytes   int // of sent
	err     error
	stored  *driver.Chunk // by a Commit without a batch
	before  uint64        // the chunk before stored
	expect  *expectation  // of the next chunk instead of the one before; nil: none
}

// expectation is the last sequence of a subject.
type expectation struct {
	subject string
	last    uint64
}

// sentChunk is a chunk without an acknowledgement.
type sentChunk struct {
	number uint64
	reply  chan answer
	size   int
}

// Write implements [driver.Store].
func (o *objects) Write(upload string, last uint64) driver.Writer { return o.newWriter(upload, last) }

func (o *objects) newWriter(upload string, last uint64) *objectWriter {
	w := &objectWriter{o: o, upload: upload, subject: o.chunks + upload, last: last}
	if last > 0 {
		w.count = -1
	}
	w.put = putting{b: o.bucket, subject: o.shape.Load().prefix}
	if o.t.options.domain != "" {
		w.subject, w.put.subject = o.t.api.prefix()+"."+w.subject, o.t.api.prefix()+"."+w.put.subject
	}
	return w
}

// Append implements [driver.Writer]. A chunk that is sent alone expects the one before. Others
// cannot; Commit counts them.
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
	if err := w.learnCount(ctx); err != nil {
		return err
	}
	if w.last == 0 && w.count == 0 && w.o.replicated {
		return w.appendFirst(ctx, &c)
	}
	return w.append(&c)
}

func (w *objectWriter) append(c *driver.Chunk) error {
	msg := w.message(c)
	switch {
	case w.expect != nil:
		msg.setNumber(jetstream.ExpectedLastSubjSeqHeader, w.expect.last)
		msg.set(jetstream.ExpectedLastSubjSeqSubjHeader, w.expect.subject)
	case len(w.sent) == 0:
		msg.setNumber(jetstream.ExpectedLastSubjSeqHeader, w.last)
	default:
		w.piped = true
	}
	if err := w.send(msg, len(c.Data)); err != nil {
		return err
	}
	w.count++
	return nil
}

// appendFirst appends the first chunk and waits for its acknowledgement. While no server accepts
// it, it is sent again: see acceptTime.
func (w *objectWriter) appendFirst(ctx context.Context, c *driver.Chunk) error {
	for r := retryFor(acceptTime); ; {
		if err := w.append(c); err != nil {
			return err
		}
		err := w.await(ctx)
		if err != errNoLeader || !r.next(ctx) {
			return err
		}
		w.err, w.count = nil, 0
	}
}

// learnCount counts the chunks of an upload that is continued.
func (w *objectWriter) learnCount(ctx context.Context) (err error) {
	if w.count < 0 {
		w.count, err = w.o.Count(ctx, w.upload)
	}
	return notDone(err)
}

// checkCount checks that no chunk was removed while others were sent. A Discard appends a
// message first, so their number is wrong as soon as it has begun. One that begins later
// makes the Commit fail.
func (w *objectWriter) checkCount(ctx context.Context) error {
	if !w.piped {
		return nil
	}
	is, err := w.o.Count(ctx, w.upload)
	switch {
	case err != nil:
		return notDone(err)
	case is != w.count:
		return errOtherWriter
	}
	return nil
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
	s.number, s.reply = t.acks.open(msg.Subject)
	msg.Reply = t.acks.inbox(s.number)
	if err := t.send(msg); err != nil {
		t.acks.take(s.number)
		return err
	}
	w.sent = append(w.sent, s)
	w.bytes += size
	return nil
}

// await waits for the oldest acknowledgement. If ctx ends first, the chunk still counts as sent.
func (w *objectWriter) await(ctx context.Context) error {
	s := w.sent[0]
	limited, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	var a answer
	err := w.o.untilAnswered(limited, transport.OutcomeUnknown, func(limit time.Duration) (err error) {
		a, err = w.o.t.nextAnswer(limited, limit, s.reply)
		return err
	})
	switch {
	case err == nil && a.err == nil:
	case err == nil:
		err = a.err
	case ctx.Err() != nil:
		return lost(ctx, transport.OutcomeUnknown)
	case limited.Err() != nil:
		err = transport.Errorf(transport.DeadlineExceeded, transport.OutcomeUnknown, "no acknowledgement of a chunk within %v: the servers are overloaded, or have no leader", ackTimeout)
	}
	w.sent = w.sent[1:]
	w.bytes -= s.size
	if err != nil {
		w.o.t.acks.take(s.number)
		w.fail(err)
		return w.err
	}
	ack, err := w.readChunkAck(ctx, a.msg)
	if err != nil {
		w.fail(err)
		return w.err
	}
	w.last = ack.Seq
	return nil
}

// readChunkAck returns the acknowledgement of a chunk, or the error in it.
func (w *objectWriter) readChunkAck(ctx context.Context, reply *nats.Msg) (publishAck, error) {
	if noResponders(reply) {
		if err := w.o.checkExists(ctx); err != nil {
			return publishAck{}, w.o.explain(err)
		}
		return publishAck{}, errNoLeader
	}
	ack, err := w.put.readAck(reply)
	if isConflict(err) {
		err = errOtherWriter
	}
	return ack, err
}

var errNoLeader = unavailable("the stream does not accept requests now: it has no leader: try later")

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
	if err := w.o.entries().encode(&entry); err != nil {
		return 0, err
	}
	is := w.o.shape.Load()
	if err := is.admit([]kv.Write{entry}); err != nil {
		return 0, err
	}
	batch := c != nil && is.batches
	if batch && !w.o.replicated && len(c.Header) == 0 { // others may continue an upload with headers
		return w.commitQuiet(ctx, c, &entry)
	}
	if err := w.checkCount(ctx); err != nil {
		return 0, err
	}
	if batch {
		return w.commitBatch(ctx, c, &entry)
	}
	return w.commitAfter(ctx, c, &entry)
}

// commitAfter stores a chunk, and then an entry if the chunks exist.
func (w *objectWriter) commitAfter(ctx context.Context, c *driver.Chunk, entry *kv.Write) (uint64, error) {
	if c != nil {
		if err := w.storeLast(ctx, c, nil); err != nil {
			return 0, err
		}
	}
	if err := w.checkEnd(ctx); err != nil {
		return 0, err
	}
	return w.put.put(ctx, entry)
}

// storeLast stores the last chunk with a header, unless another Commit has done so.
func (w *objectWriter) storeLast(ctx context.Context, c *driver.Chunk, h transport.Header) error {
	if w.stored == c {
		return nil
	}
	before, last := w.last, *c
	last.Header = append(h, c.Header...)
	if err := w.Append(ctx, last); err != nil {
		return err
	}
	if _, err := w.Flush(ctx); err != nil {
		return err
	}
	w.stored, w.before = c, before
	return nil
}

// headerEntry is in the last chunk of an upload whose entry follows alone. It is the key of the
// entry: see [objects.Discard].
const headerEntry = "Mono-Entry"

// quietTries is how often commitQuiet expects that nobody else writes to the store.
const quietTries = 3

// commitQuiet stores a chunk, and then an entry on the condition that nothing was stored in the
// stream since all chunks were seen. A Discard stores a message first, so the entry is refused if
// one has begun. A batch has the same effect, but the only server of a stream on disk syncs each
// batch to the disk, for which it writes all new chunks. So there is a batch only if others write
// all the time.
func (w *objectWriter) commitQuiet(ctx context.Context, c *driver.Chunk, entry *kv.Write) (uint64, error) {
	if err := w.storeLast(ctx, c, transport.Header{{Name: headerEntry, Value: entry.Key}}); err != nil {
		return 0, err
	}
	for try := range quietTries {
		last, err := w.last, error(nil)
		if w.piped || try > 0 {
			if last, err = w.checkWhole(ctx); err != nil {
				return 0, err
			}
		}
		revision, err := w.put.putAfter(ctx, entry, last)
		if !isConflict(err) {
			return revision, err
		}
		if same, failed := w.isExpected(ctx, entry); !same {
			return 0, cmp.Or(failed, err)
		}
	}
	if err := w.o.Truncate(ctx, w.upload, w.last); err != nil {
		if isConflict(err) {
			err = errOtherWriter
		}
		return 0, notDone(err)
	}
	w.stored, w.last = nil, w.before
	w.count--
	return w.commitBatch(ctx, c, entry)
}

// checkWhole checks that the upload has all chunks of this writer and no other. It returns the
// last sequence of the stream before that.
func (w *objectWriter) checkWhole(ctx context.Context) (last uint64, err error) {
	is, count, err := w.o.count(ctx, w.upload)
	switch {
	case err != nil:
		return 0, notDone(err)
	case count != w.count:
		return 0, errOtherWriter
	}
	return is.State.LastSeq, nil
}

// isExpected reports whether the newest entry is the one that a write expects.
func (w *objectWriter) isExpected(ctx context.Context, entry *kv.Write) (bool, error) {
	revision, err := w.o.revision(ctx, entry.Key)
	return err == nil && (entry.Expect == nil || *entry.Expect == revision), notDone(err)
}

// revision returns the newest revision of a key of the entries, as it is stored, 0 for none.
func (o *objects) revision(ctx context.Context, key string) (uint64, error) {
	r, err := o.bucket.Get(ctx, key, 0, true)
	switch {
	case transport.CodeOf(err) == transport.NotFound:
		return 0, nil
	case err != nil:
		return 0, err
	}
	return r.Revision, nil
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

// commitBatch stores a chunk and an entry at once (ADR-50). A batch whose first message was lost
// is sent again, for acceptTime: the server has stored none of it.
func (w *objectWriter) commitBatch(ctx context.Context, c *driver.Chunk, entry *kv.Write) (uint64, error) {
	for r := retryFor(acceptTime); ; {
		revision, err := w.sendBatch(ctx, c, entry)
		if codeOfAPI(err) != codeBatchIncomplete || !r.next(ctx) {
			return revision, err
		}
	}
}

func (w *objectWriter) sendBatch(ctx context.Context, c *driver.Chunk, entry *kv.Write) (uint64, error) {
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
	ack, err := w.put.readAck(reply)
	if begun != nil && err != nil { // the server has refused the first one
		if _, refused := w.put.readAck(begun); refused != nil {
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
	w.o.t.acks.take(s.number)
	select {
	case a := <-s.reply:
		if a.err == nil && len(a.msg.Data) > 0 {
			return a.msg
		}
	default:
	}
	return nil
}
