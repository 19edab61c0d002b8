package limit

import (
	"sync"
	"time"
)

// storeClock knows a lower bound of the time by the clock of a bucket. What this process has read is
// at least as old, and since then as much time has passed there as here. So the clocks of the
// processes of a Window may differ, and jump.
type storeClock struct {
	mu   sync.Mutex
	at   time.Time // by the clock of the bucket
	read time.Time // the moment of the reading, by the monotonic clock of this process
	last time.Time // the time was asked for
}

// maxEvidence is how long a reading counts, because the clocks do not run at quite the same speed.
const maxEvidence = time.Minute

// now returns a time that has passed at the bucket, the zero time if none is known.
func (c *storeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed()
}

func (c *storeClock) passed() time.Time {
	since := time.Since(c.read)
	if c.at.IsZero() || since > maxEvidence {
		return c.at
	}
	return c.at.Add(since)
}

// note notes the time of an entry that was just read.
func (c *storeClock) note(stored time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !stored.Before(c.passed()) || time.Since(c.read) > maxEvidence {
		c.at, c.read = stored, time.Now()
	}
}

// asked notes that the time of the bucket was just asked for, by a write.
func (c *storeClock) asked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// outdated reports whether the time was not asked for recently. The newest entry that was read may be
// old, and then a full key would seem to be full still.
func (c *storeClock) outdated(window time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.IsZero() || time.Since(c.last) > min(window, maxEvidence)
}
