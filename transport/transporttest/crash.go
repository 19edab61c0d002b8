package transporttest

import (
	"testing"

	"gomono.dev/transport"
)

// Host is a backend that a test can end and start again.
type Host struct {
	// Connect returns a connected Transport of the backend.
	Connect func(t *testing.T) transport.Transport

	// Crash ends the backend as the end of its process would, and starts it again on its
	// files.
	Crash func(t *testing.T)
}

// RunCrash runs, as subtests of t, the cases about what survives the process of the
// backend. It is for backends with Capabilities.Durable. newHost returns a new Host for
// each case.
func RunCrash(t *testing.T, newHost func(t *testing.T) *Host) {
	r := &runner{
		newSuite: func(test *testing.T, t testing.TB) *suite {
			host := newHost(test)
			s := newSuite(test, t, host.Connect(test))
			s.host = host
			return s
		},
		around: inRounds(),
	}
	t.Run("crash", func(t *testing.T) { r.table(t, crashCases()) }) // ends with the last of them
	t.Run("skipped", r.reportSkipped)
}

func crashCases() []conformanceCase {
	return needing("Durable", func(has transport.Capabilities) bool { return has.Logs && has.Durable }, durableCases)
}

// crash ends the backend and starts it again, and returns the case with a new connection.
func (s *suite) crash() *suite {
	s.Helper()
	s.host.Crash(s.test)
	again := newSuite(s.test, s.TB, s.host.Connect(s.test))
	again.root, again.host = s.root, s.host
	return again
}
