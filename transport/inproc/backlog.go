package inproc

import (
	"cmp"
	"maps"
	"slices"
)

// backlog is what a group has yet to deliver. A cursor in each of its lines marks the next
// message, so a backlog of any length costs nothing.
type backlog struct {
	group  *group
	start  start
	lines  []*line
	ready  heap[*line] // lines that may deliver something
	length uint64      // number of messages at and after the cursors
}

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

func (b *backlog) store() *store { return b.group.log.store }

// keyed reports whether the group has a line for each key.
func (b *backlog) keyed() bool { return b.group.config.Ordered && b.store().subjects.keyed }

// begin sets the cursors to the group's start.
func (b *backlog) begin(at start) {
	b.start = at
	if b.keyed() {
		b.beginKeys()
	} else {
		b.beginLine()
	}
	b.count()
}

func (b *backlog) beginLine() {
	n := &line{cursor: b.store().from(b.start.sequence), index: -1}
	if n.cursor > b.store().last {
		n.cursor = 0
	}
	b.lines = []*line{n}
	b.settleCursor(n)
}

func (b *backlog) beginKeys() {
	for _, k := range slices.SortedFunc(maps.Values(b.store().subjects.keys), func(a, b *key) int { return cmp.Compare(a.index, b.index) }) {
		n := b.lineAt(k.index)
		n.cursor = k.first
		b.settleCursor(n)
	}
}

// refilter handles a change of the group's filter.
func (b *backlog) refilter() {
	for _, n := range b.lines {
		b.settleCursor(n)
	}
	b.count()
}

// count counts the messages to deliver, after the group began or its filter changed.
func (b *backlog) count() {
	b.length = 0
	s := b.store()
	for n := s.from(b.start.sequence); n <= s.last; n = s.from(n + 1) {
		if b.has(n, s.subjectAt(n)) {
			b.length++
		}
	}
}

// wants reports whether a stored message is for this group.
func (b *backlog) wants(sequence uint64, sub *subject) bool {
	return b.start.includes(sequence) && slices.Contains(b.group.log.groups.wanted(sub), b.group)
}

// has reports whether a stored message is yet to be delivered.
func (b *backlog) has(sequence uint64, sub *subject) bool {
	return b.lineOf(sub).ahead(sequence) && b.wants(sequence, sub)
}

// arrived records a new message that matches the filter.
func (b *backlog) arrived(sequence uint64, sub *subject) {
	b.length++
	if n := b.lineOf(sub); n.cursor == 0 {
		n.cursor = sequence
		b.placeLine(n)
	}
}

// removing records the removal of a message that was not delivered, or is settled.
func (b *backlog) removing(sequence uint64, sub *subject) {
	if b.has(sequence, sub) {
		b.length--
	}
	if n := b.lineOf(sub); n.cursor == sequence {
		b.advance(n)
	}
	delete(b.start.latest, sequence)
}

// take takes the next message of a ready line.
func (b *backlog) take(choice int) (uint64, *line) {
	n := nth(b.ready, choice, func(*line) bool { return true })
	sequence := n.cursor
	b.length--
	n.held++
	b.advance(n)
	return sequence, n
}

// settled lets a line continue after a message that was delivered.
func (b *backlog) settled(n *line) {
	n.held--
	b.placeLine(n)
}

func (b *backlog) lineOf(sub *subject) *line {
	if !b.keyed() {
		return b.lines[0]
	}
	return b.lineAt(sub.key.index)
}

// lineAt returns the line of a key.
func (b *backlog) lineAt(key int) *line {
	for key >= len(b.lines) {
		b.lines = append(b.lines, &line{index: -1})
	}
	return b.lines[key]
}

// advance moves a cursor past its current message.
func (b *backlog) advance(n *line) {
	n.cursor = b.store().next(n.cursor, b.keyed())
	b.settleCursor(n)
}

// settleCursor moves a cursor past messages that are not for this group.
func (b *backlog) settleCursor(n *line) {
	s := b.store()
	for n.cursor != 0 && !b.wants(n.cursor, s.subjectAt(n.cursor)) {
		n.cursor = s.next(n.cursor, b.keyed())
	}
	if b.start.latest != nil && n.cursor > b.start.end {
		b.passStart()
	}
	b.placeLine(n)
}

// passStart frees the data of the start, once every line is past it.
func (b *backlog) passStart() {
	for _, n := range b.lines {
		if n.cursor != 0 && n.cursor <= b.start.end {
			return
		}
	}
	b.start.pass()
}

// placeLine adds a line to the ready ones, or removes it. A line is ready if it has a
// message to deliver and its order allows that.
func (b *backlog) placeLine(n *line) {
	ready := n.cursor != 0 && (n.held == 0 || !b.group.config.Ordered)
	switch {
	case !ready:
		b.ready.remove(n)
	case n.index < 0:
		b.ready.push(n)
	default:
		b.ready.fix(n.index)
	}
}

// first returns the sequence of the oldest message that is yet to be delivered, or the
// one after the last of the log.
func (b *backlog) first() uint64 {
	first := b.store().last + 1
	for _, n := range b.lines {
		if n.cursor != 0 {
			first = min(first, n.cursor)
		}
	}
	return first
}
