package natsx

import "time"

// fullness notes whether a partition is full: it makes no progress, because the member holds as
// many messages as it may, and all of them wait. See [transport.ConsumeConfig]. The member's lock
// guards it.
type fullness struct {
	settled  uint64    // messages
	before   uint64    // of them, at stalled
	stalled  time.Time // nothing has been settled since
	reported bool
}

// fullTime is how long a full partition makes no progress before it is reported.
const fullTime = time.Second

// look looks at the partition, and reports whether the report has changed.
func (f *fullness) look(full bool, now time.Time) (changed bool) {
	if !full || f.settled != f.before {
		f.before, f.stalled = f.settled, now
	}
	full = full && now.Sub(f.stalled) >= fullTime
	changed, f.reported = full != f.reported, full
	return changed
}

// reportFull reports the partitions that have become full, or are not full any more.
func (m *member) reportFull() {
	if m.onFull == nil || !m.keyed {
		return
	}
	for i, c := range m.consumers {
		m.mu.Lock()
		key, full := c.keyed.order.Full(maxHeld)
		changed := c.keyed.full.look(full, time.Now())
		reported := c.keyed.full.reported
		m.mu.Unlock()
		if changed {
			m.onFull(i, key, reported)
		}
	}
}
