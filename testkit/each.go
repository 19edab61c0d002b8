package testkit

import "testing"

// Each runs body on every path of messages, each in a subtest. The behaviour of a
// system must not depend on the path.
//
//	transport     in memory, every call over the transport, as with Run
//	free-running  the same, with everything at once and in any order
//	doubled       every stored message handed to its handler twice
//	local         local calls within the App
//
// It then runs body on each of the servers, such as natstest.Server, in real time. A
// body that declares faults checks Harness.Virtual first.
func Each(t *testing.T, body func(t *testing.T, h *Harness), servers ...Server) {
	t.Helper()
	for _, path := range []struct {
		name string
		opts []Option
	}{
		{"transport", nil},
		{"free-running", []Option{FreeRunning()}},
		{"doubled", []Option{Doubled()}},
		{"local", []Option{LocalCalls()}},
	} {
		t.Run(path.name, func(t *testing.T) { Run(t, body, path.opts...) })
	}
	for _, s := range servers {
		t.Run(s.Name, func(t *testing.T) { RunOn(t, s, body) })
	}
}
