package testkit

import (
	"context"
	"fmt"
	"strings"

	"gomono.dev/kv/driver"
	objects "gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// The kinds of the handleKeys of a bucket and of a store of objects, whose names are the stored
// ones.
const (
	kindBucket = "bucket"
	kindStore  = "store"
)

// isState reports whether the handle is a bucket or a store.
func (k handleKey) isState() bool { return k.kind == kindBucket || k.kind == kindStore }

// recorded is a transport whose operations on buckets and stores are in the history.
type recorded struct {
	backend
	h       *Harness
	process *process // nil: the test
}

// backend is a transport with buckets and stores of objects.
type backend interface {
	driver.Backend
	Objects() objects.Stores
}

// record returns a transport for a process, or for the test if p is nil.
func (h *Harness) record(tr transport.Transport, p *process) transport.Transport {
	if b, ok := tr.(backend); ok {
		return &recorded{b, h, p}
	}
	return tr
}

// Buckets implements driver.Backend.
func (r *recorded) Buckets() driver.Store { return recordedStore{r.backend.Buckets(), r} }

type recordedStore struct {
	driver.Store
	by *recorded
}

// Open implements driver.Store.
func (s recordedStore) Open(ctx context.Context, c *driver.Config) (driver.Bucket, error) {
	b, err := s.Store.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &recordedBucket{b, s.by, handleKey{kindBucket, c.Name}}, nil
}

// recordedBucket is a bucket of a recorded transport.
type recordedBucket struct {
	driver.Bucket
	by *recorded
	of handleKey
}

// Config implements driver.Bucket. A bucket with stale reads counts as replicated.
func (b *recordedBucket) Config() *driver.Config {
	c := b.Bucket.Config()
	if c.Replicas <= 1 && b.by.process != nil && b.by.h.faults.canBeStale(b.of) {
		replicated := *c
		replicated.Replicas = 3
		return &replicated
	}
	return c
}

// Get implements driver.Bucket. The test gets the answer of the leader.
func (b *recordedBucket) Get(ctx context.Context, key string, revision uint64, fresh bool) (r *driver.Record, err error) {
	e := b.begin(operation{verb: "gets", keys: b.of.quote(key)})
	defer func() { b.end(e, b.of.recordText(r), err) }()
	return b.Bucket.Get(ctx, key, revision, fresh || b.by.process == nil)
}

// Read implements driver.Bucket.
func (b *recordedBucket) Read(ctx context.Context, keys []string) (records []*driver.Record, revision uint64, err error) {
	e := b.begin(operation{verb: "gets", keys: b.of.quote(keys...)})
	defer func() { b.end(e, fmt.Sprintf("%s as of #%d", plural(len(records), "record"), revision), err) }()
	return b.Bucket.Read(ctx, keys)
}

// Put implements driver.Bucket.
func (b *recordedBucket) Put(ctx context.Context, writes ...driver.Write) (revision uint64, err error) {
	e := b.begin(b.of.writing(writes))
	defer func() { b.end(e, fmt.Sprintf("#%d", revision), err) }()
	return b.Bucket.Put(ctx, writes...)
}

// Scan implements driver.Bucket.
func (b *recordedBucket) Scan(ctx context.Context, s driver.Scan, yield func(*driver.Record) bool) (err error) {
	e, n := b.begin(operation{verb: "lists", keys: strings.Join(s.Patterns, ", ")}), 0
	defer func() { b.end(e, plural(n, "record"), err) }()
	return b.Bucket.Scan(ctx, s, func(r *driver.Record) bool {
		n++
		return yield(r)
	})
}

// Follow implements driver.Bucket. A cache of the test is never current, so it answers nothing.
func (b *recordedBucket) Follow(ctx context.Context, f driver.Follow, yield func(*driver.Record) bool) error {
	if b.by.process == nil {
		f.Current = nil
	}
	return b.Bucket.Follow(ctx, f, yield)
}

// Remove implements driver.Bucket.
func (b *recordedBucket) Remove(ctx context.Context, key string, revision uint64) (err error) {
	e := b.begin(operation{verb: "removes", keys: b.of.quote(key), value: fmt.Sprintf("up to #%d", revision), writes: true})
	defer func() { b.end(e, "done", err) }()
	return b.Bucket.Remove(ctx, key, revision)
}

func (b *recordedBucket) begin(o operation) *entry {
	return b.by.h.journal.beginOperation(b.by.process, b.of, o)
}

func (b *recordedBucket) end(e *entry, result string, err error) {
	b.by.h.journal.endOperation(e, result, err)
}
