package transporttest

import (
	"context"
	"slices"
	"testing"
	"time"

	"gomono.dev/transport"
)

// Line is a Transport whose connection to its backend a test can take away.
type Line struct {
	transport.Transport

	// Cut takes the connection away, without a farewell, and keeps it away.
	Cut func()

	// Mend lets the connection come back: the Transport reconnects on its own.
	Mend func()
}

// RunReconnect runs, as subtests of t, the cases about a connection that is lost
// and comes back. It is for backends that have one. newLine makes a connected Line;
// all of them are connected to one backend, since a case may need two. Each is
// closed behind its case.
//
// Everything else holds after a reconnect as it did before: [Reconnected] makes a
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

// Reconnected cuts a Line and mends it, and returns it when it is back.
func Reconnected(t *testing.T, line *Line) transport.Transport {
	t.Helper()
	s := &suite{TB: t, tr: line, line: line}
	s.cut()
	s.mend()
	return line
}

// reconnectCases are the rows of RunReconnect.
func reconnectCases() []conformanceCase {
	return slices.Concat(
		awayCases,
		needing("Logs", func(has transport.Capabilities) bool { return has.Logs }, awayLogCases),
		needing("Lanes", func(has transport.Capabilities) bool { return has.Logs && has.Lanes }, awayLaneCases),
		needing("Delays", func(has transport.Capabilities) bool { return has.Logs && has.Delays }, awayDelayedCases),
	)
}

// another is the case seen from a second Transport of the same backend, whose
// connection stays.
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

// cut takes the connection away, and waits until the Transport has noticed.
func (s *suite) cut() {
	s.Helper()
	s.line.Cut()
	s.eventuallyPings("the connection to be lost", func(err error) bool { return transport.CodeOf(err) == transport.Unavailable })
}

// mend lets the connection come back, and waits for it.
func (s *suite) mend() {
	s.Helper()
	s.line.Mend()
	s.eventuallyPings("the connection to be back", func(err error) bool { return err == nil })
}

// eventuallyPings waits until the result of a Ping is this one. Each has more time
// than the one before.
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
