package limit

import "time"

// slots is the number of parts of a window. A part is counted until it has left the window as a
// whole, so that a window never has too many. The price is that a place becomes free up to a
// part later.
const slots = 20

// count is the value of a key in the bucket of a Window: the messages of each slot. The write that
// adds messages does not know its time, by the clock of the bucket. So they are Added, and the next
// reader finds their time in the entry.
type count struct {
	Width  int64   `json:"width"`  // of a slot, in ns
	Newest int64   `json:"newest"` // the number of the newest slot since 1970
	Counts []int64 `json:"counts"` // of the newest slot and those before it
	Added  int64   `json:"added"`  // by the write of this value, at its time
}

// maxCount bounds a count that another program has written.
const maxCount = 1 << 40

// settled returns the count of an entry that was stored at a time, with what was added. It accepts
// any value: a slot of the future is the current one, and with another width all is as new as
// the entry.
func (c count) settled(stored time.Time, width int64) count {
	slot := stored.UnixNano() / width
	next := count{Width: width, Newest: slot, Counts: make([]int64, slots+2)}
	put := func(age, n int64) {
		if n > 0 && age < int64(len(next.Counts)) {
			next.Counts[age] = min(next.Counts[age]+min(n, maxCount), maxCount)
		}
	}
	put(0, c.Added)
	for i, n := range c.Counts[:min(len(c.Counts), slots+2)] {
		age := int64(0)
		if c.Width == width {
			age = max(slot-c.Newest+int64(i), 0)
		}
		put(age, n)
	}
	return next
}

// wait returns how long n more messages have to wait at a time, 0 if they do not: until the slots
// that are too many have left the window.
func (c count) wait(now time.Time, n, limit int, window time.Duration) time.Duration {
	first := now.Add(-window).UnixNano() / c.Width // the oldest slot that counts
	excess := int64(n) - int64(limit)
	for i, of := range c.Counts {
		if c.Newest-int64(i) >= first {
			excess += of
		}
	}
	for i := len(c.Counts) - 1; i >= 0 && excess > 0; i-- {
		slot := c.Newest - int64(i)
		if slot < first {
			continue
		}
		if excess -= c.Counts[i]; excess <= 0 {
			return time.Unix(0, (slot+1)*c.Width).Add(window).Sub(now)
		}
	}
	return 0
}
