package inproc

// lane is a part of a group's messages that is delivered in order. A group that is not
// ordered, and a group of a log without lanes, has one lane.
type lane struct {
	cursor uint64 // the first message that was not delivered; 0 means none
	held   int    // delivered and not settled
	index  int    // among the ready ones
}

func (n *lane) before(other *lane) bool { return n.cursor < other.cursor }
func (n *lane) place() *int             { return &n.index }

// ahead reports whether a message of this lane was not delivered.
func (n *lane) ahead(sequence uint64) bool { return n.cursor != 0 && sequence >= n.cursor }

// laned reports whether the group uses the lanes of its log.
func (g *group) laned() bool { return g.config.Ordered && len(g.log.store.lanes) > 0 }

// makeLanes sets the cursors to the group's start.
func (g *group) makeLanes() {
	s := g.log.store
	if !g.laned() {
		n := &lane{cursor: s.from(g.start), index: -1}
		if n.cursor > s.last {
			n.cursor = 0
		}
		g.lanes = []*lane{n}
		g.settleCursor(n)
		return
	}
	for _, c := range s.lanes {
		n := &lane{cursor: c.first, index: -1}
		g.lanes = append(g.lanes, n)
		g.settleCursor(n)
	}
}

func (g *group) laneOf(sub *subject) *lane {
	if len(g.lanes) == 1 {
		return g.lanes[0]
	}
	return g.lanes[sub.lane]
}

// advance moves a cursor past its current message.
func (g *group) advance(n *lane) {
	n.cursor = g.log.store.next(n.cursor, g.laned())
	g.settleCursor(n)
}

// settleCursor moves a cursor past messages that are not for this group.
func (g *group) settleCursor(n *lane) {
	s := g.log.store
	for n.cursor != 0 && !g.wants(n.cursor, s.subjectAt(n.cursor)) {
		n.cursor = s.next(n.cursor, g.laned())
	}
	if g.latest != nil && n.cursor > g.latestEnd {
		g.forgetLatest()
	}
	g.placeLane(n)
}

// forgetLatest frees the data of the start, once every lane is past it.
func (g *group) forgetLatest() {
	for _, n := range g.lanes {
		if n.cursor != 0 && n.cursor <= g.latestEnd {
			return
		}
	}
	g.start, g.latest = g.latestEnd+1, nil
}

// placeLane adds a lane to the ready ones, or removes it. A lane is ready if it has a
// message to deliver and its order allows that.
func (g *group) placeLane(n *lane) {
	ready := n.cursor != 0 && (n.held == 0 || !g.config.Ordered)
	switch {
	case !ready:
		g.ready.remove(n)
	case n.index < 0:
		g.ready.push(n)
	default:
		g.ready.fix(n.index)
	}
}
