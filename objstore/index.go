package objstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gomono.dev/transport"
)

// Index keeps the names and descriptions of all objects in memory. So List costs in proportion
// to its result, in the order of names, and Stat needs no request. All users of the store in an
// App share the index. One consumer keeps it up to date, from its first use on.
//
// The result of List and Stat is at most MaxStale old. If the index is older, or is not filled
// yet, they read the store. Normally the index is as old as a change takes to arrive. It includes
// all that this process has written or read, and no object after its expiry, by the local clock.
// Delete, Rename and Update first try with what the index knows, which saves a request. If that is
// old, they read the store and try again: they do the same as without an index. All other methods
// read the store.
//
// A name of 30 bytes takes about 400 bytes of memory with a content type, and about 150 more if
// the object expires; headers, metadata and longer texts are added.
func Index() StoreOption { return storeOption(func(o *storeOptions) { o.index = true }) }

// MaxStale limits the age of what an [Index] knows, 2 s or more. The default is 10 s, as
// in package kv. The server confirms about every second that nothing has changed.
func MaxStale(age time.Duration) StoreOption {
	return storeOption(func(o *storeOptions) {
		o.maxStale = age
		if age < 2*time.Second {
			o.err = firstError(o.err, fmt.Errorf("a MaxStale of %v: want 2s or more", age))
		}
	})
}

// index is the state of an [Index]. It follows the entries of a store from its first use until
// the store is closed, or the Follow fails; then it begins again with its next use.
type index struct {
	s        *opened
	maxStale time.Duration
	life     context.Context
	end      context.CancelFunc

	mu       sync.RWMutex
	running  chan struct{} // closed when the index no longer follows; nil: it does not
	names    names
	expiries expiries
	current  bool // the names were all that there were at asOf
	lasting  bool // and still are
	asOf     time.Time
	position uint64        // the names include all changes up to this revision
	least    uint64        // the highest revision that this process has written or read
	moved    chan struct{} // closed when the position changes; may be nil
}

func newIndex(s *opened, maxStale time.Duration) *index {
	x := &index{s: s, maxStale: maxStale}
	x.life, x.end = context.WithCancel(context.Background())
	return x
}

// close ends the index.
func (x *index) close(ctx context.Context) error {
	x.end()
	x.mu.RLock()
	running := x.running
	x.mu.RUnlock()
	if running == nil {
		return nil
	}
	select {
	case <-running:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeUnknown, "%w before the index had stopped to follow the store", ctx.Err())
	}
}

// seen notes a revision that this process has written or read.
func (x *index) seen(revision uint64) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.least = max(x.least, revision)
}

// ready reports whether the index can answer. It waits for what this process has written.
func (x *index) ready(ctx context.Context) bool {
	if x == nil {
		return false
	}
	for {
		moved, ready := x.state()
		if moved == nil {
			return ready
		}
		select {
		case <-moved:
		case <-time.After(x.maxStale):
		case <-ctx.Done():
			return false
		}
	}
}

// state reports whether the index can answer, or returns a channel that is closed when it may
// be able to.
func (x *index) state() (moved chan struct{}, ready bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.running == nil && x.life.Err() == nil {
		x.running = make(chan struct{})
		go x.run(x.running)
	}
	fresh := x.current && (x.lasting || time.Since(x.asOf) <= x.maxStale)
	if !fresh || x.position >= x.least {
		return nil, fresh
	}
	if x.moved == nil {
		x.moved = make(chan struct{})
	}
	return x.moved, false
}

// stat returns the description of an object. It reports false if the index cannot answer.
func (x *index) stat(name string) (is *Info, err error, ok bool) {
	if x == nil {
		return nil, nil, false
	}
	if _, ready := x.state(); !ready {
		return nil, nil, false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	switch found := x.names.get(name); {
	case !x.current:
		return nil, nil, false
	case found == nil || found.expired():
		return nil, errMissing, true
	case found.err != nil:
		return nil, found.err, true
	default:
		own := found.Info.clone()
		return &own, nil, true
	}
}

// expired reports whether the object has expired by the local clock.
func (n *named) expired() bool { return !n.Expires.IsZero() && !time.Now().Before(n.Expires) }

// list gives the objects from a name on, in order, to a listing. It returns the name of the
// first that it has not given, if the index cannot answer for it, and false.
func (x *index) list(ctx context.Context, l *listing) (from string, done bool) {
	from = l.prefix
	if !x.ready(ctx) {
		return from, false
	}
	for {
		some, ok := x.from(from)
		if !ok {
			return from, false
		}
		if from = l.giveSome(some); from == "" {
			return "", true
		}
	}
}

// from returns some descriptions from a name on. It reports false if the index cannot answer.
func (x *index) from(name string) ([]*named, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.names.from(name), x.current
}
