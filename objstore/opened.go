package objstore

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"gomono.dev/kv"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// opened is an open store. All users in one App share it.
type opened struct {
	driver.Store
	name      string // at the backend
	transport transport.Transport
	entries   *kv.KeyValue[entry]
	index     *index // nil: none
	chunk     int    // the declared size of chunks, 0 for the default
	log       *slog.Logger

	mu     sync.Mutex
	others map[string]*opened // by links
}

// The keys of an Environment: of an open store, and of its first declaration, by the declared
// and by the stored name.
type (
	sharedKey   struct{ name string }
	declaredKey struct{ name string }
	storedKey   struct{ name string }
)

// shared is the place of an open store.
type shared struct {
	mu    sync.Mutex
	open  *opened
	users int
}

// check reports a mistake that is known without a request. It is [transport.Component.Check].
func (d *declaration) check(e transport.Environment) error {
	if _, err := backendOf(e.Transport); err != nil || e.Shared == nil {
		return err
	}
	for _, key := range []any{declaredKey{d.name}, storedKey{d.storedName(e.Namespace)}} {
		is, _ := e.Shared.LoadOrStore(key, d)
		first := is.(*declaration)
		if how := first.differs(d); how != "" {
			return notDone(transport.FailedPrecondition, "it is declared twice %s, at %s and at %s: declare it once and import it", how, first.place, d.place)
		}
	}
	return nil
}

// differs describes how another declaration of the same store differs, "" if it does not. A
// different name may have a different StoredAs.
func (d *declaration) differs(other *declaration) string {
	a, b := d.options.settings(), other.options.settings()
	names := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(names)
	for _, name := range names {
		if a[name] != b[name] && (name != "StoredAs" || d.name == other.name) {
			return fmt.Sprintf("with different options: %s %q and %q", name, a[name], b[name])
		}
	}
	return ""
}

// start opens the store, unless another user has. It is [transport.Component.Open].
func (o *Objects) start(ctx context.Context, e transport.Environment) error {
	name := o.decl.storedName(e.Namespace)
	if err := o.decl.check(e); err != nil {
		return inStore(name, err)
	}
	o.shared = new(shared)
	if e.Shared != nil {
		is, _ := e.Shared.LoadOrStore(sharedKey{name}, o.shared)
		o.shared = is.(*shared)
	}
	o.shared.mu.Lock()
	defer o.shared.mu.Unlock()
	if o.shared.users == 0 {
		s, err := o.decl.open(ctx, e, name)
		if err != nil {
			return inStore(name, err)
		}
		o.shared.open = s
	}
	o.shared.users++
	o.open.Store(o.shared.open)
	return nil
}

// stop closes the store after its last user. It is [transport.Component.Close].
func (o *Objects) stop(ctx context.Context) error {
	s := o.open.Swap(nil)
	if s == nil {
		return nil
	}
	o.shared.mu.Lock()
	o.shared.users--
	last := o.shared.users == 0
	o.shared.mu.Unlock()
	if !last {
		return nil
	}
	return inStore(s.name, s.close(ctx))
}

// open opens the store that d declares.
func (d *declaration) open(ctx context.Context, e transport.Environment, name string) (*opened, error) {
	s := &opened{name: name, transport: e.Transport, chunk: d.options.chunk, log: e.Logger}
	if d.options.index {
		s.index = newIndex(s, d.options.maxStale)
	}
	return s, s.open(ctx, d.config(e, name))
}

// config returns the configuration of the store at the backend.
func (d *declaration) config(e transport.Environment, name string) *driver.Config {
	c := d.options.Config
	c.Name, c.Generation = name, e.Generation
	return &c
}

// needs is [transport.Component.Needs].
func (d *declaration) needs(e transport.Environment) any {
	return d.config(e, d.storedName(e.Namespace))
}

// open opens the store and its entries.
func (s *opened) open(ctx context.Context, c *driver.Config) error {
	backend, err := backendOf(s.transport)
	if err != nil {
		return err
	}
	if s.Store, err = backend.Open(ctx, c); err != nil {
		return err
	}
	return s.connect(ctx)
}

// close ends what follows the store.
func (s *opened) close(ctx context.Context) error {
	var errs []error
	if s.index != nil {
		errs = append(errs, s.index.close(ctx))
	}
	errs = append(errs, ofEntries(s.entries.Close(ctx)))
	s.mu.Lock()
	others := s.others
	s.others = nil
	s.mu.Unlock()
	for _, other := range others {
		errs = append(errs, other.close(ctx))
	}
	return firstError(errs...)
}

// other returns another store, for a link.
func (s *opened) other(ctx context.Context, name string) (*opened, error) {
	s.mu.Lock()
	known := s.others[name]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	if !validStored.MatchString(name) {
		return nil, notDone(transport.FailedPrecondition, "invalid name")
	}
	o := &opened{name: name, transport: s.transport, log: s.log}
	if err := o.open(ctx, &driver.Config{Name: name, Existing: true}); err != nil {
		return nil, asNotDone(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.others == nil {
		s.others = make(map[string]*opened)
	}
	s.others[name] = o
	return o, nil
}
