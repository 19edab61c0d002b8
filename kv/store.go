package kv

import (
	"context"
	"fmt"
	"sync/atomic"

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

// sharedKey is the key of a shared in an Environment.
type sharedKey struct{ bucket string }

// shared is the place of an open bucket.
type shared struct {
	lock  chan struct{} // of capacity 1; holds a value while it is locked
	open  *opened
	users int
}

func newShared() *shared { return &shared{lock: make(chan struct{}, 1)} }

// enter takes the lock, unless ctx ends first. Another user may hold it while it connects.
func (s *shared) enter(ctx context.Context) error {
	if err := contextError(ctx); err != nil {
		return err
	}
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

func (s *shared) leave() { <-s.lock }

// start opens the bucket, or joins those who did. It is [transport.Component.Open].
func (s *store) start(ctx context.Context, e transport.Environment) error {
	name := s.decl.storedName(e.Namespace)
	if err := s.check(e); err != nil {
		return inBucket(name, err)
	}
	s.shared = newShared()
	if e.Shared != nil {
		is, _ := e.Shared.LoadOrStore(sharedKey{name}, s.shared)
		s.shared = is.(*shared)
	}
	if err := s.shared.enter(ctx); err != nil {
		return inBucket(name, err)
	}
	defer s.shared.leave()
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
	s.shared.lock <- struct{}{} // no other user connects now
	s.shared.users--
	last := s.shared.users == 0
	s.shared.leave()
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
	bucket, err := backend.Open(ctx, d.config(e, name))
	if err != nil {
		return nil, err
	}
	o := &opened{Bucket: bucket, name: name, codec: d.codec(e), upcasts: d.options.upcasts, log: e.Logger}
	o.media = mediaType(o.codec.ContentType())
	o.feed = newFeed(o)
	if d.options.cached {
		o.cache = newCache(o, &d.options)
	}
	return o, nil
}

// config returns the configuration of the bucket at the backend.
func (d *declaration) config(e transport.Environment, name string) *driver.Config {
	c := d.options.Config
	c.Name, c.Generation = name, e.Generation
	if r := c.Republish; r != nil {
		c.Republish = &driver.Republish{Source: "$KV." + name + "." + r.Source, Destination: r.Destination, HeadersOnly: r.HeadersOnly}
	}
	return &c
}

// needs is [transport.Component.Needs].
func (s *store) needs(e transport.Environment) any {
	return s.decl.config(e, s.decl.storedName(e.Namespace))
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
