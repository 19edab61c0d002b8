package testkit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// end ends the test: it looks for unfinished work, stops the App, and logs the history if the
// test has failed.
func (h *Harness) end() {
	h.t.Helper()
	if err := h.net.settle(context.Background()); err != nil {
		h.t.Errorf("testkit: the end of the test: %v", err)
	}
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	if !h.t.Failed() {
		h.checkFaults()
		h.checkRunning()
		h.checkUndone()
	}
	for _, p := range slices.Backward(h.allPrograms()) {
		p.Stop()
	}
	h.background.Wait()
	h.closeOutside()
	h.report()
}

// report logs the history and how to repeat the failure.
func (h *Harness) report() {
	h.t.Helper()
	if h.t.Failed() {
		h.t.Logf("testkit: %s", h.rerunText())
	}
}

func (h *Harness) rerunText() string {
	again := fmt.Sprintf("run it again with -testkit.seed=%d", h.seed)
	if !h.Virtual() {
		again = "in real time"
	}
	if h.reported {
		return again
	}
	return again + "; " + h.history()
}

func (h *Harness) checkFaults() {
	h.t.Helper()
	for _, in := range h.faults.untriggered() {
		h.t.Errorf("testkit: the fault %s was never triggered: send a message that it applies to, remove it, or add Sometimes", in)
	}
}

// checkRunning reports handlers and calls that have not ended.
func (h *Harness) checkRunning() {
	h.t.Helper()
	for _, e := range h.journal.all(func(e *entry) bool { return e.side != "" && !e.ended && !e.process.crashed.Load() }) {
		what := "the handler of " + e.handle.String() + " still runs"
		if e.side == mono.SideSender {
			what = "it still waits for " + e.handle.String()
		}
		h.t.Errorf("testkit: at the end of the test, in %s: %s, since %v: %s\n\tlet enough time pass with h.Advance, or end its wait", e.actor(), what, clock(e.at), show(e.value))
	}
}

// checkUndone reports stored messages that a group has begun and not finished.
func (h *Harness) checkUndone() {
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
	h.eachGroup(tr, func(k handleKey, g transport.GroupInfo, err error) {
		switch {
		case err != nil:
			h.t.Errorf("testkit: looking for unfinished messages of %s: %v", k, err)
		case g.InFlight > 0 && !h.isUnfinishedAllowed(k):
			was := "was"
			if g.InFlight > 1 {
				was = "were"
			}
			h.t.Errorf("testkit: at the end of the test %s of %s in the group %s %s begun and not finished: %s\n\tlet time pass with h.Advance, or permit it with h.AllowUnfinished(…)",
				plural(int(g.InFlight), "message"), k, g.Config.Name, was, h.lastAttempt(k, g.Config.Name))
		}
	})
}

func (h *Harness) isUnfinishedAllowed(k handleKey) bool {
	for _, handle := range h.unfinished {
		if keyOf(handle) == k {
			return true
		}
	}
	return false
}

// eachGroup calls f with the state of every group of the stored handles that modules of any
// program consume, running or not.
func (h *Harness) eachGroup(tr transport.Transport, f func(handleKey, transport.GroupInfo, error)) {
	consumed := make(map[string]handleKey) // by subject
	for _, p := range h.allPrograms() {
		for _, d := range p.describe().Handles {
			k := handleKey{d.Kind, cmp.Or(d.Settings["Formerly"], d.Name)}
			if len(d.Consumes) > 0 && p.topology.isStored(k) {
				subject, _, _ := strings.Cut(d.Subject, "._k")
				consumed[subject] = k
			}
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(consumed)) {
		k := consumed[subject]
		groups, err := groupsOf(tr, subject)
		if err != nil {
			f(k, transport.GroupInfo{}, err)
		}
		for _, g := range groups {
			f(k, g, nil)
		}
	}
}

// groupsOf returns the state of the groups of a stored handle.
func groupsOf(tr transport.Transport, subject string) ([]transport.GroupInfo, error) {
	log, err := tr.Log(context.Background(), transport.LogConfig{Name: strings.ReplaceAll(subject, ".", "_"), Subjects: []string{subject}})
	if err != nil {
		return nil, err
	}
	return log.Groups(context.Background())
}

// lastAttempt describes the last known attempt of a group.
func (h *Harness) lastAttempt(k handleKey, group string) string {
	all := h.journal.all(func(e *entry) bool { return isHandled(k)(e) && e.group == group })
	if len(all) == 0 {
		return "no handler has seen it"
	}
	last := all[len(all)-1]
	return fmt.Sprintf("the last event was, at %v, %s", clock(last.at), h.journal.line(&last))
}

// panicked records a panic that was contained.
func (h *Harness) panicked(p *process, o mono.Panicked) {
	h.journal.note(p, "panic in %s: %v", p.program().of(o.Where), o.Value)
	if !h.panicsOK {
		h.t.Errorf("testkit: %s panicked: %v\n%s\npermit it with h.AllowPanics()", p.program().of(o.Where), o.Value, o.Stack)
	}
}
