package testkit

import "testing"

// Each runs body on every way that messages can take, each a subtest: what a system
// does must not depend on it.
//
//	wire       in memory, every call over the transport, as Run does
//	unordered  the same, at once and in no order
//	doubled    every stored message handed to its handler twice
//	home       calls within the App
//
// and on each of the servers, such as natstest.Server, in real time. A body that
// declares faults asks Harness.Virtual first.
func Each(t *testing.T, body func(t *testing.T, h *Harness), servers ...Server) {
	t.Helper()
	for _, way := range []struct {
		name string
		opts []Option
	}{
		{"wire", nil},
		{"unordered", []Option{FreeRunning()}},
		{"doubled", []Option{Doubled()}},
		{"home", []Option{LocalCalls()}},
	} {
		t.Run(way.name, func(t *testing.T) { Run(t, body, way.opts...) })
	}
	for _, s := range servers {
		t.Run(s.Name, func(t *testing.T) { RunOn(t, s, body) })
	}
}
