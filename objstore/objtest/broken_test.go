package objtest_test

import (
	"context"
	"iter"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// fault replaces methods of a backend. A nil function changes nothing. The methods of a store
// get the correct one.
type fault struct {
	open   func(*driver.Config)
	list   func(iter.Seq2[driver.Info, error]) iter.Seq2[driver.Info, error]
	delete func(ctx context.Context, s driver.Stores, name string) error

	info     func(*driver.Info)
	seal     func(ctx context.Context, s driver.Store) error
	chunk    func(*driver.Chunk) // changes each chunk that Chunk returns
	last     func(*driver.Chunk)
	count    func(int) int
	read     func(ctx context.Context, s driver.Store, upload string, from uint64, yield func(*driver.Chunk) bool) error
	uploads  func(iter.Seq2[driver.Upload, error]) iter.Seq2[driver.Upload, error]
	truncate func(ctx context.Context, s driver.Store, upload string, last uint64) error
	discard  func(ctx context.Context, s driver.Store, upload string, last uint64) error
	remove   func(ctx context.Context, s driver.Store, upload string) error

	append func(ctx context.Context, w driver.Writer, c driver.Chunk) error
	flush  func(ctx context.Context, w driver.Writer) (uint64, error)
	commit func(ctx context.Context, s driver.Store, w driver.Writer, c *driver.Chunk, entry kv.Write) (uint64, error)
	entry  func(*kv.Write)  // changes each entry that is written
	record func(*kv.Record) // changes each entry that is read
	scan   func(ctx context.Context, b kv.Bucket, s kv.Scan, yield func(*kv.Record) bool) error
	failed func(error) error
}

// broken is a transport with a fault.
type broken struct {
	driver.Backend
	fault
}

var _ transport.Transport = (*broken)(nil)

func (b *broken) Objects() driver.Stores { return &brokenStores{b.Backend.Objects(), &b.fault} }

type brokenStores struct {
	driver.Stores
	*fault
}

func (s *brokenStores) Open(ctx context.Context, c *driver.Config) (driver.Store, error) {
	if s.open != nil {
		s.open(c)
	}
	store, err := s.Stores.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &brokenStore{store, s.fault}, nil
}

func (s *brokenStores) List(ctx context.Context) iter.Seq2[driver.Info, error] {
	if s.list != nil {
		return s.list(s.Stores.List(ctx))
	}
	return s.Stores.List(ctx)
}

func (s *brokenStores) Delete(ctx context.Context, name string) error {
	if s.delete != nil {
		return s.delete(ctx, s.Stores, name)
	}
	return s.Stores.Delete(ctx, name)
}

type brokenStore struct {
	driver.Store
	*fault
}

func (s *brokenStore) end(err error) error {
	if err != nil && s.failed != nil {
		return s.failed(err)
	}
	return err
}

func (s *brokenStore) Info(ctx context.Context) (driver.Info, error) {
	is, err := s.Store.Info(ctx)
	if s.info != nil {
		s.info(&is)
	}
	return is, s.end(err)
}

func (s *brokenStore) Seal(ctx context.Context) error {
	if s.seal != nil {
		return s.seal(ctx, s.Store)
	}
	return s.end(s.Store.Seal(ctx))
}

func (s *brokenStore) Entries() kv.Bucket { return &brokenEntries{s.Store.Entries(), s.fault} }

func (s *brokenStore) Write(upload string, last uint64) driver.Writer {
	return &brokenWriter{s.Store.Write(upload, last), s}
}

func (s *brokenStore) Chunk(ctx context.Context, upload string, from uint64) (*driver.Chunk, error) {
	c, err := s.Store.Chunk(ctx, upload, from)
	if err == nil && s.chunk != nil {
		s.chunk(c)
	}
	return c, s.end(err)
}

func (s *brokenStore) Last(ctx context.Context, upload string) (*driver.Chunk, error) {
	c, err := s.Store.Last(ctx, upload)
	if err == nil && s.last != nil {
		s.last(c)
	}
	return c, s.end(err)
}

func (s *brokenStore) Count(ctx context.Context, upload string) (int, error) {
	n, err := s.Store.Count(ctx, upload)
	if s.count != nil {
		n = s.count(n)
	}
	return n, s.end(err)
}

func (s *brokenStore) Read(ctx context.Context, upload string, from uint64, yield func(*driver.Chunk) bool) error {
	if s.read != nil {
		return s.end(s.read(ctx, s.Store, upload, from, yield))
	}
	return s.end(s.Store.Read(ctx, upload, from, yield))
}

func (s *brokenStore) Uploads(ctx context.Context) iter.Seq2[driver.Upload, error] {
	if s.uploads != nil {
		return s.uploads(s.Store.Uploads(ctx))
	}
	return s.Store.Uploads(ctx)
}

func (s *brokenStore) Truncate(ctx context.Context, upload string, last uint64) error {
	if s.truncate != nil {
		return s.end(s.truncate(ctx, s.Store, upload, last))
	}
	return s.end(s.Store.Truncate(ctx, upload, last))
}

func (s *brokenStore) Discard(ctx context.Context, upload string, last uint64) error {
	if s.discard != nil {
		return s.end(s.discard(ctx, s.Store, upload, last))
	}
	return s.end(s.Store.Discard(ctx, upload, last))
}

func (s *brokenStore) Remove(ctx context.Context, upload string) error {
	if s.remove != nil {
		return s.end(s.remove(ctx, s.Store, upload))
	}
	return s.end(s.Store.Remove(ctx, upload))
}

type brokenWriter struct {
	driver.Writer
	s *brokenStore
}

func (w *brokenWriter) Append(ctx context.Context, c driver.Chunk) error {
	if w.s.append != nil {
		return w.s.end(w.s.append(ctx, w.Writer, c))
	}
	return w.s.end(w.Writer.Append(ctx, c))
}

func (w *brokenWriter) Flush(ctx context.Context) (last uint64, err error) {
	if w.s.flush != nil {
		last, err = w.s.flush(ctx, w.Writer)
	} else {
		last, err = w.Writer.Flush(ctx)
	}
	return last, w.s.end(err)
}

func (w *brokenWriter) Commit(ctx context.Context, c *driver.Chunk, entry kv.Write) (revision uint64, err error) {
	if w.s.entry != nil {
		w.s.entry(&entry)
	}
	if w.s.commit != nil {
		revision, err = w.s.commit(ctx, w.s.Store, w.Writer, c, entry)
	} else {
		revision, err = w.Writer.Commit(ctx, c, entry)
	}
	return revision, w.s.end(err)
}

type brokenEntries struct {
	kv.Bucket
	*fault
}

func (b *brokenEntries) change(r *kv.Record) *kv.Record {
	if r != nil && b.record != nil {
		b.record(r)
	}
	return r
}

func (b *brokenEntries) Get(ctx context.Context, key string, revision uint64, fresh bool) (*kv.Record, error) {
	r, err := b.Bucket.Get(ctx, key, revision, fresh)
	return b.change(r), err
}

func (b *brokenEntries) Scan(ctx context.Context, s kv.Scan, yield func(*kv.Record) bool) error {
	scan := b.Bucket.Scan
	if b.scan != nil {
		scan = func(ctx context.Context, s kv.Scan, yield func(*kv.Record) bool) error {
			return b.fault.scan(ctx, b.Bucket, s, yield)
		}
	}
	return scan(ctx, s, func(r *kv.Record) bool { return yield(b.change(r)) })
}

func (b *brokenEntries) Put(ctx context.Context, writes ...kv.Write) (uint64, error) {
	for i := range writes {
		if b.entry != nil {
			b.entry(&writes[i])
		}
	}
	return b.Bucket.Put(ctx, writes...)
}
