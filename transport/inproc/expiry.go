package inproc

import "time"

// expiries removes the messages of a log whose TTL has passed, or that are older than
// MaxAge.
type expiries struct {
	log   *log
	queue heap[*expiry] // of messages with a TTL
}

// expiry is the time at which a message with a TTL is removed.
type expiry struct {
	at       int64
	sequence uint64
	index    int
}

func (e *expiry) before(other *expiry) bool { return e.at < other.at }
func (e *expiry) place() *int               { return &e.index }

// expiryOf returns the time at which a message is removed, in whole milliseconds, so that
// a log with constant writes wakes up at most a thousand times a second.
func expiryOf(stored int64, age time.Duration) int64 {
	at := after(stored, age)
	if rest := at % int64(time.Millisecond); rest > 0 && at < never-int64(time.Millisecond) {
		at += int64(time.Millisecond) - rest
	}
	return at
}

// add records the TTL of a message, if it was stored.
func (x *expiries) add(sequence uint64, ttl time.Duration) {
	l := x.log
	if ttl == 0 || l.store.at(sequence) == nil {
		return
	}
	x.forgetRemoved()
	e := &expiry{at: expiryOf(l.now, ttl), sequence: sequence}
	x.queue.push(e)
	l.alarm.set(e.at, l.now)
}

// forgetRemoved drops the expiries of removed messages, once they are the majority.
func (x *expiries) forgetRemoved() {
	s := x.log.store
	if len(x.queue) < 1024 || uint64(len(x.queue)) < 2*s.messages {
		return
	}
	all := x.queue
	x.queue = nil
	for _, e := range all {
		if s.at(e.sequence) != nil {
			x.queue.push(e)
		}
	}
}

// tick removes expired messages, and sets the alarm for the next ones.
func (x *expiries) tick() {
	x.removeExpired()
	x.removeOld()
}

func (x *expiries) removeExpired() {
	l := x.log
	for len(x.queue) > 0 && x.queue[0].at <= l.now {
		if n := x.queue.pop().sequence; l.store.at(n) != nil {
			l.remove(n)
		}
	}
	if len(x.queue) > 0 {
		l.alarm.set(x.queue[0].at, l.now)
	}
}

func (x *expiries) removeOld() {
	l := x.log
	for l.config.MaxAge > 0 && l.store.messages > 0 {
		at := expiryOf(l.store.at(l.store.first).stored, l.config.MaxAge)
		if at > l.now {
			l.alarm.set(at, l.now)
			return
		}
		l.remove(l.store.first)
	}
}
