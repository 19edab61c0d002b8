package inproc

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// group is a position in a log, shared by members. The lock of the log guards all of it.
//
// A cursor in each of its lines marks what is yet to be delivered. pending holds the
// messages that were delivered and are not settled; redeliveries holds those of them that wait
// for their redelivery. So a backlog of any length costs a group nothing.
type group struct {
	log    *log
	name   string // that of config, for readers without the lock
	config transport.GroupConfig
	start  uint64          // messages below are not for this group
	latest map[uint64]bool // those of latestEnd and below that are for it; nil means all

	latestEnd uint64

	lines        []*line
	ready        heap[*line] // lines that may deliver something new
	pending      map[uint64]*hold
	void         map[*hold]struct{} // removed while a member holds them, so their keys wait
	redeliveries heap[*hold]
	undelivered  uint64 // number of messages at and after the cursors
	order        uint64 // of hand-backs
	joined       uint64 // members so far
	members      []*member
	idle         []*member // members that can take a delivery, in the order in which they joined
	gone         bool      // deleted
	paused       int64     // the end of the pause, 0 for none
}

// hold is a message that was delivered and is not settled.
type hold struct {
	sequence uint64
	line     *line
	attempt  int
	member   *member // nil while the message waits for its redelivery
	gone     bool    // was removed from the log in the meantime, and is thereby settled

	due   int64
	order uint64 // of hand-backs that are due at the same time
	index int
}

func (h *hold) before(other *hold) bool {
	return h.due < other.due || h.due == other.due && h.order < other.order
}

func (h *hold) place() *int { return &h.index }

// addGroup creates a group that begins at its configured start.
func (l *log) addGroup(c transport.GroupConfig) *group {
	g := &group{log: l, name: c.Name, config: declaredGroup(c), pending: make(map[uint64]*hold), void: make(map[*hold]struct{})}
	l.groups = append(l.groups, g)
	l.epoch++
	start := c.Start
	if l.config.Retention == transport.InterestRetention {
		start = transport.Start{Sequence: max(start.Sequence, l.store.last+1)}
	}
	g.start, g.latest = l.resolve(start)
	g.latestEnd = l.store.last
	g.makeLines()
	g.count()
	return g
}

// resolve returns the sequence of a start. For the last message of each subject, it also
// returns their sequences.
func (l *log) resolve(s transport.Start) (uint64, map[uint64]bool) {
	switch {
	case s.New:
		return l.store.last + 1, nil
	case s.Sequence > 0:
		return s.Sequence, nil
	case !s.Time.IsZero():
		return l.store.since(l.backend.clock.at(s.Time)), nil
	case s.LastPerSubject:
		return 1, l.store.latest()
	}
	return 1, nil
}

// count counts the messages to deliver, after the group began or its filter changed.
func (g *group) count() {
	g.undelivered = 0
	s := g.log.store
	for n := s.from(g.start); n <= s.last; n = s.from(n + 1) {
		if sub := s.subjectAt(n); g.wants(n, sub) && g.lineOf(sub).ahead(n) {
			g.undelivered++
		}
	}
}

// wants reports whether a stored message is for this group.
func (g *group) wants(sequence uint64, sub *subject) bool {
	if sequence < g.start || g.latest != nil && sequence <= g.latestEnd && !g.latest[sequence] {
		return false
	}
	return slices.Contains(g.log.wanted(sub), g)
}

// unsettled reports whether the group has not yet settled a stored message.
func (g *group) unsettled(sequence uint64, sub *subject) bool {
	if g.pending[sequence] != nil {
		return true
	}
	return g.lineOf(sub).ahead(sequence) && g.wants(sequence, sub)
}

// arrived records a new message that matches the filter.
func (g *group) arrived(sequence uint64, sub *subject) {
	if sequence < g.start {
		return
	}
	g.undelivered++
	if n := g.lineOf(sub); n.cursor == 0 {
		n.cursor = sequence
		g.placeLine(n)
	}
	g.offer()
}

// removing records the removal of a message. As on NATS the message is thereby settled,
// even if a member holds it: a later settlement has no effect, except that its key continues.
func (g *group) removing(sequence uint64, sub *subject) {
	if h := g.pending[sequence]; h != nil {
		h.gone = true
		switch {
		case h.member == nil:
			g.redeliveries.remove(h)
		case g.keyed():
			delete(g.pending, sequence)
			g.void[h] = struct{}{}
			return
		}
		g.finish(h)
		return
	}
	n := g.lineOf(sub)
	if n.ahead(sequence) && g.wants(sequence, sub) {
		g.undelivered--
	}
	if n.cursor == sequence {
		g.advance(n)
	}
	delete(g.latest, sequence)
}

// offer delivers messages as long as a member can take one. The Backend picks the member.
func (g *group) offer() {
	for !g.pauses() && len(g.idle) > 0 && (g.overdue() || len(g.ready) > 0) && !g.log.backend.scheduled(g) {
		g.deliverNext(0, g.log.backend.pick(len(g.idle), ""))
	}
}

// deliverNext delivers a message to an idle member, both by their order among all that
// could be next.
func (g *group) deliverNext(what, who int) *delivery {
	h, m := g.take(what), g.idle[who]
	g.idle = slices.Delete(g.idle, who, who+1)
	return g.deliver(m, h)
}

// Lock implements [engine.Source].
func (g *group) Lock() { g.log.lock() }

// Unlock implements [engine.Source].
func (g *group) Unlock() { g.log.unlock() }

// Next implements [engine.Source]. Any idle member may get any of the redeliveries that
// are due at the same time, or otherwise the oldest message of any free line.
func (g *group) Next() (engine.Step, int) {
	messages := len(g.ready)
	switch {
	case g.pauses():
		messages = 0
	case g.overdue():
		messages = len(together(g.redeliveries, g.dueWithFirst))
	}
	return engine.Step{Action: engine.Deliver, Log: g.log.name, Group: g.name}, messages * len(g.idle)
}

// Take implements [engine.Source].
func (g *group) Take(choice int) engine.Step {
	d := g.deliverNext(choice/len(g.idle), choice%len(g.idle))
	g.offer()
	return d.member.transport.step(engine.Deliver, &d.Message, d)
}

// overdue reports whether a redelivery is due.
func (g *group) overdue() bool { return len(g.redeliveries) > 0 && g.redeliveries[0].due <= g.log.now }

func (g *group) dueWithFirst(h *hold) bool { return h.due == g.redeliveries[0].due }

// take takes a redelivery that is due, or otherwise the oldest message of a free partition.
func (g *group) take(what int) *hold {
	if g.overdue() {
		h := nth(g.redeliveries, what, g.dueWithFirst)
		g.redeliveries.remove(h)
		g.log.alarm.set(g.due(), g.log.now) // the next redelivery is known only after the first one is removed
		return h
	}
	n := nth(g.ready, what, func(*line) bool { return true })
	h := &hold{sequence: n.cursor, line: n, index: -1}
	g.pending[h.sequence] = h
	g.undelivered--
	n.held++
	g.advance(n)
	return h
}

// pauses reports whether the group is paused.
func (g *group) pauses() bool { return g.paused > g.log.now }

// due returns the time of the next redelivery, or the end of the pause. A redelivery that is
// overdue waits for a member, not for time.
func (g *group) due() int64 {
	if g.pauses() {
		return g.paused
	}
	if len(g.redeliveries) == 0 || g.overdue() {
		return never
	}
	return g.redeliveries[0].due
}

// handBack schedules a redelivery of a message.
func (g *group) handBack(h *hold, due int64) {
	if h.gone {
		g.leave(h)
		return
	}
	g.order++
	h.member, h.due, h.order = nil, due, g.order
	g.redeliveries.push(h)
	g.log.alarm.set(g.due(), g.log.now)
}

// release schedules an immediate redelivery. The delivery does not count as an attempt.
func (g *group) release(h *hold) {
	h.attempt--
	g.handBack(h, g.log.now)
}

// settle handles the settlement of a message by a member.
func (g *group) settle(h *hold) {
	if h.gone {
		g.leave(h)
		return
	}
	g.finish(h)
}

// leave lets the key of a removed message continue.
func (g *group) leave(h *hold) {
	if _, ok := g.void[h]; ok {
		delete(g.void, h)
		h.line.held--
		g.placeLine(h.line)
	}
}

// finish ends a message for this group.
func (g *group) finish(h *hold) {
	delete(g.pending, h.sequence)
	h.line.held--
	g.placeLine(h.line)
	if !h.gone {
		g.log.settled(h.sequence)
	}
}

// heldBy returns the messages that a member holds, the oldest first.
func (g *group) heldBy(m *member) []*hold {
	var held []*hold
	for _, h := range g.pending {
		if h.member == m {
			held = append(held, h)
		}
	}
	slices.SortFunc(held, func(a, b *hold) int { return cmp.Compare(a.sequence, b.sequence) })
	return held
}

// handBackAll hands back the messages that a member holds, and returns their number.
func (g *group) handBackAll(m *member, delay time.Duration) int {
	for h := range g.void {
		if h.member == m {
			g.leave(h)
		}
	}
	held := g.heldBy(m)
	for _, h := range held {
		if delay == 0 {
			g.release(h)
		} else {
			g.handBack(h, after(g.log.now, delay))
		}
	}
	g.offer()
	return len(held)
}

// info returns the state of the group.
func (g *group) info() transport.GroupInfo {
	info := transport.GroupInfo{
		Config:      g.config,
		Members:     len(g.members),
		Settled:     g.log.store.last,
		InFlight:    uint64(len(g.pending)),
		Undelivered: g.undelivered,
	}
	info.Config.Filter, info.Config.Metadata = slices.Clone(g.config.Filter), maps.Clone(g.config.Metadata)
	if g.pauses() {
		info.PausedUntil = g.log.backend.clock.time(g.paused)
	}
	for _, n := range g.lines {
		if n.cursor != 0 {
			info.Settled = min(info.Settled, n.cursor-1)
		}
	}
	for sequence, h := range g.pending {
		info.Settled = min(info.Settled, sequence-1)
		if h.attempt > 1 {
			info.Redelivered++
		}
	}
	return info
}
