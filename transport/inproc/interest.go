package inproc

import (
	"slices"

	"gomono.dev/transport"
)

// wanted returns the groups whose filters match a subject.
func (gs *groups) wanted(s *subject) []*group {
	if s.epoch == gs.epoch {
		return s.wanted
	}
	s.epoch, s.wanted = gs.epoch, nil
	for _, g := range gs.all {
		if len(g.config.Filter) == 0 || transport.Contains(g.config.Filter, s.name) {
			s.wanted = append(s.wanted, g)
		}
	}
	return s.wanted
}

// needNext reports whether the log has to keep the next message on a subject.
func (gs *groups) needNext(s *subject) bool {
	next := gs.log.store.last + 1
	return !gs.log.byInterest() || slices.ContainsFunc(gs.wanted(s), func(g *group) bool { return g.backlog.start.sequence <= next })
}

// arrived passes a new message to its groups.
func (gs *groups) arrived(sequence uint64, s *subject) {
	for _, g := range gs.wanted(s) {
		g.arrived(sequence, s)
	}
}

// removing records the removal of a message.
func (gs *groups) removing(sequence uint64) {
	s := gs.log.store.subjectAt(sequence)
	for _, g := range gs.all {
		g.removing(sequence, s)
	}
}

// settled handles the settlement of a message by a group.
func (gs *groups) settled(sequence uint64) {
	if gs.log.byInterest() && gs.log.store.at(sequence) != nil && !gs.unsettled(sequence) {
		gs.log.remove(sequence)
	}
}

// unsettled reports whether a group has not yet settled a stored message.
func (gs *groups) unsettled(sequence uint64) bool {
	s := gs.log.store.subjectAt(sequence)
	return slices.ContainsFunc(gs.all, func(g *group) bool { return g.unsettled(sequence, s) })
}

// removeSettled removes messages that no group needs to settle, after groups have changed.
func (gs *groups) removeSettled() {
	if !gs.log.byInterest() {
		return
	}
	s := gs.log.store
	for n := s.first; n <= s.last; n = s.from(n + 1) {
		if !gs.unsettled(n) {
			gs.log.remove(n)
		}
	}
}

// begun reports whether a member of some group has received a stored message.
func (gs *groups) begun(sequence uint64) bool {
	s := gs.log.store.subjectAt(sequence)
	return slices.ContainsFunc(gs.all, func(g *group) bool {
		return g.backlog.wants(sequence, s) && !g.backlog.lineOf(s).ahead(sequence)
	})
}
