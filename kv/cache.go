package kv

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Cached keeps the values of the selected keys, or of all, in memory once they were read, so
// that Get answers without a request. A key without a value is remembered too. All users of
// the bucket in an App share the cache.
//
// A value is at most MaxStale old, or Get reads the bucket. Normally it is as old as a change
// takes to arrive: the cache follows the bucket. A Get returns at least what this process has
// written last, and no value after its expiry: see [TTL].
//
// A value is decoded once, and all callers share it: they must not change what it points to.
func Cached(keys ...Selector) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.cached, o.cachedKeys = true, keys
		_, err := selectors(keys).patterns()
		o.err = firstError(o.err, err)
	})
}

// DefaultMaxStale is the default of MaxStale.
const DefaultMaxStale = 10 * time.Second

// MaxStale limits the age of what a Cached bucket knows, 2 s or more. The server confirms
// about every second that nothing has changed.
func MaxStale(age time.Duration) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.maxStale = age
		if age < 2*time.Second {
			o.err = firstError(o.err, fmt.Errorf("a MaxStale of %v: want 2s or more", age))
		}
	})
}

// CacheStats has the counters of a Cached bucket.
type CacheStats struct {
	Hits, Misses uint64        // of Get
	Stale        uint64        // misses because the cache was older than MaxStale
	Keys         int           // remembered, with and without a value
	Staleness    time.Duration // of the cache now; the longest Duration if it follows nothing
}

// cache remembers the newest records of keys that were read. It is a listener of the feed.
//
// A key has a slot before it is read, so that a change that comes in between is not lost. A
// slot never goes back to an older revision, whatever order records come in.
type cache struct {
	o        *opened
	keys     selectors
	patterns []string
	maxStale time.Duration

	hits, misses, stale atomic.Uint64

	mu      sync.RWMutex
	slots   map[string]*slot // only while it has joined
	joined  bool             // the feed hands it all changes
	joining bool
	failed  bool // the feed has failed since it began to join
}

// slot is the place of a key. Once it has left the cache, nobody sees what it gets.
type slot struct {
	least uint64 // the newest record has at least this revision
	item  *item  // the newest record; nil: unknown
}

// item is the newest record of a key.
type item struct {
	record  *driver.Record // nil: none
	expiry  time.Time      // of record; zero: never
	decoded sync.Once
	entry   any // an Entry[T], once decoded
	err     error
}

// maxSlots limits the number of keys in a cache. Any others are forgotten for new ones.
const maxSlots = 1 << 16

func newCache(o *opened, d *bucketOptions) *cache {
	patterns, _ := selectors(d.cachedKeys).patterns()
	return &cache{o: o, keys: d.cachedKeys, patterns: patterns, maxStale: d.maxStale, slots: make(map[string]*slot)}
}

// newItem returns the item of a record, nil for none.
func (c *cache) newItem(r *driver.Record) *item {
	i := &item{record: r}
	if r != nil && r.Op == driver.Put {
		i.expiry = r.Expiry(c.o.Config().TTL)
	}
	return i
}

// expired reports whether the value has expired by the local clock.
func (i *item) expired() bool { return !i.expiry.IsZero() && !time.Now().Before(i.expiry) }

// get returns the item of a key, after it has read the key if need be.
func (c *cache) get(ctx context.Context, written string) (*item, error) {
	if c.o.feed.staleness() <= c.maxStale {
		if i := c.known(written); i != nil && !i.expired() {
			c.hits.Add(1)
			return i, nil
		}
	} else {
		c.stale.Add(1)
	}
	c.misses.Add(1)
	return c.fill(ctx, written)
}

// known returns the item of a key, or nil.
func (c *cache) known(written string) *item {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if s := c.slots[written]; s != nil {
		return s.item
	}
	return nil
}

// fill reads a key, and remembers its newest record. The leader answers: the cache follows the
// bucket from its present position on, and would never learn what a lagging replica misses.
func (c *cache) fill(ctx context.Context, written string) (*item, error) {
	if err := c.follow(ctx); err != nil {
		return nil, err
	}
	s := c.reserve(written)
	r, err := c.o.record(ctx, written, true)
	if err != nil && transport.CodeOf(err) != transport.NotFound {
		return nil, err
	}
	return c.learn(s, r), nil
}

// follow makes the cache a listener of the feed. It does not wait for another follow.
func (c *cache) follow(ctx context.Context) error {
	c.mu.Lock()
	begins := !c.joined && !c.joining
	if begins {
		c.joining, c.failed = true, false
	}
	c.mu.Unlock()
	if !begins {
		return nil
	}
	_, err := c.o.feed.join(ctx, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joining, c.joined = false, err == nil && !c.failed
	return err
}

// reserve returns the slot of a key that is about to be read. A cache that has not joined yet
// would miss changes, so it does not keep the slot.
func (c *cache) reserve(written string) *slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[written]
	if s == nil {
		s = new(slot)
		if c.joined {
			c.add(written, s)
		}
	}
	return s
}

// add adds a slot. If there are too many, others leave.
func (c *cache) add(written string, s *slot) {
	for other := range c.slots {
		if len(c.slots) < maxSlots {
			break
		}
		delete(c.slots, other)
	}
	c.slots[written] = s
}

// learn notes the newest record of a key, nil for none, and returns its item. A slot that knows
// better keeps what it has.
func (c *cache) learn(s *slot, r *driver.Record) *item {
	made, revision := c.newItem(r), uint64(0)
	if r != nil {
		revision = r.Revision
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case revision >= s.least:
		s.least, s.item = revision, made
	case s.item != nil:
		return s.item
	}
	return made
}

// wrote notes a write of this process. The value is read again, unless the feed has brought
// this very record. A write with an unknown outcome has revision 0.
func (c *cache) wrote(written string, revision uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.slots[written]; s != nil && (revision == 0 || s.least != revision) {
		s.least, s.item = max(s.least, revision), nil
	}
}

// wants implements [listener].
func (c *cache) wants() following { return following{c.patterns, true} }

// push implements [listener].
func (c *cache) push(r *driver.Record) {
	c.mu.RLock()
	s := c.slots[r.Key]
	c.mu.RUnlock()
	if s != nil {
		c.learn(s, r)
	}
}

// lose implements [listener].
func (c *cache) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.slots)
}

// fail implements [listener]. The next Get restarts the feed.
func (c *cache) fail(error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.slots)
	c.joined, c.failed = false, true
}

func (c *cache) stats() CacheStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return CacheStats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Stale: c.stale.Load(),
		Keys: len(c.slots), Staleness: c.o.feed.staleness(),
	}
}

// covers reports whether the cache answers for a key.
func (c *cache) covers(key, written string) bool { return c != nil && c.keys.match(key, written) }
