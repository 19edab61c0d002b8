package kvtest_test

import (
	"context"
	"iter"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// fault replaces methods of a backend. A nil function changes nothing. The methods of a
// bucket get the correct one.
type fault struct {
	open   func(*driver.Config)
	list   func(iter.Seq2[driver.Info, error]) iter.Seq2[driver.Info, error]
	delete func(ctx context.Context, s driver.Store, name string) error

	info   func(*driver.Info)
	get    func(ctx context.Context, b driver.Bucket, key string, revision uint64, fresh bool) (*driver.Record, error)
	read   func(ctx context.Context, b driver.Bucket, keys []string) ([]*driver.Record, uint64, error)
	put    func(ctx context.Context, b driver.Bucket, writes []driver.Write) (uint64, error)
	scan   func(ctx context.Context, b driver.Bucket, s driver.Scan, yield func(*driver.Record) bool) error
	follow func(ctx context.Context, b driver.Bucket, f driver.Follow, yield func(*driver.Record) bool) error
	remove func(ctx context.Context, b driver.Bucket, key string, revision uint64) error

	write  func(*driver.Write)  // changes each write
	record func(*driver.Record) // changes each record that is read
	failed func(error) error    // changes each error of a bucket
}

// broken is a transport with a fault.
type broken struct {
	driver.Backend
	fault
}

func (b *broken) Buckets() driver.Store { return &brokenStore{b.Backend.Buckets(), &b.fault} }

type brokenStore struct {
	driver.Store
	*fault
}

func (s *brokenStore) Open(ctx context.Context, c *driver.Config) (driver.Bucket, error) {
	if s.open != nil {
		s.open(c)
	}
	b, err := s.Store.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &brokenBucket{b, s.fault}, nil
}

func (s *brokenStore) List(ctx context.Context) iter.Seq2[driver.Info, error] {
	if s.list != nil {
		return s.list(s.Store.List(ctx))
	}
	return s.Store.List(ctx)
}

func (s *brokenStore) Delete(ctx context.Context, name string) error {
	if s.delete != nil {
		return s.delete(ctx, s.Store, name)
	}
	return s.Store.Delete(ctx, name)
}

type brokenBucket struct {
	driver.Bucket
	*fault
}

func (b *brokenBucket) end(err error) error {
	if err != nil && b.failed != nil {
		return b.failed(err)
	}
	return err
}

func (b *brokenBucket) change(r *driver.Record) *driver.Record {
	if r != nil && b.record != nil {
		b.record(r)
	}
	return r
}

func (b *brokenBucket) changing(yield func(*driver.Record) bool) func(*driver.Record) bool {
	return func(r *driver.Record) bool { return yield(b.change(r)) }
}

func (b *brokenBucket) Info(ctx context.Context) (driver.Info, error) {
	is, err := b.Bucket.Info(ctx)
	if b.info != nil {
		b.info(&is)
	}
	return is, b.end(err)
}

func (b *brokenBucket) Get(ctx context.Context, key string, revision uint64, fresh bool) (*driver.Record, error) {
	get := b.Bucket.Get
	if b.get != nil {
		get = func(ctx context.Context, key string, revision uint64, fresh bool) (*driver.Record, error) {
			return b.get(ctx, b.Bucket, key, revision, fresh)
		}
	}
	r, err := get(ctx, key, revision, fresh)
	return b.change(r), b.end(err)
}

func (b *brokenBucket) Read(ctx context.Context, keys []string) (records []*driver.Record, revision uint64, err error) {
	if b.read != nil {
		records, revision, err = b.read(ctx, b.Bucket, keys)
	} else {
		records, revision, err = b.Bucket.Read(ctx, keys)
	}
	for _, r := range records {
		b.change(r)
	}
	return records, revision, b.end(err)
}

func (b *brokenBucket) Put(ctx context.Context, writes ...driver.Write) (revision uint64, err error) {
	if b.write != nil {
		for i := range writes {
			b.write(&writes[i])
		}
	}
	if b.put != nil {
		revision, err = b.put(ctx, b.Bucket, writes)
	} else {
		revision, err = b.Bucket.Put(ctx, writes...)
	}
	return revision, b.end(err)
}

func (b *brokenBucket) Scan(ctx context.Context, s driver.Scan, yield func(*driver.Record) bool) error {
	if b.scan != nil {
		return b.end(b.scan(ctx, b.Bucket, s, b.changing(yield)))
	}
	return b.end(b.Bucket.Scan(ctx, s, b.changing(yield)))
}

func (b *brokenBucket) Follow(ctx context.Context, f driver.Follow, yield func(*driver.Record) bool) error {
	if b.follow != nil {
		return b.end(b.follow(ctx, b.Bucket, f, b.changing(yield)))
	}
	return b.end(b.Bucket.Follow(ctx, f, b.changing(yield)))
}

func (b *brokenBucket) Remove(ctx context.Context, key string, revision uint64) error {
	if b.remove != nil {
		return b.end(b.remove(ctx, b.Bucket, key, revision))
	}
	return b.end(b.Bucket.Remove(ctx, key, revision))
}

var _ transport.Transport = (*broken)(nil)
