package inproc

import (
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

// log is a stored log: its messages, and the parts that decide about them.
//
// One lock guards the log and all of its parts. The methods of the parts, down to groups
// and lines, are called with the lock held, and so are those of log whose comments do not
// state that they take it. What comes from outside takes the lock: a handle, a member, a
// delivery, a reading, the alarm and an engine. Its holder never blocks and never calls a
// handler. Taking the lock first does everything that is due, so that no caller observes
// a late log, whichever goroutine runs first.
type log struct {
	backend  *Backend
	name     string
	settings atomic.Pointer[transport.LogConfig] // config, for readers without the lock

	mu     sync.Mutex
	now    int64 // when the lock was taken
	config *transport.LogConfig
	alarm  alarm

	store    *store
	ids      dedup
	expiries expiries
	delayed  delayed
	groups   groups
	readers  readers
}

func newLog(b *Backend, c transport.LogConfig) *log {
	l := &log{
		backend: b,
		name:    c.Name,
		now:     b.clock.now(),
		store:   newStore(c.Partitions > 0),
		readers: make(readers),
	}
	l.configure(c)
	l.ids.log, l.expiries.log, l.groups.log = l, l, l
	l.delayed.log, l.delayed.ids.log = l, l
	l.alarm = alarm{wake: l.awake, at: never}
	for _, g := range c.Groups {
		l.groups.add(g)
	}
	return l
}

// configure sets the configuration. A configuration is never changed in place.
func (l *log) configure(c transport.LogConfig) {
	c = declared(c)
	l.config = &c
	l.settings.Store(l.config)
}

// byInterest reports whether the log keeps only what a group has yet to settle.
func (l *log) byInterest() bool { return l.config.Retention == transport.InterestRetention }

func (l *log) lock() {
	l.mu.Lock()
	l.now = l.backend.clock.now()
	if l.alarm.due(l.now) {
		l.tick()
	}
}

// unlock first stores messages that waited for room, if there is room now.
func (l *log) unlock() {
	l.delayed.release()
	l.mu.Unlock()
}

// awake is called by the alarm, and takes the lock. If the alarm was set to a later time
// since, it continues.
func (l *log) awake() {
	l.lock()
	defer l.unlock()
	if l.alarm.at != never {
		l.alarm.start(l.now)
	}
}

// tick does what is due, and sets the alarm for the next time.
func (l *log) tick() {
	l.expiries.tick()
	l.delayed.release()
	l.groups.tick()
	l.alarm.set(l.delayed.due(l.now), l.now)
	l.ids.tick()
	l.delayed.ids.tick()
}

// remove deletes a stored message. Every removal goes through here. It may unblock other
// deliveries: the caller calls offer after all its removals.
func (l *log) remove(sequence uint64) {
	l.groups.removing(sequence)
	l.store.remove(sequence)
}

// forgetIDs takes the lock, and forgets the ids of messages that are gone.
func (l *log) forgetIDs() {
	l.lock()
	defer l.unlock()
	l.ids.keep(func(sequence uint64) bool { return l.store.at(sequence) != nil })
	l.delayed.forgetIDs()
}
