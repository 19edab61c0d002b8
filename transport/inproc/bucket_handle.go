package inproc

import (
	"context"
	"sync/atomic"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// bucketHandle is the view of a bucket from one Transport.
type bucketHandle struct {
	transport *Transport
	name      string
	current   atomic.Pointer[bucket] // another one after the bucket was deleted and created again
	find      func() *bucket         // returns the bucket that has the name now, or nil
	entries   bool                   // of a store of objects
}

var _ driver.Bucket = (*bucketHandle)(nil)

var (
	errNoBucket = transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "it does not exist: open it first")
	errNoRecord = transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "the record does not exist")
)

func newBucketHandle(t *Transport, b *bucket) *bucketHandle {
	h := &bucketHandle{transport: t, name: b.name}
	h.find = func() *bucket { return t.backend.bucket(h.name) }
	h.current.Store(b)
	return h
}

// enter returns the bucket, and takes its lock.
func (h *bucketHandle) enter(ctx context.Context) (*bucket, error) {
	if err := h.transport.ready(ctx); err != nil {
		return nil, err
	}
	b := h.current.Load()
	for b != nil {
		b.lock()
		if !b.deleted {
			return b, nil
		}
		b.unlock()
		if b = h.find(); b != nil {
			h.current.Store(b)
		}
	}
	return nil, errNoBucket
}

// begin begins a step. w describes it for the engine, if there is one.
func (h *bucketHandle) begin(ctx context.Context, action engine.Action, w driver.Write) (*engine.Op, error) {
	if h.transport.backend.engine == nil {
		return nil, nil
	}
	m := &transport.Message{Subject: w.Key, Header: w.Header, Body: w.Value}
	return h.transport.beginStep(ctx, action, m, h)
}

// inStore changes a step to that of a store of objects, if the bucket has its entries.
func (h *bucketHandle) inStore(s *engine.Step) {
	if h.entries {
		s.Store, s.Bucket = s.Bucket, ""
	}
}

// first returns the first of all, or a zero value.
func first[T any](all []T) (first T) {
	if len(all) > 0 {
		first = all[0]
	}
	return first
}

// Config implements [driver.Bucket].
func (h *bucketHandle) Config() *driver.Config { return h.current.Load().settings.Load() }

// Info implements [driver.Bucket].
func (h *bucketHandle) Info(ctx context.Context) (driver.Info, error) {
	b, err := h.enter(ctx)
	if err != nil {
		return driver.Info{}, err
	}
	defer b.unlock()
	return b.info(), nil
}

// Get implements [driver.Bucket].
func (h *bucketHandle) Get(ctx context.Context, key string, revision uint64, fresh bool) (record *driver.Record, err error) {
	op, err := h.begin(ctx, engine.Get, driver.Write{Key: key})
	if err != nil {
		return nil, err
	}
	if op.Times() > 0 {
		record, err = h.get(ctx, key, revision, op.Stale() && !fresh)
	}
	if err = op.End(err); err != nil {
		return nil, err
	}
	return record, nil
}

func (h *bucketHandle) get(ctx context.Context, key string, revision uint64, stale bool) (*driver.Record, error) {
	b, err := h.enter(ctx)
	if err != nil {
		return nil, err
	}
	r := b.get(key, revision, stale)
	b.unlock()
	if r == nil {
		return nil, errNoRecord
	}
	return r.copy(false), nil
}

func (b *bucket) get(key string, revision uint64, stale bool) *bucketRecord {
	k := b.keys[key]
	switch {
	case k == nil:
		return nil
	case revision > 0:
		if r := b.records.at(revision); r != nil && r.key == k {
			return r
		}
		return nil
	case stale:
		return k.before
	}
	return k.newest
}

// Read implements [driver.Bucket].
func (h *bucketHandle) Read(ctx context.Context, keys []string) (records []*driver.Record, revision uint64, err error) {
	op, err := h.begin(ctx, engine.Get, driver.Write{Key: first(keys)})
	if err != nil {
		return nil, 0, err
	}
	if op.Times() > 0 {
		records, revision, err = h.read(ctx, keys, op.Stale())
	}
	if err = op.End(err); err != nil {
		return nil, 0, err
	}
	return records, revision, nil
}

func (h *bucketHandle) read(ctx context.Context, keys []string, stale bool) ([]*driver.Record, uint64, error) {
	b, err := h.enter(ctx)
	if err != nil {
		return nil, 0, err
	}
	found, revision := b.read(keys, stale)
	b.unlock()
	var records []*driver.Record
	for _, r := range inOrder(found) {
		records = append(records, r.copy(false))
	}
	return records, revision, nil
}

// read returns the newest records of keys, and the revision as of which they are. A stale
// one is from before the last change.
func (b *bucket) read(keys []string, stale bool) (found []*bucketRecord, revision uint64) {
	revision = b.last
	if stale {
		revision = b.before
	}
	for _, key := range keys {
		k := b.keys[key]
		if k == nil {
			continue
		}
		r := k.newest
		if r.Revision > revision {
			r = k.before
		}
		if r != nil {
			found = append(found, r)
		}
	}
	return found, revision
}

// Put implements [driver.Bucket].
func (h *bucketHandle) Put(ctx context.Context, writes ...driver.Write) (revision uint64, err error) {
	op, err := h.begin(ctx, engine.Put, first(writes))
	if err != nil {
		return 0, err
	}
	for n := range op.Times() {
		last, failed := h.put(ctx, writes)
		if n == 0 { // the sender gets the first of two replies
			revision, err = last, failed
		}
	}
	if err = op.End(err); err != nil {
		return 0, err
	}
	return revision, nil
}

func (h *bucketHandle) put(ctx context.Context, writes []driver.Write) (uint64, error) {
	b, err := h.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer b.unlock()
	return b.put(writes)
}

// Remove implements [driver.Bucket].
func (h *bucketHandle) Remove(ctx context.Context, key string, revision uint64) error {
	b, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer b.unlock()
	return b.removeUpTo(key, revision)
}
