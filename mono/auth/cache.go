package auth

import (
	"strings"
	"sync"
	"time"
)

// cache has the claims of verified tokens, by the value of the header. It consists of two
// generations: if the younger one has half of the limit, the older one is dropped. So it is bounded,
// and a token that is in use stays.
type cache struct {
	limit int

	mu         sync.RWMutex
	young, old map[string]entry
	cleared    uint64
}

type entry struct {
	claims *Claims
	until  time.Time
}

// get returns the claims of a token that has not expired, nil if it is not cached.
func (c *cache) get(value string, now time.Time) *Claims {
	c.mu.RLock()
	e, ok := c.young[value]
	late := false
	if !ok {
		e, late = c.old[value]
	}
	c.mu.RUnlock()
	switch {
	case !ok && !late:
		return nil
	case !now.Before(e.until):
		c.mu.Lock()
		delete(c.young, value)
		delete(c.old, value)
		c.mu.Unlock()
		return nil
	case late:
		c.keep(value, e)
	}
	return e.claims
}

// keep moves an entry of the older generation to the younger one.
func (c *cache) keep(value string, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, still := c.old[value]; still {
		delete(c.old, value)
		c.add(value, e)
	}
}

// put adds a token, unless it has expired, or the keys have changed since epoch.
func (c *cache) put(value string, claims *Claims, until, now time.Time, epoch uint64) {
	if !now.Before(until) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cleared == epoch {
		c.add(strings.Clone(value), entry{claims, until})
	}
}

// add adds an entry to the younger generation. The mutex is held.
func (c *cache) add(value string, e entry) {
	if len(c.young) >= c.limit/2 {
		c.old, c.young = c.young, nil
	}
	if c.young == nil {
		c.young = make(map[string]entry)
	}
	c.young[value] = e
}

// epoch returns the number of times that the cache was cleared.
func (c *cache) epoch() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.cleared
}

// clear removes all tokens, because the keys have changed.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = nil, nil
	c.cleared++
}
