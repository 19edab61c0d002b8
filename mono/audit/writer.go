package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"gomono.dev/transport"
)

// Limits of the writer.
const (
	maxQueued    = 4096             // entries that wait for the ones before them
	maxBatch     = 1024             // entries in a message
	maxBatchSize = 512 << 10        // bytes of entries in a message
	batchRoom    = 8 << 10          // bytes of a message beside its entries
	storeTimeout = 20 * time.Second // of one message
	askPause     = 50 * time.Millisecond
	minPause     = 10 * time.Millisecond
)

// writer stores entries, many in a message. While one message is on its way, the entries for
// the next one gather.
//
// Each message is appended on the condition that the one before it is the last. If another
// process was faster, the writer reads and checks what that one has stored, and signs the tree
// that follows from it. So all writers extend one tree.
type writer struct {
	name      string
	signer    note.Signer
	key       note.Verifier
	exclusive bool

	mu      sync.Mutex
	state   writerState
	connect func(context.Context) (*history, error)
	subject string
	limit   int // of the bytes of entries in a message
	logger  *slog.Logger
	queue   []*record
	look    bool          // look at the log, even if no entry waits
	idle    chan struct{} // closed when nothing is being stored; nil if that is so
	failure error         // of the last message
	missing int           // entries for which the queue had no room, since the last message
	turns   turns

	// Of the goroutine that stores.
	history *history // nil: not open
	begun   bool     // at is a position of this writer
	known   bool     // no message is known to follow at
	at      position
	doubts  []string // ids of messages since at that may be stored
	ended   error    // the log belongs to another writer
}

type writerState uint8

const (
	writerNew writerState = iota // it gathers entries
	writerOpen
	writerClosed
)

// record is an entry that waits to be stored.
type record struct {
	data  []byte
	taken bool
	done  chan error // nil: nobody waits
}

// add queues an entry.
func (w *writer) add(r *record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.state == writerClosed || w.state == writerNew && r.done != nil:
		return errorf(w.name, transport.FailedPrecondition, "it is not open: record after the start of the App, and before the end of its stop")
	case len(w.queue) >= maxQueued:
		if r.done == nil {
			w.missing++ // finish logs it
		}
		return errorf(w.name, transport.ResourceExhausted, "%d entries wait to be stored: record fewer, or slower", maxQueued)
	case w.state == writerOpen && len(r.data) >= w.limit:
		return errorf(w.name, transport.InvalidArgument, "an entry has %d bytes: the transport has room for %d", len(r.data), w.limit-1)
	}
	w.queue = append(w.queue, r)
	w.wake()
	return nil
}

// wake starts to store what waits, unless that is going on. The caller holds w.mu.
func (w *writer) wake() {
	if w.state == writerOpen && (w.look || len(w.queue) > 0) && w.idle == nil {
		w.idle = make(chan struct{})
		go w.run()
	}
}

// wait waits until an entry is stored. An entry that nobody waits for any more, and that has
// not been sent, is not stored.
func (w *writer) wait(ctx context.Context, r *record) error {
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	outcome := transport.OutcomeUnknown
	if !r.taken {
		outcome = transport.OutcomeNotDone
		w.queue = slices.DeleteFunc(w.queue, func(other *record) bool { return other == r })
	}
	return about(w.name, transport.ContextError(ctx, outcome, "the entry was not stored in time"))
}

// take removes the entries of the next message from the queue. It reports whether there is
// something to do.
func (w *writer) take() (batch []*record, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, size := 0, 0
	for n < len(w.queue) && n < maxBatch {
		if size += len(w.queue[n].data) + 1; size > w.limit && n > 0 {
			break
		}
		w.queue[n].taken = true
		n++
	}
	batch = slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	ok = w.look || n > 0
	if w.look = false; !ok {
		close(w.idle)
		w.idle = nil
	}
	return batch, ok
}

// run stores what waits.
func (w *writer) run() {
	for batch, ok := w.take(); ok; batch, ok = w.take() {
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		var err error
		if len(batch) > 0 {
			err = w.store(ctx, batch)
		} else {
			_, err = w.catchUp(ctx, "")
		}
		cancel()
		w.finish(batch, err)
	}
}

// finish reports the result of a message.
func (w *writer) finish(batch []*record, err error) {
	w.mu.Lock()
	missing := w.missing
	w.failure, w.missing = err, 0
	w.mu.Unlock()
	if missing > 0 {
		w.logger.Error("audit: entries not recorded, because too many wait to be stored", "log", w.name, "entries", missing, "limit", maxQueued)
	}
	lost := 0
	for _, r := range batch {
		if r.done != nil {
			r.done <- err
			continue
		}
		lost++
	}
	if err != nil && lost > 0 {
		w.logger.Error("audit: entries not stored", "log", w.name, "entries", lost, "error", err)
	}
}

// store stores entries as one message. If it is not known whether an attempt has stored them,
// it asks until it is known, or ctx ends.
func (w *writer) store(ctx context.Context, batch []*record) error {
	entries, id := dataOf(batch), rand.Text()
	sent := false // an attempt may still store them
	w.turns.wait(ctx)
	for try := 0; ; try++ {
		if ctx.Err() != nil {
			return w.expired(ctx, sent)
		}
		before, began := w.at.sequence, time.Now()
		isStored, err := w.catchUp(ctx, id)
		switch {
		case isStored:
			return nil
		case err == nil:
			sent = sent && w.at.sequence == before // otherwise its condition cannot hold any more
		case sent && w.ended == nil && transport.CodeOf(err) != transport.DataLoss:
			pause(ctx, askPause)
			continue
		default:
			return withOutcome(err, sent)
		}
		if err = w.append(ctx, id, entries); err == nil {
			return nil
		}
		w.known = false
		if transport.CodeOf(err) == transport.Aborted {
			w.turns.ask(ctx, 4*time.Since(began)+minPause)
			continue
		}
		if mayBeDone(err) {
			sent = true
			w.doubts = append(w.doubts, id)
		}
		if !sent {
			return err
		}
		pause(ctx, askPause)
	}
}

func dataOf(batch []*record) [][]byte {
	entries := make([][]byte, len(batch))
	for i, r := range batch {
		entries[i] = r.data
	}
	return entries
}

// expired returns the error of entries that were not stored in time.
func (w *writer) expired(ctx context.Context, sent bool) error {
	return about(w.name, withOutcome(transport.ContextError(ctx, transport.OutcomeNotDone, "the entries were not stored within %v", storeTimeout), sent))
}

// withOutcome sets the outcome of an error: unknown if something was sent.
func withOutcome(err error, sent bool) error {
	outcome := transport.OutcomeNotDone
	if sent {
		outcome = transport.OutcomeUnknown
	}
	if e, ok := asError(err); ok {
		return &transport.Error{Code: e.Code, Outcome: outcome, Message: e.Message, Err: e}
	}
	return transport.Errorf(transport.CodeOf(err), outcome, "%w", err)
}

// append stores a message after the last one that is known.
func (w *writer) append(ctx context.Context, id string, entries [][]byte) error {
	is := position{tree: w.at.tree.clone()}
	for _, e := range entries {
		is.tree.add(tlog.RecordHash(e))
	}
	var err error
	if is.checkpoint, err = signTree(&is.tree, w.signer); err != nil {
		return errorf(w.name, transport.Internal, "signing a checkpoint: %w", err)
	}
	m := &transport.Message{Subject: w.subject, Body: encodeBatch(entries, is.checkpoint.Note)}
	m.Header.Add(headerEdge, is.tree.formatEdge())
	a, err := w.history.log.Append(ctx, m, transport.AppendOptions{ID: id, Generated: true, Expect: &transport.Expectation{Sequence: w.at.sequence}})
	if err != nil {
		return about(w.name, err)
	}
	if a.Sequence != w.at.sequence+1 {
		return errorf(w.name, transport.Aborted, "a message was stored as %d: want %d", a.Sequence, w.at.sequence+1)
	}
	is.sequence = a.Sequence
	w.at, w.doubts = is, nil
	return nil
}

// catchUp reads what others have stored. It reports whether the message with an id is stored.
func (w *writer) catchUp(ctx context.Context, id string) (isStored bool, err error) {
	switch {
	case w.ended != nil:
		return false, w.ended
	case w.known:
		return false, nil
	case w.history == nil:
		if w.history, err = w.connect(ctx); err != nil {
			return false, err
		}
	}
	if !w.begun {
		if w.at, err = w.history.last(ctx); err != nil {
			return false, err
		}
		w.begun, w.known = true, true
		return false, nil
	}
	others := 0
	for m, err := range w.history.after(ctx, w.at) {
		if err != nil {
			return isStored, err
		}
		w.at = m.position
		if isStored = isStored || m.id == id; m.id != id && !slices.Contains(w.doubts, m.id) {
			others++
		}
	}
	w.known = true
	if w.exclusive && others > 0 {
		w.ended = errorf(w.name, transport.Aborted, "another process writes to it since message %d: with Exclusive only the one that has started last may write", w.at.sequence)
		return isStored, w.ended
	}
	return isStored, nil
}

// open begins to store. With an error the writer is open nevertheless, and tries again with
// the next entry.
func (w *writer) open(ctx context.Context, e *transport.Environment, connect func(context.Context) (*history, error)) error {
	if err := w.settle(ctx, writerNew); err != nil {
		return err
	}
	w.connect, w.logger, w.subject = connect, e.Logger, subjectOf(e.Namespace, w.name)
	w.limit = maxBatchSize
	if most := e.Transport.Capabilities().MaxPayload; most > 0 {
		w.limit = min(w.limit, most-batchRoom)
	}
	w.history, w.begun, w.known, w.doubts, w.ended = nil, false, false, nil, nil
	if err := w.turns.open(ctx, e.Transport, w.subject); err != nil {
		w.logger.Warn("audit: several writers may delay each other", "log", w.name, "error", err)
	}
	_, err := w.catchUp(ctx, "")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = err
	w.state = writerOpen
	w.wake()
	return err
}

// close waits until everything is stored, and ends the writer.
func (w *writer) close(ctx context.Context) error {
	defer w.turns.close()
	return w.settle(ctx, writerClosed)
}

// settle changes the state, and waits until nothing is being stored.
func (w *writer) settle(ctx context.Context, to writerState) error {
	w.mu.Lock()
	w.state = to
	idle := w.idle
	w.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return about(w.name, transport.ContextError(ctx, transport.OutcomeUnknown, "entries are not stored yet"))
	}
}

// health returns the error of the last message, if the log still cannot be written.
func (w *writer) health(ctx context.Context) error {
	w.mu.Lock()
	if w.failure != nil && transport.CodeOf(w.failure) != transport.ResourceExhausted { // only an append tells whether there is room
		w.look = true
		w.wake()
	}
	failure, idle := w.failure, w.idle
	w.mu.Unlock()
	if failure == nil || idle == nil {
		return failure
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

// mayBeDone reports whether an append with this error may have stored its message.
func mayBeDone(err error) bool {
	e, ok := asError(err)
	return err != nil && (!ok || e.Outcome == transport.OutcomeUnknown)
}

func asError(err error) (*transport.Error, bool) { return errors.AsType[*transport.Error](err) }

// pause waits, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
