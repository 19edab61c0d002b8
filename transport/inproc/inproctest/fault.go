package inproctest

import (
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Point is a place where a fault can be injected: before or after a step takes effect.
type Point struct {
	Step  // its At and Of are 0
	Phase Phase

	// By is the Transport that takes the step. A FaultAction may kill it.
	By *inproc.Transport

	// Message is the message of the step. It must not be changed or kept. For a Put, it
	// has the key as its subject, and the header and value of the first record. For a chunk,
	// the subject is the id of its upload.
	Message *transport.Message

	// ID is the id with which the message of a log is or was appended, or "".
	ID string
}

// Phase specifies whether a Point is before or after the effect of a step.
type Phase string

// The phases. After a Request is when its reply has arrived. Before and After a Deliver
// enclose the call of the handler.
const (
	Before Phase = "before"
	After  Phase = "after"
)

// FaultAction specifies what happens at a Point. The zero value changes nothing. The
// fields that are set take effect in their order. Only one of Drop, Duplicate,
// AmbiguousSend, Stale and Err should be set.
type FaultAction struct {
	// Run is called on the goroutine that takes the step. If it kills the Transport, a
	// step that has not taken effect never does.
	Run func()

	// Delay is how long the step, or the code after it, must wait. A message that waits
	// for its handler delays the later messages of its subscription. For a member of a
	// group, it counts against MaxInFlight.
	Delay time.Duration

	// Drop, before a step, loses the message. The sender of a Publish or a Reply gets no
	// error. A Request waits until its context ends. An Append, a Put and a Get are
	// Unavailable with an unknown outcome. After a lost Delivery of a log, or a lost settlement, the message
	// is redelivered after the AckWait; a lost settlement returns no error.
	Drop bool

	// Duplicate, before a step, lets it take effect twice. A message is sent twice, and
	// an Append with an id is stored once and is a duplicate. A Put returns the result of
	// the first time. A handler gets a delivery
	// twice, as the same attempt, with one settlement for both.
	Duplicate bool

	// AmbiguousSend lets the step take effect, but returns Unavailable with an unknown
	// outcome. It has no effect around a Deliver.
	AmbiguousSend bool

	// Stale, before a Get, answers as a replica does that has not received the last change
	// yet: of the key, or of the bucket for a Get of several keys. It has no effect on a
	// Get that must be fresh, or that has a revision.
	Stale bool

	// Err is returned from the step: before, instead of its effect; after, although it
	// has taken effect. Before a Deliver it acts like Drop, but the message is
	// redelivered at once.
	Err error
}

// times returns how often a step takes effect.
func (a *FaultAction) times() int {
	switch {
	case a.Drop || a.Err != nil:
		return 0
	case a.Duplicate:
		return 2
	}
	return 1
}
