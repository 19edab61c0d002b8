package objtest

import (
	"testing"

	"gomono.dev/transport"
)

// Line is a connection to a backend that a test can cut.
type Line struct {
	Transport transport.Transport        // its connection can be cut
	Connect   func() transport.Transport // connects to the same backend in another way
	Cut       func()                     // ends the connection, and lets no other one begin
	Mend      func()                     // lets connections begin
}

// RunReconnect runs the cases about lost connections. newLine returns a new Line for each
// case.
func RunReconnect(t *testing.T, newLine func(t *testing.T) *Line) {
	around := inRounds()
	for _, c := range reconnectCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			around(t, func(test *testing.T, t testing.TB) {
				line := newLine(test)
				target := &Target{Start: func(*testing.T) func() transport.Transport { return line.Connect }}
				s := newSuite(target, test, t)
				s.line = line
				s.Cleanup(func() {
					line.Mend()
					s.close(line.Transport)
				})
				c.run(s)
			})
		})
	}
}
