package testkit

import (
	"context"
	"fmt"
	"slices"
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
		h.faults.checkTriggered()
		h.unfinished.checkRunning()
		h.unfinished.checkStored()
	}
	for _, p := range slices.Backward(h.allPrograms()) {
		p.Stop()
	}
	h.background.Wait()
	h.outside.end()
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
