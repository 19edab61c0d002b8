package inproc

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/inproc/internal/engine"
)

// group is a position in a log, shared by members: it moves messages from its backlog to
// its members, and keeps those in flight until they are settled. The lock of the log
// guards all of it.
type group struct {
	log      *log
	name     string // that of config, for readers without the lock
	config   transport.GroupConfig
	backlog  backlog
	inFlight inFlight
	members  members
	gone     bool  // deleted
	paused   int64 // the end of the pause, 0 for none
}

func newGroup(l *log, c transport.GroupConfig) *group {
	g := &group{log: l, name: c.Name, config: declaredGroup(c)}
	g.backlog = backlog{group: g}
	g.inFlight = inFlight{group: g, pending: make(map[uint64]*hold), void: make(map[*hold]struct{})}
	return g
}

// String returns the name of the group for errors.
func (g *group) String() string { return fmt.Sprintf("group %q of log %q", g.name, g.log.name) }

// changes reports whether c changes the group.
func (g *group) changes(c *transport.GroupConfig) bool {
	return c.Update && c.Generation >= g.config.Generation
}

// fixed returns the error for a change of Ordered.
func (g *group) fixed() error {
	return driver.CannotChange("Ordered", g.config.Ordered, !g.config.Ordered)
}

// cannotChange names the group in the error of fixed.
func (g *group) cannotChange() error { return driver.About("group "+strconv.Quote(g.name), g.fixed()) }

// update changes the group in place. Its deliveries in flight stay with it, even if its
// filter no longer matches them.
func (g *group) update(c transport.GroupConfig) {
	c.Start = g.config.Start
	refiltered := !slices.Equal(g.config.Filter, c.Filter)
	g.config = c
	if !refiltered {
		return
	}
	g.log.groups.epoch++
	g.backlog.refilter()
	g.log.groups.removeSettled()
	g.offer()
}

// arrived records a new message that matches the filter.
func (g *group) arrived(sequence uint64, sub *subject) {
	if sequence >= g.backlog.start.sequence {
		g.backlog.arrived(sequence, sub)
		g.offer()
	}
}

// removing records the removal of a message.
func (g *group) removing(sequence uint64, sub *subject) {
	if h := g.inFlight.pending[sequence]; h != nil {
		g.inFlight.removing(h)
		return
	}
	g.backlog.removing(sequence, sub)
}

// unsettled reports whether the group has not yet settled a stored message.
func (g *group) unsettled(sequence uint64, sub *subject) bool {
	return g.inFlight.pending[sequence] != nil || g.backlog.has(sequence, sub)
}

// offer delivers messages as long as a member can take one. The Backend picks the member.
func (g *group) offer() {
	for !g.pauses() && len(g.members.idle) > 0 && (g.inFlight.overdue() || len(g.backlog.ready) > 0) && !g.log.backend.scheduled(g) {
		g.deliverNext(0, g.log.backend.pick(len(g.members.idle), ""))
	}
}

// deliverNext delivers a message to an idle member, both by their order among all that
// could be next.
func (g *group) deliverNext(what, who int) *delivery {
	h := g.take(what)
	return g.deliver(g.members.take(who), h)
}

// take takes a redelivery that is due, or otherwise the oldest message of a free line.
func (g *group) take(what int) *hold {
	if g.inFlight.overdue() {
		return g.inFlight.take(what)
	}
	return g.inFlight.add(g.backlog.take(what))
}

// deliver passes a message to a member. Every delivery goes through here.
func (g *group) deliver(m *member, h *hold) *delivery {
	g.log.groups.fencingToken++
	h.attempt++
	h.member = m
	d := g.log.read(h.sequence)
	d.member, d.hold = m, h
	d.Attempt, d.FencingToken, d.Remaining, d.Settler = h.attempt, g.log.groups.fencingToken, g.backlog.length, d
	m.assigned = d
	m.held++
	m.intake.Put(d)
	return d
}

// Lock implements [engine.Source].
func (g *group) Lock() { g.log.lock() }

// Unlock implements [engine.Source].
func (g *group) Unlock() { g.log.unlock() }

// Next implements [engine.Source]. Any idle member may get any of the redeliveries that
// are due at the same time, or otherwise the oldest message of any free line.
func (g *group) Next() (engine.Step, int) {
	messages := len(g.backlog.ready)
	switch {
	case g.pauses():
		messages = 0
	case g.inFlight.overdue():
		messages = g.inFlight.alternatives()
	}
	return engine.Step{Action: engine.Deliver, Log: g.log.name, Group: g.name}, messages * len(g.members.idle)
}

// Take implements [engine.Source].
func (g *group) Take(choice int) engine.Step {
	d := g.deliverNext(choice/len(g.members.idle), choice%len(g.members.idle))
	g.offer()
	return d.member.transport.step(engine.Deliver, &d.Message, d)
}

// pauses reports whether the group is paused.
func (g *group) pauses() bool { return g.paused > g.log.now }

// setAlarm sets the alarm for the next redelivery, or the end of the pause.
func (g *group) setAlarm() {
	due := g.inFlight.due()
	if g.pauses() {
		due = g.paused
	}
	g.log.alarm.set(due, g.log.now)
}

// info returns the state of the group.
func (g *group) info() transport.GroupInfo {
	info := transport.GroupInfo{
		Config:      g.config,
		Members:     len(g.members.all),
		Settled:     g.backlog.first() - 1,
		InFlight:    uint64(len(g.inFlight.pending)),
		Undelivered: g.backlog.length,
	}
	info.Config.Filter, info.Config.Metadata = slices.Clone(g.config.Filter), maps.Clone(g.config.Metadata)
	if g.pauses() {
		info.PausedUntil = g.log.backend.clock.time(g.paused)
	}
	for sequence, h := range g.inFlight.pending {
		info.Settled = min(info.Settled, sequence-1)
		if h.attempt > 1 {
			info.Redelivered++
		}
	}
	return info
}
