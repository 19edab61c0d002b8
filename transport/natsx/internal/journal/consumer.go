package journal

import (
	"sync/atomic"
	"time"
)

// Past is what is known of the earlier deliveries of a message to a group.
type Past struct {
	// Delivery is the number of the last delivery that is known. The server counts
	// them, from 1.
	Delivery uint64

	// Attempts is how many attempts there were up to that delivery. What was handed
	// back is none.
	Attempts int

	// Due, unless it is zero, is the earliest time of the next delivery.
	Due time.Time

	stored int64 // of the message, in ns of Unix time: its sequence may be used again
	noted  int64 // when, in s of Unix time
}

// Attempt returns which attempt the delivery with this number is. A server that has
// forgotten deliveries numbers them again.
func (p Past) Attempt(delivery uint64) int {
	n := 1
	if delivery > p.Delivery {
		n = int(delivery - p.Delivery)
	}
	return p.Attempts + n
}

// Consumer is what is known of a consumer's deliveries.
type Consumer struct {
	j      *Journal
	number uint64
	key    consumerKey
	past   map[uint64]Past // by sequence; guarded by the journal's lock
	known  atomic.Int64    // len(past)
	sweep  int             // how large past may grow until the old are looked for
}

// consumerKey tells a consumer from another one of its name that was there before.
type consumerKey struct {
	stream, name string
	created      int64
}

// Consumer returns what is known of a consumer.
func (j *Journal) Consumer(stream, name string, created time.Time) *Consumer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.consumer(consumerKey{stream, name, created.UnixNano()})
}

func (j *Journal) consumer(key consumerKey) *Consumer {
	if c := j.consumers[key]; c != nil {
		return c
	}
	j.numbers++
	c := &Consumer{j: j, number: j.numbers, key: key, past: make(map[uint64]Past), sweep: minSweep}
	j.consumers[key] = c
	j.record(func(b []byte) []byte { return appendConsumer(b, c) })
	return c
}

// Knows reports whether anything is known of any message.
func (c *Consumer) Knows() bool { return c.known.Load() > 0 }

// Past returns what is known of a message that was stored at this time.
func (c *Consumer) Past(sequence uint64, stored time.Time) (Past, bool) {
	if !c.Knows() {
		return Past{}, false
	}
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	p, ok := c.past[sequence]
	return p, ok && p.stored == stored.UnixNano()
}

// Begin notes, before a handler begins, that it is with this message. It is a matter
// of the next process alone.
func (c *Consumer) Begin(sequence uint64, stored time.Time, p Past) {
	if c.j.Lasting() {
		c.Put(sequence, stored, p)
	}
}

// Put notes how the last delivery of a message ended that will come again.
func (c *Consumer) Put(sequence uint64, stored time.Time, p Past) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	p.stored, p.noted = stored.UnixNano(), time.Now().Unix()
	c.past[sequence] = p
	c.forgetOld()
	c.known.Store(int64(len(c.past)))
	c.j.record(func(b []byte) []byte { return appendPast(b, c, sequence, p) })
	c.j.flush()
}

// Forget notes that a message is settled. With soon, another note follows at once, by
// which it is written.
func (c *Consumer) Forget(sequence uint64, soon bool) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if _, ok := c.past[sequence]; !ok {
		return
	}
	delete(c.past, sequence)
	c.known.Store(int64(len(c.past)))
	c.j.record(func(b []byte) []byte { return appendSettled(b, c, sequence) })
	if !soon {
		c.j.flush()
	}
}

const (
	minSweep = 4096           // messages
	keep     = 24 * time.Hour // what nobody settles here: others may have
)

// forgetOld drops what was noted long ago, now and then.
func (c *Consumer) forgetOld() {
	if len(c.past) < c.sweep {
		return
	}
	c.dropOld(time.Now())
	c.sweep = max(2*len(c.past), minSweep)
}

func (c *Consumer) dropOld(now time.Time) {
	for sequence, p := range c.past {
		if now.Sub(time.Unix(p.noted, 0)) > keep && now.Sub(p.Due) > keep {
			delete(c.past, sequence)
		}
	}
}
