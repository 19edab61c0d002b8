package kv

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"

	"gomono.dev/codec"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// store is a bucket that was opened once. It adds to its driver the names in errors, and the
// promise that a process reads what it wrote.
type store struct {
	decl      *declaration
	connected bool // by Connect, not by a Host
	shared    *shared
	open      atomic.Pointer[opened] // nil: not open
}

// opened is an open bucket. All stores of one App share it.
type opened struct {
	driver.Bucket
	name    string      // at the backend
	codec   codec.Codec // of new values
	upcasts *codec.Upcasts
	log     *slog.Logger
	feed    *feed
	cache   *cache // nil: none
	written written
}

// sharedKey is the key of a shared in an Environment.
type sharedKey struct{ bucket string }

// shared is the place of an open bucket.
type shared struct {
	mu    sync.Mutex
	open  *opened
	users int
}

// start opens the bucket, or joins those who did. It is [transport.Component.Open].
func (s *store) start(ctx context.Context, e transport.Environment) error {
	name := s.decl.storedName(e.Namespace)
	if err := s.check(e); err != nil {
		return inBucket(name, err)
	}
	s.shared = new(shared)
	if e.Shared != nil {
		is, _ := e.Shared.LoadOrStore(sharedKey{name}, s.shared)
		s.shared = is.(*shared)
	}
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	if s.shared.users == 0 {
		o, err := s.decl.connect(ctx, e, name)
		if err != nil {
			return inBucket(name, err)
		}
		s.shared.open = o
	}
	s.shared.users++
	s.open.Store(s.shared.open)
	return nil
}

// stop closes the bucket after its last user. It is [transport.Component.Close].
func (s *store) stop(ctx context.Context) error {
	o := s.open.Swap(nil)
	if o == nil {
		return nil
	}
	s.shared.mu.Lock()
	s.shared.users--
	last := s.shared.users == 0
	s.shared.mu.Unlock()
	if !last {
		return nil
	}
	return inBucket(o.name, o.feed.stop(ctx))
}

// health reports whether the bucket answers. It is [transport.Component.Health].
func (s *store) health(ctx context.Context) error {
	o, err := s.begin(ctx)
	if err != nil {
		return err
	}
	_, err = o.Info(ctx)
	return inBucket(o.name, err)
}

// connect opens the bucket that d declares.
func (d *declaration) connect(ctx context.Context, e transport.Environment, name string) (*opened, error) {
	backend, err := backendOf(e.Transport)
	if err != nil {
		return nil, err
	}
	config := d.options.Config
	config.Name, config.Generation = name, e.Generation
	if r := config.Republish; r != nil {
		config.Republish = &driver.Republish{Source: "$KV." + name + "." + r.Source, Destination: r.Destination, HeadersOnly: r.HeadersOnly}
	}
	bucket, err := backend.Open(ctx, &config)
	if err != nil {
		return nil, err
	}
	o := &opened{Bucket: bucket, name: name, codec: d.codec(e), upcasts: d.options.upcasts, log: e.Logger}
	o.feed = newFeed(o)
	if d.options.cached {
		o.cache = newCache(o, &d.options)
	}
	return o, nil
}

// begin returns the open bucket for an operation.
func (s *store) begin(ctx context.Context) (*opened, error) {
	o := s.open.Load()
	if o == nil {
		return nil, inBucket(s.decl.name, notDone(transport.FailedPrecondition, "it is not open: use it after the start of the App, and before its end or Close"))
	}
	if err := contextError(ctx); err != nil {
		return nil, inBucket(o.name, err)
	}
	return o, nil
}

// contain turns the panic of a user's codec into an error.
func contain(err *error, contentType string) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("the codec of %s panicked: %v", contentType, v)
	}
}

// record returns the newest record of a key, markers included. A replica that does not have
// the last write of this process is not believed.
func (o *opened) record(ctx context.Context, key string, fresh bool) (*driver.Record, error) {
	r, err := o.Get(ctx, key, 0, fresh)
	if fresh || o.Config().Replicas <= 1 || transport.CodeOf(err) != "" && transport.CodeOf(err) != transport.NotFound {
		return r, err
	}
	if least := o.written.of(key); least > 0 && (err != nil || r.Revision < least) {
		return o.Get(ctx, key, 0, true)
	}
	return r, err
}

// put stores writes, and notes their revisions.
func (o *opened) put(ctx context.Context, writes ...driver.Write) (uint64, error) {
	revision, err := o.Put(ctx, writes...)
	for i := range writes {
		switch key := writes[i].Key; {
		case err == nil:
			is := revision - uint64(len(writes)-1-i)
			o.written.note(key, is)
			o.forget(key, is)
		case isUnknown(err):
			o.forget(key, 0)
		}
	}
	return revision, err
}

// forget tells the cache that this process has written a key.
func (o *opened) forget(written string, revision uint64) {
	if o.cache != nil {
		o.cache.wrote(written, revision)
	}
}

// written holds the revisions that this process has written. Keys share slots: a slot holds
// the highest revision of its keys. A key whose slot is ahead of its record is read once
// more, from the leader.
type written struct {
	last  atomic.Uint64
	slots [1024]atomic.Uint64
}

var seed = maphash.MakeSeed()

func (w *written) slot(key string) *atomic.Uint64 {
	return &w.slots[maphash.String(seed, key)%uint64(len(w.slots))]
}

// of returns a revision that the newest record of a key has at least, if the key is the only
// one of its slot. It is 0 if no key of the slot was written.
func (w *written) of(key string) uint64 { return w.slot(key).Load() }

func (w *written) note(key string, revision uint64) {
	raise(w.slot(key), revision)
	raise(&w.last, revision)
}

func raise(v *atomic.Uint64, to uint64) {
	for is := v.Load(); is < to && !v.CompareAndSwap(is, to); is = v.Load() {
	}
}
