package inproc

import (
	"cmp"
	"slices"
	"time"
)

// inFlight holds the messages of a group that were delivered and are not settled.
type inFlight struct {
	group        *group
	pending      map[uint64]*hold   // by sequence
	redeliveries heap[*hold]        // those of pending that wait for their redelivery
	void         map[*hold]struct{} // removed while a member holds them, so their keys wait
	order        uint64             // of hand-backs
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

// add adds a message that is about to be delivered for the first time.
func (f *inFlight) add(sequence uint64, n *line) *hold {
	h := &hold{sequence: sequence, line: n, index: -1}
	f.pending[sequence] = h
	return h
}

// overdue reports whether a redelivery is due.
func (f *inFlight) overdue() bool {
	return len(f.redeliveries) > 0 && f.redeliveries[0].due <= f.group.log.now
}

// due returns the time of the next redelivery. One that is overdue waits for a member, not
// for time.
func (f *inFlight) due() int64 {
	if len(f.redeliveries) == 0 || f.overdue() {
		return never
	}
	return f.redeliveries[0].due
}

func (f *inFlight) dueWithFirst(h *hold) bool { return h.due == f.redeliveries[0].due }

// alternatives returns the number of redeliveries that are due at the same time as the first.
func (f *inFlight) alternatives() int { return len(together(f.redeliveries, f.dueWithFirst)) }

// take takes one of the first redeliveries.
func (f *inFlight) take(choice int) *hold {
	h := nth(f.redeliveries, choice, f.dueWithFirst)
	f.redeliveries.remove(h)
	f.group.setAlarm() // the next redelivery is known only after the first one is removed
	return h
}

// handBack schedules a redelivery of a message.
func (f *inFlight) handBack(h *hold, due int64) {
	if h.gone {
		f.leave(h)
		return
	}
	f.order++
	h.member, h.due, h.order = nil, due, f.order
	f.redeliveries.push(h)
	f.group.setAlarm()
}

// release schedules an immediate redelivery. The delivery does not count as an attempt.
func (f *inFlight) release(h *hold) {
	h.attempt--
	f.handBack(h, f.group.log.now)
}

// settle handles the settlement of a message by a member.
func (f *inFlight) settle(h *hold) {
	if h.gone {
		f.leave(h)
		return
	}
	f.finish(h)
}

// leave lets the key of a removed message continue.
func (f *inFlight) leave(h *hold) {
	if _, ok := f.void[h]; ok {
		delete(f.void, h)
		f.group.backlog.settled(h.line)
	}
}

// finish ends a message for this group.
func (f *inFlight) finish(h *hold) {
	delete(f.pending, h.sequence)
	f.group.backlog.settled(h.line)
	if !h.gone {
		f.group.log.groups.settled(h.sequence)
	}
}

// removing records the removal of a message. As on NATS the message is thereby settled,
// even if a member holds it: a later settlement has no effect, except that its key continues.
func (f *inFlight) removing(h *hold) {
	h.gone = true
	switch {
	case h.member == nil:
		f.redeliveries.remove(h)
	case f.group.backlog.keyed():
		delete(f.pending, h.sequence)
		f.void[h] = struct{}{}
		return
	}
	f.finish(h)
}

// heldBy returns the messages that a member holds, the oldest first.
func (f *inFlight) heldBy(m *member) []*hold {
	var held []*hold
	for _, h := range f.pending {
		if h.member == m {
			held = append(held, h)
		}
	}
	slices.SortFunc(held, func(a, b *hold) int { return cmp.Compare(a.sequence, b.sequence) })
	return held
}

// handBackAll hands back the messages that a member holds.
func (f *inFlight) handBackAll(m *member, delay time.Duration) {
	for h := range f.void {
		if h.member == m {
			f.leave(h)
		}
	}
	for _, h := range f.heldBy(m) {
		if delay == 0 {
			f.release(h)
		} else {
			f.handBack(h, after(f.group.log.now, delay))
		}
	}
}
