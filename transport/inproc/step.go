package inproc

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Step is something that happens to a message. A Backend with Options.Quiesce takes
// its steps one at a time.
type Step struct {
	// At is when, counted from when the Backend was made.
	At time.Duration

	// Action is what happens.
	Action Action

	// Transport is the number of the Transport that acts, in the order in which
	// they were connected, from 1; of a delivery, the one whose handler gets it. 0
	// is the Backend.
	Transport int

	// Subject is that of the message; of a reply, that of its request.
	Subject string

	// Receiver is the number of the subscription, or of the member in its group,
	// that a delivery is for, in the order in which they came.
	Receiver uint64

	// Group is that of the subscription or of the member, "" for none.
	Group string

	// Of what is in a log: the log, and the delivery.
	Log      string
	Sequence uint64
	Attempt  int

	// Of is in how many ways it could have gone on at that moment, this one
	// included; 0 where nothing was picked.
	Of int
}

// Action is a kind of step. Turn takes others.
type Action string

// The actions. Those up to Terminate are where Options.Fault is asked.
const (
	Publish   Action = "publish"
	Request   Action = "request"
	Reply     Action = "reply" // publish on the subject where a request waits
	Append    Action = "append"
	Deliver   Action = "deliver" // to a handler
	Ack       Action = "ack"
	Nak       Action = "nak"
	Release   Action = "release"
	Terminate Action = "terminate"

	Due     Action = "due"     // store a message whose NotBefore has come
	Confirm Action = "confirm" // call what AppendAsync was given
	Read    Action = "read"    // from a log, without a group
	End     Action = "end"     // call OnEnd of a member
)

// String returns the step in words, such as "t2 deliver jobs.a #3 attempt 2 to
// workers of jobs".
func (s Step) String() string {
	var b strings.Builder
	if s.Transport > 0 {
		fmt.Fprintf(&b, "t%d ", s.Transport)
	}
	b.WriteString(string(s.Action))
	if s.Subject != "" {
		b.WriteString(" " + s.Subject)
	}
	if s.Sequence > 0 {
		fmt.Fprintf(&b, " #%d", s.Sequence)
	}
	if s.Attempt > 0 {
		fmt.Fprintf(&b, " attempt %d", s.Attempt)
	}
	switch {
	case s.Log != "" && s.Group != "":
		fmt.Fprintf(&b, " to member %d of %s of %s", s.Receiver, s.Group, s.Log)
	case s.Log != "":
		b.WriteString(" in " + s.Log)
	case s.Receiver > 0:
		fmt.Fprintf(&b, " to subscription %d", s.Receiver)
		if s.Group != "" {
			b.WriteString(" of " + s.Group)
		}
	}
	return b.String()
}

// compare orders steps that could happen next, by what they are and not by which
// goroutine was first.
func (s *Step) compare(other *Step) int {
	return cmp.Or(
		cmp.Compare(s.Transport, other.Transport),
		cmp.Compare(s.Action, other.Action),
		cmp.Compare(s.Subject, other.Subject),
		cmp.Compare(s.Log, other.Log),
		cmp.Compare(s.Group, other.Group),
		cmp.Compare(s.Receiver, other.Receiver),
		cmp.Compare(s.Sequence, other.Sequence),
		cmp.Compare(s.Attempt, other.Attempt),
	)
}

// candidate is a step that could happen next, in one way or in several.
type candidate struct {
	step Step   // what is known of it before it is picked
	body []byte // tells apart what the step does not

	// choices says in how many ways it could happen now. One that cannot happen
	// any more is forgotten; who has it proposes it again.
	choices func() int

	// take lets it happen in one of the ways, and says what it was.
	take func(choice int) Step
}

func (c *candidate) compare(other *candidate) int {
	return cmp.Or(c.step.compare(&other.step), bytes.Compare(c.body, other.body))
}
