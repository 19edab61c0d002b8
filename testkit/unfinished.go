package testkit

import (
	"context"
	"fmt"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// unfinished finds the work that a test has left unfinished.
type unfinished struct {
	h         *Harness
	permitted []mono.Handle // see AllowUnfinished
}

// checkRunning reports handlers and calls that have not ended.
func (u *unfinished) checkRunning() {
	h := u.h
	h.t.Helper()
	for _, e := range h.journal.all(func(e *entry) bool { return e.side != "" && !e.ended && !e.process.crashed.Load() }) {
		what := "the handler of " + e.handle.String() + " still runs"
		if e.side == mono.SideSender {
			what = "it still waits for " + e.handle.String()
		}
		h.t.Errorf("testkit: at the end of the test, in %s: %s, since %v: %s\n\tlet enough time pass with h.Advance, or end its wait", e.actor(), what, clock(e.at), show(e.value))
	}
}

// checkStored reports stored messages that a group has begun and not finished.
func (u *unfinished) checkStored() {
	h := u.h
	h.t.Helper()
	if len(h.processes) == 0 {
		return
	}
	tr, err := h.net.connect(context.Background())
	if err != nil {
		h.t.Errorf("testkit: looking for unfinished messages: %v", err)
		return
	}
	defer tr.Close(context.Background())
	h.allPrograms().eachGroup(tr, func(k handleKey, g transport.GroupInfo, err error) {
		switch {
		case err != nil:
			h.t.Errorf("testkit: looking for unfinished messages of %s: %v", k, err)
		case g.InFlight > 0 && !u.permits(k):
			was := "was"
			if g.InFlight > 1 {
				was = "were"
			}
			h.t.Errorf("testkit: at the end of the test %s of %s in the group %s %s begun and not finished: %s\n\tlet time pass with h.Advance, or permit it with h.AllowUnfinished(…)",
				plural(int(g.InFlight), "message"), k, g.Config.Name, was, u.lastAttempt(k, g.Config.Name))
		}
	})
}

// permits reports whether messages of a handle may be unfinished.
func (u *unfinished) permits(k handleKey) bool {
	for _, handle := range u.permitted {
		if keyOf(handle) == k {
			return true
		}
	}
	return false
}

// lastAttempt describes the last known attempt of a group.
func (u *unfinished) lastAttempt(k handleKey, group string) string {
	all := u.h.journal.all(func(e *entry) bool { return isHandled(k)(e) && e.group == group })
	if len(all) == 0 {
		return "no handler has seen it"
	}
	last := all[len(all)-1]
	return fmt.Sprintf("the last event was, at %v, %s", clock(last.at), u.h.journal.line(&last))
}
