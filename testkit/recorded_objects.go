package testkit

import (
	"context"
	"fmt"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
)

// Objects returns the stores of the transport.
func (r *recorded) Objects() driver.Stores { return recordedStores{r.backend.Objects(), r} }

type recordedStores struct {
	driver.Stores
	by *recorded
}

// Open implements driver.Stores.
func (s recordedStores) Open(ctx context.Context, c *driver.Config) (driver.Store, error) {
	o, err := s.Stores.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &recordedObjects{o, &recordedBucket{o.Entries(), s.by, handleKey{kindStore, c.Name}}}, nil
}

// recordedObjects is a store of a recorded transport.
type recordedObjects struct {
	driver.Store
	entries *recordedBucket
}

// Entries implements driver.Store.
func (o *recordedObjects) Entries() kv.Bucket { return o.entries }

// Write implements driver.Store.
func (o *recordedObjects) Write(upload string, last uint64) driver.Writer {
	return &recordedWriter{o.Store.Write(upload, last), o.entries}
}

// Read implements driver.Store.
func (o *recordedObjects) Read(ctx context.Context, upload string, from uint64, yield func(*driver.Chunk) bool) (err error) {
	e, n := o.entries.begin(operation{verb: "reads", keys: "chunks"}), 0
	defer func() { o.entries.end(e, plural(n, "chunk"), err) }()
	return o.Store.Read(ctx, upload, from, func(c *driver.Chunk) bool {
		n++
		return yield(c)
	})
}

// Remove implements driver.Store.
func (o *recordedObjects) Remove(ctx context.Context, upload string) (err error) {
	e := o.entries.begin(operation{verb: "removes", keys: "chunks", writes: true})
	defer func() { o.entries.end(e, "done", err) }()
	return o.Store.Remove(ctx, upload)
}

// Discard implements driver.Store.
func (o *recordedObjects) Discard(ctx context.Context, upload string, last uint64) (err error) {
	e := o.entries.begin(operation{verb: "discards", keys: "chunks", writes: true})
	defer func() { o.entries.end(e, "done", err) }()
	return o.Store.Discard(ctx, upload, last)
}

// recordedWriter is a driver.Writer of a recorded transport.
type recordedWriter struct {
	driver.Writer
	of *recordedBucket
}

// Append implements driver.Writer.
func (w *recordedWriter) Append(ctx context.Context, c driver.Chunk) (err error) {
	e := w.of.begin(operation{verb: "puts", keys: "a chunk", value: plural(len(c.Data), "byte"), writes: true})
	defer func() { w.of.end(e, "done", err) }()
	return w.Writer.Append(ctx, c)
}

// Commit implements driver.Writer.
func (w *recordedWriter) Commit(ctx context.Context, c *driver.Chunk, entry kv.Write) (revision uint64, err error) {
	e := w.of.begin(w.of.of.writing([]kv.Write{entry}))
	defer func() { w.of.end(e, fmt.Sprintf("#%d", revision), err) }()
	return w.Writer.Commit(ctx, c, entry)
}
