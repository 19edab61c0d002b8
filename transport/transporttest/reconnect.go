package transporttest

import (
	"context"
	"slices"
	"testing"
	"time"

	"gomono.dev/transport"
)

// Line is a Transport whose connection to its backend a test can cut.
type Line struct {
	transport.Transport

	// Cut cuts the connection abruptly, and keeps it cut.
	Cut func()

	// Mend allows connections again: the Transport reconnects by itself.
	Mend func()
}

// RunReconnect runs, as subtests of t, the cases about a connection that is lost and
// re-established. It is for backends that have one. newLine returns a connected Line. All
// Lines are connected to one backend, because a case may need two. Each is closed after
// its case.
//
// All other guarantees hold after a reconnect as before: [Reconnected] returns a
// Transport for [Run] of a Line.
func RunReconnect(t *testing.T, newLine func(t *testing.T) *Line) {
	r := &runner{
		newSuite: func(test *testing.T, t testing.TB) *suite {
			line := newLine(test)
			s := newSuite(test, t, line)
			s.line, s.newLine = line, newLine
			return s
		},
		around: inRounds(),
	}
	t.Run("reconnect", func(t *testing.T) { r.table(t, reconnectCases()) }) // ends with the last of them
	t.Run("skipped", r.reportSkipped)
}

// Reconnected cuts a Line, mends it, and returns its Transport after the reconnect.
func Reconnected(t *testing.T, line *Line) transport.Transport {
	t.Helper()
	s := &suite{TB: t, tr: line, line: line}
	s.cut()
	s.mend()
	return line
}

// reconnectCases returns the cases of RunReconnect.
func reconnectCases() []conformanceCase {
	return slices.Concat(
		disconnectedCases,
		needing("Logs", func(has transport.Capabilities) bool { return has.Logs }, disconnectedLogCases),
		needing("Partitions", func(has transport.Capabilities) bool { return has.Logs && has.Partitions }, disconnectedPartitionCases),
		needing("Delays", func(has transport.Capabilities) bool { return has.Logs && has.Delays }, disconnectedDelayedCases),
	)
}

// another returns the case with a second Transport of the same backend, whose connection
// stays.
func (s *suite) another() *suite {
	s.Helper()
	line := s.newLine(s.test)
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := line.Close(ctx); err != nil {
			s.TB.Errorf("Close: %v", err)
		}
	})
	return &suite{TB: s.TB, test: s.test, tr: line, root: s.root}
}

// cut cuts the connection, and waits until the Transport has noticed.
func (s *suite) cut() {
	s.Helper()
	s.line.Cut()
	s.eventuallyPings("the connection to be lost", func(err error) bool { return transport.CodeOf(err) == transport.Unavailable })
}

// mend allows the connection again, and waits for it.
func (s *suite) mend() {
	s.Helper()
	s.line.Mend()
	s.eventuallyPings("the connection to be back", func(err error) bool { return err == nil })
}

// eventuallyPings waits until the result of a Ping satisfies is. Each Ping has more time
// than the previous one.
func (s *suite) eventuallyPings(what string, is func(error) bool) {
	s.Helper()
	wait := 500 * time.Millisecond
	s.eventually(what, func() bool {
		wait *= 2
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		return is(s.tr.Ping(ctx))
	})
}
