// Package engine is the contract between a Backend of inproc and the test engine in
// inproctest. A Backend without an engine links no more than this package.
package engine

import (
	"context"
	"sync"
	"time"

	"gomono.dev/transport"
)

// Engine decides when the steps of a Backend happen, and how often.
type Engine interface {
	// Begin waits until the step of p may happen. With an error it does not happen.
	Begin(ctx context.Context, p Point) (*Op, error)

	// Schedule reports whether the engine takes the steps of s, one by one. Otherwise the
	// Backend takes them itself, at once. The lock of s is held.
	Schedule(s Source) bool

	// Pick returns a number below n, for a message on a subject.
	Pick(n int, subject string) int
}

// Point describes a step, and who takes it.
type Point struct {
	Step
	Message *transport.Message  // nil for a step without faults
	ID      string              // of the Message, if it belongs to a log
	By      transport.Transport // the Transport that takes the step
	Closed  <-chan struct{}     // closed together with By
}

// Step is a step, as package inproctest documents it. The engine sets At and Of.
type Step struct {
	At        time.Duration
	Action    Action
	Transport int
	Subject   string
	Receiver  uint64
	Group     string
	Log       string
	Sequence  uint64
	Attempt   int
	Bucket    string
	Store     string
	Key       string
	Of        int
}

// Action is a kind of step.
type Action string

// The actions, as package inproctest documents them.
const (
	Publish   Action = "publish"
	Request   Action = "request"
	Reply     Action = "reply"
	Append    Action = "append"
	Deliver   Action = "deliver"
	Ack       Action = "ack"
	Nak       Action = "nak"
	Release   Action = "release"
	Terminate Action = "terminate"
	Put       Action = "put"
	Get       Action = "get"
	Due       Action = "due"
	Confirm   Action = "confirm"
	Copy      Action = "copy"
	Read      Action = "read"
	End       Action = "end"
)

// Source has steps that could happen next. Its lock is held in calls of its other methods.
type Source interface {
	sync.Locker

	// Next describes the next step as far as it is known, and returns the number of ways
	// in which it could happen now.
	Next() (s Step, choices int)

	// Take makes the next step happen in one of the ways, and returns it.
	Take(choice int) Step
}

// Op is a step in progress. A nil Op is a step without an engine: it takes effect once.
type Op struct {
	N     int   // how often the step takes effect
	Old   bool  // a Get does not see the last change
	Ender Ender // ends the step, unless it is nil
}

// Ender ends a step. It turns the error of the effect into the error for the caller.
type Ender interface{ End(err error) error }

// Times returns how often the step takes effect. 0 means that its message is lost.
func (o *Op) Times() int {
	if o == nil {
		return 1
	}
	return o.N
}

// Stale reports whether a Get does not see the last change.
func (o *Op) Stale() bool { return o != nil && o.Old }

// End ends the step, and returns the error for the caller.
func (o *Op) End(err error) error {
	if o == nil || o.Ender == nil {
		return err
	}
	return o.Ender.End(err)
}
