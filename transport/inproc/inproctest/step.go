package inproctest

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"gomono.dev/transport/inproc/internal/engine"
)

// Step is an event in the life of a message.
type Step struct {
	// At is the time of the step, counted from the creation of the Backend.
	At time.Duration

	// Action is the kind of the step.
	Action Action

	// Transport is the number of the Transport that takes the step, in the order of the
	// connections, from 1. For a delivery, it is the Transport of the handler. 0 means
	// the Backend.
	Transport int

	// Subject is the subject of the message. For a reply, it is the subject of the
	// request.
	Subject string

	// Receiver is the number of the subscription, or of the member in its group, that
	// receives a delivery, in the order of their creation.
	Receiver uint64

	// Group is the group of the subscription or of the member, or "".
	Group string

	// The following fields are set for messages of a log: the log, and the delivery.
	Log      string
	Sequence uint64
	Attempt  int

	// Bucket and Key are set for the records of a bucket. For several records, Key is the
	// first of their keys. A Read of a bucket has no Key; its Sequence is a revision.
	//
	// Store is set for a store of objects, and Key for its entries, as for the records of a
	// bucket. A chunk has no Key; its Sequence is its number in its upload, from 1. The last
	// chunk is stored together with the entry, in one Put.
	Bucket string
	Store  string
	Key    string

	// Of is the number of possible next steps at that moment, including this one. 0 means
	// that nothing was picked.
	Of int
}

// Action is a kind of step. AwaitStep accepts any text.
type Action = engine.Action

// The actions. Fault is called for those up to Get.
const (
	Publish   = engine.Publish
	Request   = engine.Request
	Reply     = engine.Reply // publish on the reply subject of a waiting request
	Append    = engine.Append
	Deliver   = engine.Deliver // to a handler
	Ack       = engine.Ack
	Nak       = engine.Nak
	Release   = engine.Release
	Terminate = engine.Terminate
	Put       = engine.Put // records into a bucket, markers included; a chunk or an entry into a store
	Get       = engine.Get // records of keys from a bucket; chunks or an entry from a store

	Due     = engine.Due     // store a message whose NotBefore has passed
	Confirm = engine.Confirm // call the function of AppendAsync
	Copy    = engine.Copy    // a record of another bucket into a mirror, or a bucket with sources
	Read    = engine.Read    // from a log without a group, or from a bucket in order
	End     = engine.End     // call OnEnd of a member
)

// String describes the step, for example "t2 deliver jobs.a #3 attempt 2 to workers of
// jobs".
func (s Step) String() string {
	var b strings.Builder
	if s.Transport > 0 {
		fmt.Fprintf(&b, "t%d ", s.Transport)
	}
	b.WriteString(string(s.Action))
	if name := cmp.Or(s.Subject, s.Key); name != "" {
		b.WriteString(" " + name)
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
	case s.Log != "" || s.Bucket != "" || s.Store != "":
		b.WriteString(" in " + cmp.Or(s.Log, s.Bucket, s.Store))
	case s.Receiver > 0:
		fmt.Fprintf(&b, " to subscription %d", s.Receiver)
		if s.Group != "" {
			b.WriteString(" of " + s.Group)
		}
	}
	return b.String()
}

// compare orders possible next steps by their content and not by the order of goroutines.
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
		cmp.Compare(s.Bucket, other.Bucket),
		cmp.Compare(s.Store, other.Store),
		cmp.Compare(s.Key, other.Key),
	)
}
