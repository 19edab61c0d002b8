package inproc

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

// log is a stored log: its messages, its groups, and what waits for its time.
//
// One lock guards all of it. Whoever holds it never blocks, nor calls a handler.
// What is due when the lock is taken happens first, so that nobody sees a log in
// which something is late, whichever goroutine runs first.
type log struct {
	backend  *Backend
	name     string
	settings atomic.Pointer[transport.LogConfig] // config, for those without the lock

	mu     sync.Mutex
	now    int64 // when the lock was taken
	config *transport.LogConfig
	alarm  alarm

	store   *store
	expiry  heap[*expiry] // of messages with a TTL
	ids     dedup
	delayed delayed
	groups  []*group
	fence   uint64 // of the last delivery to any group: one that is made again goes on
	epoch   uint64 // grows when groups or their filters change
	readers map[chan struct{}]struct{}

	declarations []declaration // in the order of the calls of Log
}

func newLog(b *Backend, c transport.LogConfig) *log {
	l := &log{
		backend: b,
		name:    c.Name,
		now:     b.clock.now(),
		store:   newStore(c.Lanes),
		readers: make(map[chan struct{}]struct{}),
	}
	l.configure(c)
	l.alarm = alarm{wake: l.awake, at: never}
	for _, g := range c.Groups {
		l.addGroup(g)
	}
	return l
}

// configure sets the configuration, which nobody changes in place.
func (l *log) configure(c transport.LogConfig) {
	c = declared(c)
	l.config = &c
	l.settings.Store(l.config)
}

func (l *log) lock() {
	l.mu.Lock()
	l.now = l.backend.clock.now()
	if l.alarm.rings(l.now) {
		l.tick()
	}
}

// unlock first lets in what waited for room, where there is some now.
func (l *log) unlock() {
	l.release()
	l.mu.Unlock()
}

// awake is what the alarm calls. One that was set to a later time since goes on.
func (l *log) awake() {
	l.lock()
	defer l.unlock()
	if l.alarm.at != never {
		l.alarm.start(l.now)
	}
}

// tick does what is due, and sets the alarm for what comes next.
func (l *log) tick() {
	l.expire()
	l.release()
	for _, g := range l.groups {
		g.offer()
		l.alarm.set(g.due(), l.now)
	}
	l.alarm.set(l.delayed.due(l.now), l.now)
	l.prune()
}

// prune forgets old ids. It happens a few times per window, for the memory's sake.
func (l *log) prune() {
	window := l.config.Window()
	l.ids.prune(l.now, window)
	l.delayed.ids.prune(l.now, window)
	if len(l.ids.ids)+len(l.delayed.ids.ids) > 0 {
		l.alarm.set(after(l.now, window/4), l.now)
	}
}

// append stores a message, unless it waits for its time or was stored before.
func (l *log) append(m *transport.Message, o *transport.AppendOptions) (transport.Appended, error) {
	e := newEntry(o.ID, m)
	l.lock()
	defer l.unlock()
	if at := l.backend.clock.at(o.NotBefore); !o.NotBefore.IsZero() && at > l.now {
		return l.delay(e, o.ID, at)
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
		return transport.Appended{}, l.refuse(e.subject, bound)
	}
	l.remember(&l.ids, o.ID, sequence)
	l.expireAfter(sequence, o.TTL)
	return transport.Appended{Sequence: sequence}, nil
}

// expect reports, with the last sequence that there is, that the condition of an
// append does not hold.
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
		"append to log %q on %q: the last sequence of %s is %d, expected was %d: read what is new, and decide again",
		l.name, e.subject, of, last, o.Expect.Sequence)
}

// idOf returns the id of a message, "" when it has none or is gone.
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

// put stores a message, for the groups to have. It returns the bound that it
// would exceed where the log refuses it. Under InterestRetention, what no group
// wants uses a sequence and is not stored.
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

// remove deletes a message that is stored. Every removal goes through here. What
// was held up by it may be delivered then: whoever removes calls offer, when all
// that is to go has gone.
func (l *log) remove(sequence uint64) {
	sub := l.store.subjectAt(sequence)
	for _, g := range l.groups {
		g.removing(sequence, sub)
	}
	l.store.remove(sequence)
}

// offer lets every group see whether there is something to do.
func (l *log) offer() {
	for _, g := range l.groups {
		g.offer()
	}
}

// settled is told that a group has settled a message.
func (l *log) settled(sequence uint64) {
	if l.config.Retention != transport.InterestRetention || l.store.at(sequence) == nil {
		return
	}
	if !l.owed(sequence) {
		l.remove(sequence)
	}
}

// owed reports whether a group has yet to settle a message that is stored.
func (l *log) owed(sequence uint64) bool {
	sub := l.store.subjectAt(sequence)
	return slices.ContainsFunc(l.groups, func(g *group) bool { return g.owes(sequence, sub) })
}

// forsake removes what no group has yet to settle, after groups have changed.
func (l *log) forsake() {
	if l.config.Retention != transport.InterestRetention {
		return
	}
	for n := l.store.first; n <= l.store.last; n = l.store.from(n + 1) {
		if !l.owed(n) {
			l.remove(n)
		}
	}
}

// acknowledgement is what a NATS server answers to a request that it stores.
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
