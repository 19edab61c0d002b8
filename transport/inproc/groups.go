package inproc

import (
	"slices"
	"time"

	"gomono.dev/transport"
)

// groups holds the groups of a log.
type groups struct {
	log          *log
	all          []*group // in the order of their creation
	epoch        uint64   // increases when groups or their filters change
	fencingToken uint64   // of the last delivery to any group; a recreated group continues it
	declarations []declaration
}

// errNoGroup is the error of an operation on a group that does not exist.
var errNoGroup = transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such group")

// find returns a group, or nil.
func (gs *groups) find(name string) *group {
	for _, g := range gs.all {
		if g.name == name {
			return g
		}
	}
	return nil
}

// add creates a group that begins at its configured start.
func (gs *groups) add(c transport.GroupConfig) *group {
	g := newGroup(gs.log, c)
	gs.all = append(gs.all, g)
	gs.epoch++
	from := c.Start
	if gs.log.byInterest() {
		from = transport.Start{Sequence: max(from.Sequence, gs.log.store.last+1)}
	}
	g.backlog.begin(gs.log.resolve(from))
	return g
}

// ensure finds, creates or changes the group of a member. A different value of Ordered is
// an error, whether the group is to be changed or not.
func (gs *groups) ensure(c transport.GroupConfig) (*group, error) {
	if g := gs.find(c.Name); g != nil && g.config.Ordered != c.Ordered {
		return nil, g.fixed()
	}
	return gs.set(c), nil
}

// set finds, creates or changes a group.
func (gs *groups) set(c transport.GroupConfig) *group {
	g := gs.find(c.Name)
	if g == nil {
		return gs.add(c)
	}
	if g.changes(&c) {
		c.Metadata = updated(g.config.Metadata, c.Metadata)
		g.update(declaredGroup(c))
	}
	return g
}

// check returns an error for a setting of a group that cannot be changed.
func (gs *groups) check(c *transport.GroupConfig) error {
	g := gs.find(c.Name)
	if g == nil || !g.changes(c) || g.config.Ordered == c.Ordered {
		return nil
	}
	return g.cannotChange()
}

// delete ends a group and its members. A declared group is recreated.
func (gs *groups) delete(name string) error {
	g := gs.find(name)
	if g == nil {
		return errNoGroup
	}
	g.gone = true
	gs.all = slices.DeleteFunc(gs.all, func(other *group) bool { return other == g })
	gs.epoch++
	for _, m := range slices.Clone(g.members.all) {
		m.deleted(transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "%s was deleted", g))
	}
	gs.removeSettled()
	gs.recreate(name)
	return nil
}

// pause pauses a group, or resumes it.
func (gs *groups) pause(name string, until time.Time) error {
	g := gs.find(name)
	if g == nil {
		return errNoGroup
	}
	g.paused = gs.log.backend.clock.at(until)
	g.setAlarm()
	g.offer()
	return nil
}

// offer makes every group deliver what it can.
func (gs *groups) offer() {
	for _, g := range gs.all {
		g.offer()
	}
}

// tick makes every group deliver what it can, and sets the alarm for what is due later.
func (gs *groups) tick() {
	for _, g := range gs.all {
		g.offer()
		g.setAlarm()
	}
}
