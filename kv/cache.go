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
// written last, and no value after its expiry, by the local clock.
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
// A key is added before it is read, so that a change that comes in between is not lost. An
// item never goes back to an older revision, whatever order records come in.
type cache struct {
	o        *opened
	keys     selectors
	patterns []string
	maxStale time.Duration

	hits, misses, stale atomic.Uint64

	mu    sync.RWMutex
	items map[string]*item
	joins bool // the cache follows, or is about to
}

// item is what is known of a key.
type item struct {
	least   uint64         // the newest record has at least this revision
	read    bool           // record is the newest one
	record  *driver.Record // nil: none
	expiry  time.Time      // of record; zero: never
	decoded sync.Once
	entry   any // an Entry[T], once decoded
	err     error
}

// maxItems limits the number of keys in a cache. Any others are forgotten for new ones.
const maxItems = 1 << 16

func newCache(o *opened, d *bucketOptions) *cache {
	patterns, _ := selectors(d.cachedKeys).patterns()
	return &cache{o: o, keys: d.cachedKeys, patterns: patterns, maxStale: d.maxStale, items: make(map[string]*item)}
}

// get returns the item of a key, after it has read the key if need be.
func (c *cache) get(ctx context.Context, written string) (*item, error) {
	if staleness := c.o.feed.staleness(); staleness <= c.maxStale {
		c.mu.RLock()
		i := c.items[written]
		c.mu.RUnlock()
		if i != nil && i.read && (i.expiry.IsZero() || time.Now().Before(i.expiry)) {
			c.hits.Add(1)
			return i, nil
		}
	} else {
		c.stale.Add(1)
	}
	c.misses.Add(1)
	return c.fill(ctx, written)
}

// fill reads a key, and remembers its newest record. The leader answers: the cache follows the
// bucket from its present position on, and would never learn what a lagging replica misses.
func (c *cache) fill(ctx context.Context, written string) (*item, error) {
	if err := c.follow(ctx); err != nil {
		return nil, err
	}
	c.expect(written)
	r, err := c.o.record(ctx, written, true)
	if err != nil && transport.CodeOf(err) != transport.NotFound {
		return nil, err
	}
	return c.learn(written, r), nil
}

// follow makes the cache a listener of the feed.
func (c *cache) follow(ctx context.Context) error {
	c.mu.Lock()
	joins := c.joins
	c.joins = true
	c.mu.Unlock()
	if joins {
		return nil
	}
	if _, err := c.o.feed.join(ctx, c); err != nil {
		c.mu.Lock()
		c.joins = false
		c.mu.Unlock()
		return err
	}
	return nil
}

// expect adds an item for a key that is about to be read.
func (c *cache) expect(written string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items[written] == nil {
		c.add(written, new(item))
	}
}

// add adds an item. If there are too many, others leave.
func (c *cache) add(written string, i *item) {
	for other := range c.items {
		if len(c.items) < maxItems {
			break
		}
		delete(c.items, other)
	}
	c.items[written] = i
}

// learn notes the newest record of a key, nil for none, and returns its item. An item that
// knows better stays. The item of a key that was forgotten meanwhile is not kept: a change may
// have been missed.
func (c *cache) learn(written string, r *driver.Record) *item {
	made := &item{read: true, record: r}
	if r != nil {
		made.least = r.Revision
		if r.Op == driver.Put {
			made.expiry = r.Expiry(c.o.Config().TTL)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch is := c.items[written]; {
	case is == nil:
	case is.least > made.least:
		if is.read {
			return is
		}
	default:
		c.items[written] = made
	}
	return made
}

// wrote notes a write of this process. The value is read again, or comes from the feed. A
// write with an unknown outcome has revision 0.
func (c *cache) wrote(written string, revision uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if is := c.items[written]; is != nil && (revision == 0 || is.least < revision) {
		c.items[written] = &item{least: max(is.least, revision)}
	}
}

// wants implements [listener].
func (c *cache) wants() following { return following{c.patterns, true} }

// push implements [listener].
func (c *cache) push(r *driver.Record) {
	c.mu.RLock()
	_, known := c.items[r.Key]
	c.mu.RUnlock()
	if known {
		c.learn(r.Key, r)
	}
}

// lose implements [listener].
func (c *cache) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.items)
}

// fail implements [listener]. The next Get follows anew.
func (c *cache) fail(error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.items)
	c.joins = false
}

func (c *cache) stats() CacheStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return CacheStats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Stale: c.stale.Load(),
		Keys: len(c.items), Staleness: c.o.feed.staleness(),
	}
}

// covers reports whether the cache answers for a key.
func (c *cache) covers(key, written string) bool { return c != nil && c.keys.match(key, written) }
