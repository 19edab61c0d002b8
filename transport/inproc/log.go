package inproc

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

// log is a stored log with its messages, groups and delayed messages.
//
// One lock guards all of it. Its holder never blocks and never calls a handler. Taking
// the lock first does everything that is due, so that no caller observes a late log,
// whichever goroutine runs first.
type log struct {
	backend  *Backend
	name     string
	settings atomic.Pointer[transport.LogConfig] // config, for readers without the lock

	mu     sync.Mutex
	now    int64 // when the lock was taken
	config *transport.LogConfig
	alarm  alarm

	store        *store
	expiry       heap[*expiry] // of messages with a TTL
	ids          dedup
	delayed      delayed
	groups       []*group
	fencingToken uint64 // of the last delivery to any group; a recreated group continues it
	epoch        uint64 // increases when groups or their filters change
	readers      map[chan struct{}]struct{}

	declarations []declaration // in the order of the calls of Log
}

func newLog(b *Backend, c transport.LogConfig) *log {
	l := &log{
		backend: b,
		name:    c.Name,
		now:     b.clock.now(),
		store:   newStore(c.Partitions > 0),
		readers: make(map[chan struct{}]struct{}),
	}
	l.configure(c)
	l.delayed.log = l
	l.alarm = alarm{wake: l.awake, at: never}
	for _, g := range c.Groups {
		l.addGroup(g)
	}
	return l
}

// configure sets the configuration. A configuration is never changed in place.
func (l *log) configure(c transport.LogConfig) {
	c = declared(c)
	l.config = &c
	l.settings.Store(l.config)
}

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

// awake is called by the alarm. If the alarm was set to a later time since, it continues.
func (l *log) awake() {
	l.lock()
	defer l.unlock()
	if l.alarm.at != never {
		l.alarm.start(l.now)
	}
}

// tick does what is due, and sets the alarm for the next time.
func (l *log) tick() {
	l.expire()
	l.delayed.release()
	for _, g := range l.groups {
		g.offer()
		l.alarm.set(g.due(), l.now)
	}
	l.alarm.set(l.delayed.due(l.now), l.now)
	l.prune()
}

// prune forgets old ids. It runs a few times per window, to save memory.
func (l *log) prune() {
	window := l.config.Window()
	l.ids.prune(l.now, window)
	l.delayed.ids.prune(l.now, window)
	if len(l.ids.ids)+len(l.delayed.ids.ids) > 0 {
		l.alarm.set(after(l.now, window/4), l.now)
	}
}

// append stores a message, unless it is delayed or was stored before.
func (l *log) append(m *transport.Message, o *transport.AppendOptions) (transport.Appended, error) {
	e := newEntry(o.ID, m)
	l.lock()
	defer l.unlock()
	if at := l.backend.clock.at(o.NotBefore); !o.NotBefore.IsZero() && at > l.now {
		return l.delayed.add(e, o.ID, at)
	}
	if last, err := l.expect(&e, o); err != nil {
		if o.ID != "" && l.idOf(last) == o.ID {
			return transport.Appended{Sequence: last, Duplicate: true}, nil
		}
		return transport.Appended{}, err
	}
	if sequence, ok := l.ids.find(o.ID, l.now, l.config.Window()); ok {
		return transport.Appended{Sequence: sequence, Duplicate: true}, nil
	}
	sequence, bound := l.put(&e)
	if bound != "" {
		return transport.Appended{}, refuse(bound)
	}
	l.remember(&l.ids, o.ID, sequence)
	l.expireAfter(sequence, o.TTL)
	return transport.Appended{Sequence: sequence}, nil
}

// expect returns an error if the condition of an append does not hold, and the current
// last sequence.
func (l *log) expect(e *entry, o *transport.AppendOptions) (last uint64, err error) {
	if o.Expect == nil {
		return 0, nil
	}
	last, of := l.store.last, "the log"
	if o.Expect.Subject != "" {
		last, of = l.store.lastOf(o.Expect.Subject), o.Expect.Subject
	}
	if last == o.Expect.Sequence {
		return last, nil
	}
	return last, transport.Errorf(transport.Aborted, transport.OutcomeNotDone,
		"the last sequence of %s is %d, expected %d: read the new messages and decide again", of, last, o.Expect.Sequence)
}

// idOf returns the id of a message. It is "" if the message has none or is gone.
func (l *log) idOf(sequence uint64) string {
	s := l.store.at(sequence)
	if s == nil {
		return ""
	}
	return recordID(s.record, int(s.meta))
}

// forgetIDs forgets the ids of messages that are gone.
func (l *log) forgetIDs() {
	l.lock()
	defer l.unlock()
	l.ids.keep(func(sequence uint64) bool { return l.store.at(sequence) != nil })
	waiting := make(map[string]bool)
	for _, w := range l.delayed.waiting {
		waiting[recordID(w.record, int(w.meta))] = true
	}
	l.delayed.ids.keepIDs(waiting)
}

func (l *log) remember(ids *dedup, id string, sequence uint64) {
	if id != "" {
		ids.add(id, sequence, l.now)
		l.alarm.set(after(l.now, l.config.Window()), l.now)
	}
}

// put stores a message for its groups. If the log refuses it, put returns the limit that
// it would exceed. Under InterestRetention, a message that no group wants uses a sequence
// and is not stored.
func (l *log) put(e *entry) (sequence uint64, bound string) {
	sub := l.store.subjects.get(e.subject)
	wanted := l.wanted(sub)
	if l.config.Retention == transport.InterestRetention && !l.anyFrom(wanted, l.store.last+1) {
		return l.store.skip(), ""
	}
	if bound := l.makeRoom(sub, e); bound != "" {
		return 0, bound
	}
	sequence = l.store.add(sub, e, l.now)
	if l.config.MaxAge > 0 {
		l.alarm.set(expiryOf(l.now, l.config.MaxAge), l.now)
	}
	for _, g := range wanted {
		g.arrived(sequence, sub)
	}
	l.wakeReaders()
	return sequence, ""
}

func (l *log) anyFrom(groups []*group, sequence uint64) bool {
	return slices.ContainsFunc(groups, func(g *group) bool { return g.start <= sequence })
}

// wanted returns the groups whose filters match a subject.
func (l *log) wanted(s *subject) []*group {
	if s.epoch == l.epoch {
		return s.wanted
	}
	s.epoch, s.wanted = l.epoch, nil
	for _, g := range l.groups {
		if len(g.config.Filter) == 0 || transport.Contains(g.config.Filter, s.name) {
			s.wanted = append(s.wanted, g)
		}
	}
	return s.wanted
}

// remove deletes a stored message. Every removal goes through here. It may unblock other
// deliveries: the caller calls offer after all its removals.
func (l *log) remove(sequence uint64) {
	sub := l.store.subjectAt(sequence)
	for _, g := range l.groups {
		g.removing(sequence, sub)
	}
	l.store.remove(sequence)
}

// offer makes every group deliver what it can.
func (l *log) offer() {
	for _, g := range l.groups {
		g.offer()
	}
}

// settled handles the settlement of a message by a group.
func (l *log) settled(sequence uint64) {
	if l.config.Retention != transport.InterestRetention || l.store.at(sequence) == nil {
		return
	}
	if !l.unsettled(sequence) {
		l.remove(sequence)
	}
}

// unsettled reports whether a group has not yet settled a stored message.
func (l *log) unsettled(sequence uint64) bool {
	sub := l.store.subjectAt(sequence)
	return slices.ContainsFunc(l.groups, func(g *group) bool { return g.unsettled(sequence, sub) })
}

// removeSettled removes messages that no group needs to settle, after groups have changed.
func (l *log) removeSettled() {
	if l.config.Retention != transport.InterestRetention {
		return
	}
	for n := l.store.first; n <= l.store.last; n = l.store.from(n + 1) {
		if !l.unsettled(n) {
			l.remove(n)
		}
	}
}

// acknowledgement returns the reply of a NATS server to a request that it stores.
func (l *log) acknowledgement(at transport.Appended, err error) []byte {
	type failure struct {
		Code        int    `json:"code"`
		Description string `json:"description"`
	}
	a := struct {
		Error    *failure `json:"error,omitempty"`
		Stream   string   `json:"stream"`
		Sequence uint64   `json:"seq"`
	}{Stream: l.name, Sequence: at.Sequence}
	if err != nil {
		a.Error = &failure{503, err.Error()}
	}
	body, _ := json.Marshal(a)
	return body
}
