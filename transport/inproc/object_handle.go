package inproc

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// objectHandle is the view of a store of objects from one Transport.
type objectHandle struct {
	transport *Transport
	name      string
	current   atomic.Pointer[objectStore] // another one after the store was deleted and created again
	entries   *bucketHandle
}

var _ driver.Store = (*objectHandle)(nil)

func newObjectHandle(t *Transport, o *objectStore) *objectHandle {
	h := &objectHandle{transport: t, name: o.entries.name}
	h.current.Store(o)
	h.entries = newBucketHandle(t, o.entries)
	h.entries.find = func() *bucket {
		if o := h.find(); o != nil {
			return o.entries
		}
		return nil
	}
	return h
}

// find returns the store that has the name now, or nil.
func (h *objectHandle) find() *objectStore {
	b := h.transport.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[h.name]
}

// enter returns the store, and takes its lock.
func (h *objectHandle) enter(ctx context.Context) (*objectStore, error) {
	if err := h.transport.ready(ctx); err != nil {
		return nil, err
	}
	for o := h.current.Load(); o != nil; {
		o.lock()
		if !o.entries.deleted {
			return o, nil
		}
		o.unlock()
		if o = h.find(); o != nil {
			h.current.Store(o)
		}
	}
	return nil, errNoObjects
}

// begin begins a step with a key: that of an entry, or the id of an upload.
func (h *objectHandle) begin(ctx context.Context, action engine.Action, key string, header transport.Header, data []byte) (*engine.Op, error) {
	if h.transport.backend.engine == nil {
		return nil, nil
	}
	m := &transport.Message{Subject: key, Header: header, Body: data}
	return h.transport.beginStep(ctx, action, m, h.entries)
}

// Config implements [driver.Store].
func (h *objectHandle) Config() *driver.Config { return h.current.Load().settings.Load() }

// Info implements [driver.Store].
func (h *objectHandle) Info(ctx context.Context) (driver.Info, error) {
	o, err := h.enter(ctx)
	if err != nil {
		return driver.Info{}, err
	}
	defer o.unlock()
	return o.info(), nil
}

// Seal implements [driver.Store].
func (h *objectHandle) Seal(ctx context.Context) error {
	o, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer o.unlock()
	o.entries.sealed = true
	return nil
}

// Entries implements [driver.Store].
func (h *objectHandle) Entries() kv.Bucket { return h.entries }

// Chunk implements [driver.Store].
func (h *objectHandle) Chunk(ctx context.Context, upload string, from uint64) (c *driver.Chunk, after int, err error) {
	op, err := h.begin(ctx, engine.Get, upload, nil, nil)
	if err != nil {
		return nil, 0, err
	}
	if op.Times() > 0 {
		var found []objectChunk
		if found, after, err = h.some(ctx, upload, from, 1); len(found) == 1 {
			c, after = found[0].copy(), after-1
		} else if err == nil {
			err = errNoChunk
		}
	}
	if err = op.End(err); err != nil {
		return nil, 0, err
	}
	return c, after, nil
}

// Last implements [driver.Store].
func (h *objectHandle) Last(ctx context.Context, upload string) (*driver.Chunk, error) {
	o, err := h.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer o.unlock()
	u := o.uploads[upload]
	if u == nil {
		return nil, errNoChunk
	}
	return u.chunks[len(u.chunks)-1].copy(), nil
}

var errNoChunk = transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "the chunk does not exist")

// some returns the first n chunks of an upload at or after a sequence, and the number of all
// such chunks.
func (h *objectHandle) some(ctx context.Context, upload string, from uint64, n int) (found []objectChunk, all int, err error) {
	o, err := h.enter(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer o.unlock()
	u := o.uploads[upload]
	if u == nil {
		return nil, 0, nil
	}
	found = u.chunks[u.index(from):]
	return slices.Clone(found[:min(n, len(found))]), len(found), nil
}

// copy returns a chunk that belongs to the caller.
func (c *objectChunk) copy() *driver.Chunk {
	is := c.Chunk
	is.Header, is.Data = slices.Clone(c.Header), cloneValue(c.Data)
	return &is
}

// chunkStride is the number of chunks that are read under one lock.
const chunkStride = 8

// Read implements [driver.Store].
func (h *objectHandle) Read(ctx context.Context, upload string, from uint64, yield func(*driver.Chunk) bool) error {
	for {
		op, err := h.begin(ctx, engine.Get, upload, nil, nil)
		if err != nil {
			return err
		}
		found, all, err := h.some(ctx, upload, from, chunkStride)
		if err = op.End(err); err != nil {
			return err
		}
		for i := range found {
			if !yield(found[i].copy()) {
				return nil
			}
			from = found[i].Sequence + 1
		}
		if all == len(found) {
			return nil
		}
	}
}

// Uploads implements [driver.Store].
func (h *objectHandle) Uploads(ctx context.Context) iter.Seq2[driver.Upload, error] {
	return func(yield func(driver.Upload, error) bool) {
		o, err := h.enter(ctx)
		if err != nil {
			yield(driver.Upload{}, err)
			return
		}
		var all []driver.Upload
		for id, u := range o.uploads {
			all = append(all, driver.Upload{ID: id, Chunks: len(u.chunks)})
		}
		o.unlock()
		for _, u := range all {
			if !yield(u, nil) {
				return
			}
		}
	}
}

// Truncate implements [driver.Store].
func (h *objectHandle) Truncate(ctx context.Context, upload string, last uint64) error {
	return h.removeIf(ctx, upload, last, last)
}

// Discard implements [driver.Store].
func (h *objectHandle) Discard(ctx context.Context, upload string, last uint64) error {
	return h.removeIf(ctx, upload, last, 0)
}

// removeIf deletes the chunks of an upload from a sequence on, if its last one is as expected.
func (h *objectHandle) removeIf(ctx context.Context, upload string, last, from uint64) error {
	o, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer o.unlock()
	switch is := o.lastOf(upload); {
	case o.entries.sealed:
		return errSealed
	case is != last:
		return transport.Errorf(transport.Aborted, transport.OutcomeNotDone, "the upload ends at %d, expected %d", is, last)
	}
	o.remove(upload, from)
	return nil
}

// Remove implements [driver.Store].
func (h *objectHandle) Remove(ctx context.Context, upload string) error {
	o, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer o.unlock()
	if o.entries.sealed {
		return errSealed
	}
	o.remove(upload, 0)
	return nil
}

// Write implements [driver.Store].
func (h *objectHandle) Write(upload string, last uint64) driver.Writer {
	return &objectWriter{h: h, upload: upload, last: last}
}

// objectWriter is a [driver.Writer]. Each chunk is stored at once.
type objectWriter struct {
	h      *objectHandle
	upload string
	last   uint64
	err    error
}

// Append implements [driver.Writer].
func (w *objectWriter) Append(ctx context.Context, c driver.Chunk) error {
	if w.err != nil {
		return w.err
	}
	op, err := w.h.begin(ctx, engine.Put, w.upload, c.Header, c.Data)
	if err == nil {
		if op.Times() > 0 {
			err = w.append(ctx, &c)
		}
		err = op.End(err)
	}
	w.err = err
	return err
}

func (w *objectWriter) append(ctx context.Context, c *driver.Chunk) error {
	o, err := w.h.enter(ctx)
	if err != nil {
		return err
	}
	defer o.unlock()
	last, err := o.append(w.upload, w.last, c)
	if err == nil {
		w.last = last
	}
	return err
}

// Flush implements [driver.Writer].
func (w *objectWriter) Flush(context.Context) (last uint64, err error) { return w.last, w.err }

// Commit implements [driver.Writer].
func (w *objectWriter) Commit(ctx context.Context, c *driver.Chunk, entry kv.Write) (revision uint64, err error) {
	if w.err != nil {
		return 0, w.err
	}
	op, err := w.h.begin(ctx, engine.Put, entry.Key, entry.Header, entry.Value)
	if err != nil {
		return 0, err
	}
	for n := range op.Times() {
		is, failed := w.commit(ctx, c, entry)
		if n == 0 { // the sender gets the first of two replies
			revision, err = is, failed
		}
	}
	if err = op.End(err); err != nil {
		return 0, err
	}
	return revision, nil
}

func (w *objectWriter) commit(ctx context.Context, c *driver.Chunk, entry kv.Write) (uint64, error) {
	o, err := w.h.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer o.unlock()
	return o.commit(w.upload, w.last, c, entry)
}
