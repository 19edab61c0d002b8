package inproc

import (
	"context"

	"gomono.dev/transport"
)

// Cancel implements [driver.Log].
func (h *handle) Cancel(_ context.Context, id string) error {
	l := h.log
	l.lock()
	defer l.unlock()
	if w := l.delayed.withID(id); w != nil {
		l.delayed.waiting.remove(w)
		return nil
	}
	begun := false
	for n := l.store.first; n <= l.store.last; n = l.store.from(n + 1) {
		switch {
		case l.idOf(n) != id:
		case l.begun(n):
			begun = true
		default:
			l.remove(n)
			l.offer()
			return nil
		}
	}
	if begun {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "a member has received it")
	}
	return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such message")
}

// withID returns the next delayed message with an id, or nil.
func (d *delayed) withID(id string) (first *waiting) {
	for _, w := range d.waiting {
		if recordID(w.record, w.meta) == id && (first == nil || w.before(first)) {
			first = w
		}
	}
	return first
}

// begun reports whether a member of some group has received a stored message.
func (l *log) begun(sequence uint64) bool {
	sub := l.store.subjectAt(sequence)
	for _, g := range l.groups {
		if g.wants(sequence, sub) && !g.lineOf(sub).ahead(sequence) {
			return true
		}
	}
	return false
}
