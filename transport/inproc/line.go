package inproc

import (
	"cmp"
	"maps"
	"slices"
)

// line is a part of a group's messages that is delivered in order. An ordered group of a log
// with Partitions has one for each key, and any other group has one.
type line struct {
	cursor uint64 // the first message that was not delivered; 0 means none
	held   int    // delivered and not settled
	index  int    // among the ready ones
}

func (n *line) before(other *line) bool { return n.cursor < other.cursor }
func (n *line) place() *int             { return &n.index }

// ahead reports whether a message of this line was not delivered.
func (n *line) ahead(sequence uint64) bool { return n.cursor != 0 && sequence >= n.cursor }

// keyed reports whether the group has a line for each key.
func (g *group) keyed() bool { return g.config.Ordered && g.log.store.subjects.keyed }

// makeLines sets the cursors to the group's start.
func (g *group) makeLines() {
	s := g.log.store
	if !g.keyed() {
		n := &line{cursor: s.from(g.start), index: -1}
		if n.cursor > s.last {
			n.cursor = 0
		}
		g.lines = []*line{n}
		g.settleCursor(n)
		return
	}
	for _, k := range slices.SortedFunc(maps.Values(s.subjects.keys), func(a, b *key) int { return cmp.Compare(a.index, b.index) }) {
		n := g.lineAt(k.index)
		n.cursor = k.first
		g.settleCursor(n)
	}
}

func (g *group) lineOf(sub *subject) *line {
	if !g.keyed() {
		return g.lines[0]
	}
	return g.lineAt(sub.key.index)
}

// lineAt returns the line of a key.
func (g *group) lineAt(key int) *line {
	for key >= len(g.lines) {
		g.lines = append(g.lines, &line{index: -1})
	}
	return g.lines[key]
}

// advance moves a cursor past its current message.
func (g *group) advance(n *line) {
	n.cursor = g.log.store.next(n.cursor, g.keyed())
	g.settleCursor(n)
}

// settleCursor moves a cursor past messages that are not for this group.
func (g *group) settleCursor(n *line) {
	s := g.log.store
	for n.cursor != 0 && !g.wants(n.cursor, s.subjectAt(n.cursor)) {
		n.cursor = s.next(n.cursor, g.keyed())
	}
	if g.latest != nil && n.cursor > g.latestEnd {
		g.forgetLatest()
	}
	g.placeLine(n)
}

// forgetLatest frees the data of the start, once every line is past it.
func (g *group) forgetLatest() {
	for _, n := range g.lines {
		if n.cursor != 0 && n.cursor <= g.latestEnd {
			return
		}
	}
	g.start, g.latest = g.latestEnd+1, nil
}

// placeLine adds a line to the ready ones, or removes it. A line is ready if it has a
// message to deliver and its order allows that.
func (g *group) placeLine(n *line) {
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
