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
		case l.store.idOf(n) != id:
		case l.groups.begun(n):
			begun = true
		default:
			l.remove(n)
			l.groups.offer()
			return nil
		}
	}
	if begun {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "a member has received it")
	}
	return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such message")
}
