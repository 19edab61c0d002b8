package mono

import (
	"fmt"
	"time"

	"gomono.dev/transport"
)

// Position is a point in a stream. Its zero value is the beginning.
type Position struct{ start transport.Start }

// Beginning returns the position of the oldest kept message.
func Beginning() Position { return Position{} }

// End returns the position after the last message: only messages appended from now on
// follow.
func End() Position { return Position{transport.Start{New: true}} }

// AtSequence returns the position of the message with this sequence, or of the first
// one after it.
func AtSequence(n uint64) Position { return Position{transport.Start{Sequence: n}} }

// AtTime returns the position of the first message that was stored at this time or
// later.
func AtTime(t time.Time) Position { return Position{transport.Start{Time: t}} }

// LastPerKey returns the position of the last message of each key, in the order of
// their sequences. The messages after them follow.
func LastPerKey() Position { return Position{transport.Start{LastPerSubject: true}} }

// String describes the position.
func (p Position) String() string {
	switch {
	case p.start.New:
		return "end"
	case p.start.Sequence > 0:
		return fmt.Sprintf("sequence %d", p.start.Sequence)
	case !p.start.Time.IsZero():
		return "time " + p.start.Time.Format(time.RFC3339Nano)
	case p.start.LastPerSubject:
		return "last per key"
	}
	return "beginning"
}

// From sets where a reader or a new group of consumers begins, by default at the
// beginning. An existing group always continues where it stopped.
func From(p Position) interface {
	StreamHandlerOption
	BatchHandlerOption
	ReadOption
} {
	return option(func(c *config) error { c.From = p; return nil })
}
