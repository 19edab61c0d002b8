package journal

import (
	"sync/atomic"
	"time"
)

// History describes the earlier deliveries of a message to a group.
type History struct {
	// Delivery is the number of the last known delivery. The server counts
	// deliveries from 1.
	Delivery uint64

	// Attempts is the number of attempts up to that delivery. A delivery that was
	// handed back is not an attempt.
	Attempts int

	// Due, if not zero, is the earliest time of the next delivery.
	Due time.Time

	stored int64 // of the message, in ns of Unix time: a new log repeats sequences
	noted  int64 // time of the record, in s of Unix time
}

// Attempt returns the number of the attempt for a delivery. A server that has
// forgotten deliveries repeats their numbers.
func (h History) Attempt(delivery uint64) int {
	n := 1
	if delivery > h.Delivery {
		n = int(delivery - h.Delivery)
	}
	return h.Attempts + n
}

// Consumer records the deliveries of one consumer.
type Consumer struct {
	j       *Journal
	number  uint64
	key     consumerKey
	history map[uint64]History // by sequence; guarded by the journal's lock
	known   atomic.Int64       // len(history)
	sweep   int                // size of history that triggers the next search for old records
}

// consumerKey distinguishes a consumer from an earlier one with the same name.
type consumerKey struct {
	stream, name string
	created      int64
}

// Consumer returns the record of a consumer.
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
	c := &Consumer{j: j, number: j.numbers, key: key, history: make(map[uint64]History), sweep: minSweep}
	j.consumers[key] = c
	j.record(func(b []byte) []byte { return appendConsumer(b, c) })
	j.flush() // slots refer to it
	return c
}

// HasRecords reports whether there is a record of any message.
func (c *Consumer) HasRecords() bool { return c.known.Load() > 0 }

// History returns the record of the message that was stored at this time.
func (c *Consumer) History(sequence uint64, stored time.Time) (History, bool) {
	if !c.HasRecords() {
		return History{}, false
	}
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	p, ok := c.history[sequence]
	return p, ok && p.stored == stored.UnixNano()
}

// Begin records that a handler is about to begin with a message. Only the next process needs
// the record.
func (c *Consumer) Begin(sequence uint64, stored time.Time, p History) Attempt {
	if !c.j.Persistent() {
		return Attempt{}
	}
	p.stored = stored.UnixNano()
	c.j.mu.Lock()
	offset, ok := c.j.slots.take(c.number, sequence, &p)
	c.j.mu.Unlock()
	if !ok {
		c.Put(sequence, stored, p)
		return Attempt{}
	}
	return Attempt{c.j, offset}
}

// Attempt is an attempt under way. Its zero value is in no slot.
type Attempt struct {
	j      *Journal
	offset int
}

// End records the end of the attempt. The caller has recorded the result before.
func (a Attempt) End() {
	if a.j == nil {
		return
	}
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if !a.j.closed {
		a.j.slots.release(a.offset)
	}
}

// Put records the last delivery of a message that is not settled.
func (c *Consumer) Put(sequence uint64, stored time.Time, p History) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	p.stored, p.noted = stored.UnixNano(), time.Now().Unix()
	c.history[sequence] = p
	c.forgetOld()
	c.known.Store(int64(len(c.history)))
	c.j.record(func(b []byte) []byte { return appendHistory(b, c, sequence, p) })
	c.j.flush()
}

// Forget records that a message is settled.
func (c *Consumer) Forget(sequence uint64) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if _, ok := c.history[sequence]; !ok {
		return
	}
	delete(c.history, sequence)
	c.known.Store(int64(len(c.history)))
	c.j.record(func(b []byte) []byte { return appendSettled(b, c, sequence) })
	c.j.flush()
}

const (
	minSweep = 4096           // messages
	keep     = 24 * time.Hour // for messages that another process may have settled
)

// forgetOld drops old records from time to time.
func (c *Consumer) forgetOld() {
	if len(c.history) < c.sweep {
		return
	}
	c.dropOld(time.Now())
	c.sweep = max(2*len(c.history), minSweep)
}

func (c *Consumer) dropOld(now time.Time) {
	for sequence, p := range c.history {
		if now.Sub(time.Unix(p.noted, 0)) > keep && now.Sub(p.Due) > keep {
			delete(c.history, sequence)
			c.j.dropped = max(c.j.dropped, p.stored, c.key.created)
		}
	}
	if c.j.exclusive <= c.j.dropped {
		c.j.exclusiveFrom(c.j.dropped + 1)
	}
}
