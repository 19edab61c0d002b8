package inproc

import (
	"cmp"
	"slices"
	"time"

	"gomono.dev/transport"
)

// group is a position in a log, shared by members. All of it is guarded by the
// lock of the log.
//
// What it has yet to deliver is known by a cursor in each of its lanes; what was
// delivered and is not settled is held in pending, and what of that waits for its
// redelivery is in again too. So a backlog costs a group nothing, however long.
type group struct {
	log    *log
	name   string // that of config, for those who do not hold the lock
	config transport.GroupConfig
	start  uint64          // nothing below is for this group
	latest map[uint64]bool // what of latestEnd and below is; nil is all

	latestEnd uint64

	lanes       []*lane
	ready       heap[*lane] // that may deliver something new
	pending     map[uint64]*hold
	again       heap[*hold]
	undelivered uint64 // how many messages are at the cursors and after
	order       uint64 // of hand-backs
	joined      uint64 // members so far
	members     []*member
	idle        []*member // that would take a delivery, in the order in which they joined
	gone        bool      // deleted
	proposed    bool      // to the scheduler
}

// hold is a message that was delivered and is not settled.
type hold struct {
	sequence uint64
	lane     *lane
	attempt  int
	member   *member // that has it; nil while it waits for its redelivery
	gone     bool    // was removed from the log meanwhile, and is settled by that

	due   int64
	order uint64 // of hand-backs, where they are due at the same time
	index int
}

func (h *hold) before(other *hold) bool {
	return h.due < other.due || h.due == other.due && h.order < other.order
}

func (h *hold) place() *int { return &h.index }

// addGroup makes a group that begins where its configuration says.
func (l *log) addGroup(c transport.GroupConfig) *group {
	g := &group{log: l, name: c.Name, config: declaredGroup(c), pending: make(map[uint64]*hold)}
	l.groups = append(l.groups, g)
	l.epoch++
	start := c.Start
	if l.config.Retention == transport.InterestRetention {
		start = transport.Start{Sequence: max(start.Sequence, l.store.last+1)}
	}
	g.start, g.latest = l.resolve(start)
	g.latestEnd = l.store.last
	g.makeLanes()
	g.count()
	return g
}

// resolve returns the sequence at which a start lies, and, where it is the last of
// each subject, the sequences of these.
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

// count counts what is to be delivered, after the group began or its filter has
// changed.
func (g *group) count() {
	g.undelivered = 0
	s := g.log.store
	for n := s.from(g.start); n <= s.last; n = s.from(n + 1) {
		if sub := s.subjectAt(n); g.wants(n, sub) && g.laneOf(sub).ahead(n) {
			g.undelivered++
		}
	}
}

// wants reports whether a message that is stored is for this group.
func (g *group) wants(sequence uint64, sub *subject) bool {
	if sequence < g.start || g.latest != nil && sequence <= g.latestEnd && !g.latest[sequence] {
		return false
	}
	return slices.Contains(g.log.wanted(sub), g)
}

// owes reports whether the group has yet to settle a message that is stored.
func (g *group) owes(sequence uint64, sub *subject) bool {
	if g.pending[sequence] != nil {
		return true
	}
	return g.laneOf(sub).ahead(sequence) && g.wants(sequence, sub)
}

// arrived takes note of a new message that matches the filter.
func (g *group) arrived(sequence uint64, sub *subject) {
	if sequence < g.start {
		return
	}
	g.undelivered++
	if n := g.laneOf(sub); n.cursor == 0 {
		n.cursor = sequence
		g.placeLane(n)
	}
	g.offer()
}

// removing takes note of a message that goes now. As on NATS it is settled by that,
// also where a member has it in hand: what the member says then is in vain.
func (g *group) removing(sequence uint64, sub *subject) {
	if h := g.pending[sequence]; h != nil {
		h.gone = true
		if h.member == nil {
			g.again.remove(h)
		}
		g.finish(h)
		return
	}
	n := g.laneOf(sub)
	if n.ahead(sequence) && g.wants(sequence, sub) {
		g.undelivered--
	}
	if n.cursor == sequence {
		g.advance(n)
	}
	delete(g.latest, sequence)
}

// offer hands out what can be delivered now, as long as a member would take it.
// Which one is the Backend's pick.
func (g *group) offer() {
	if g.log.backend.scheduler != nil {
		g.propose()
		return
	}
	for len(g.idle) > 0 {
		h := g.take()
		if h == nil {
			return
		}
		i := g.log.backend.picker.pick(len(g.idle))
		g.deliver(g.busy(i), h)
	}
}

// busy takes a member out of the idle ones.
func (g *group) busy(i int) *member {
	m := g.idle[i]
	g.idle = slices.Delete(g.idle, i, i+1)
	return m
}

// take returns what is to be delivered next: a redelivery that is due, or the
// oldest message in a lane that is free.
func (g *group) take() *hold {
	switch {
	case len(g.again) > 0 && g.again[0].due <= g.log.now:
		return g.takeAgain(g.again[0])
	case len(g.ready) > 0:
		return g.takeNext(g.ready[0])
	}
	return nil
}

// takeAgain takes a redelivery that is due.
func (g *group) takeAgain(h *hold) *hold {
	g.again.remove(h)
	g.log.alarm.set(g.due(), g.log.now) // what comes next could not be told while this one was first
	return h
}

// takeNext takes the oldest message of a lane that is free.
func (g *group) takeNext(n *lane) *hold {
	h := &hold{sequence: n.cursor, lane: n, index: -1}
	g.pending[h.sequence] = h
	g.undelivered--
	n.held++
	g.advance(n)
	return h
}

// due is when the next redelivery is. One that is due already waits for a member,
// not for time.
func (g *group) due() int64 {
	if len(g.again) == 0 || g.again[0].due <= g.log.now {
		return never
	}
	return g.again[0].due
}

// handBack lets a message be delivered again at that time.
func (g *group) handBack(h *hold, due int64) {
	if h.gone {
		return
	}
	g.order++
	h.member, h.due, h.order = nil, due, g.order
	g.again.push(h)
	g.log.alarm.set(g.due(), g.log.now)
}

// release lets a message be delivered again at once. The delivery was no attempt.
func (g *group) release(h *hold) {
	h.attempt--
	g.handBack(h, g.log.now)
}

// settle is what a member says of a message that it was given.
func (g *group) settle(h *hold) {
	if !h.gone {
		g.finish(h)
	}
}

// finish ends a message for this group.
func (g *group) finish(h *hold) {
	delete(g.pending, h.sequence)
	h.lane.held--
	g.placeLane(h.lane)
	if !h.gone {
		g.log.settled(h.sequence)
	}
}

// heldBy returns what a member has in hand, the oldest first.
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

// handBackAll hands back what a member has in hand, and returns how much that was.
func (g *group) handBackAll(m *member, delay time.Duration) int {
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
	info.Config.Filter = slices.Clone(g.config.Filter)
	for _, n := range g.lanes {
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
