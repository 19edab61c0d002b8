package inproc

import (
	"context"
	"iter"
	"maps"
	"slices"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// buckets is the [driver.Store] of a Transport.
type buckets struct{ transport *Transport }

var _ driver.Backend = (*Transport)(nil)

// Buckets returns the store of the Backend's buckets, for package kv. Buckets outlive the
// Transport. Memory, Replicas, Compressed and Placement have no effect; the Domain of a Source
// is not supported.
func (t *Transport) Buckets() driver.Store { return buckets{t} }

// Open implements [driver.Store].
func (s buckets) Open(ctx context.Context, c *driver.Config) (driver.Bucket, error) {
	if err := s.transport.ready(ctx); err != nil {
		return nil, err
	}
	b, err := s.transport.backend.openBucket(c)
	if err != nil {
		return nil, err
	}
	return newBucketHandle(s.transport, b), nil
}

// List implements [driver.Store].
func (s buckets) List(ctx context.Context) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		for _, name := range s.transport.backend.bucketNames() {
			if s.transport.ready(ctx) != nil {
				break
			}
			b := s.transport.backend.bucket(name)
			if b == nil {
				continue
			}
			b.lock()
			info := b.info()
			b.unlock()
			if !yield(info, nil) {
				return
			}
		}
		if err := s.transport.ready(ctx); err != nil {
			yield(driver.Info{}, err)
		}
	}
}

// Delete implements [driver.Store].
func (s buckets) Delete(ctx context.Context, name string) error {
	if err := s.transport.ready(ctx); err != nil {
		return err
	}
	return s.transport.backend.deleteBucket(name)
}

// bucket returns a bucket, or nil.
func (b *Backend) bucket(name string) *bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buckets[name]
}

// bucketNames returns the names of all buckets in order.
func (b *Backend) bucketNames() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.buckets))
}

// openBucket opens or creates the bucket that c describes, and updates it.
func (b *Backend) openBucket(c *driver.Config) (*bucket, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	opened := b.buckets[c.Name]
	switch {
	case opened != nil && c.Existing:
		return opened, nil
	case opened != nil:
		return opened, b.updateBucket(opened, c)
	case c.Existing:
		return nil, errNoBucket
	}
	r, err := newRepublish(c)
	if err == nil {
		err = b.checkOrigins(c)
	}
	if err != nil {
		return nil, err
	}
	opened = newBucket(b, c, r)
	b.buckets[c.Name] = opened
	b.link(opened)
	b.linkCopies(opened)
	return opened, nil
}

func (b *Backend) updateBucket(opened *bucket, c *driver.Config) error {
	if err := opened.update(c); err != nil {
		return err
	}
	b.link(opened)
	return nil
}

// deleteBucket deletes a bucket, and ends its Follows.
func (b *Backend) deleteBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	doomed := b.buckets[name]
	if doomed == nil {
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "the bucket does not exist")
	}
	for _, c := range doomed.copying {
		b.end(c)
	}
	delete(b.buckets, name)
	doomed.delete()
	return nil
}
