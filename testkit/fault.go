package testkit

import (
	"fmt"
	"slices"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Fault is something that goes wrong with a message. Declare it with
// Harness.Fault, for a handle, or with Harness.Between, for two modules.
type Fault struct {
	name string

	// at says whether the fault is for this point; apart is true for what two
	// modules say to each other.
	at      func(p *inproc.Point, apart bool) bool
	verdict inproc.FaultAction
	code    transport.Code // of the verdict's error
	crash   bool
	slow    time.Duration // the handler takes longer
}

// The faults that need nothing said about them.
var (
	// Drop loses a message on its way. Its sender does not notice that of an event,
	// waits for the reply of a call until its time is over, and tries again where the
	// message is to be stored.
	Drop = fault("Drop", onTheWay, inproc.FaultAction{Drop: true})

	// LoseAck loses what the receiver says when it is done: the reply of a call, whose
	// caller waits until its time is over, or the acknowledgement of a stored message,
	// which comes again after its AckWait.
	LoseAck = fault("LoseAck", points(inproc.Ack, inproc.Terminate, inproc.Reply), inproc.FaultAction{Drop: true})

	// Doubt lets a message arrive, and tells its sender that nobody knows. Mono tries
	// again to store one, with the same id.
	AmbiguousSend = fault("Doubt", points(sends...), inproc.FaultAction{AmbiguousSend: true})

	// Duplicate hands a message to its handler twice.
	Duplicate = fault("Duplicate", points(inproc.Deliver), inproc.FaultAction{Duplicate: true})
)

func fault(name string, at func(*inproc.Point, bool) bool, v inproc.FaultAction) Fault {
	return Fault{name: name, at: at, verdict: v}
}

// Delay lets a message arrive later.
func Late(d time.Duration) Fault {
	return fault(fmt.Sprintf("Delay(%v)", d), points(inproc.Deliver), inproc.FaultAction{Delay: d})
}

// Slow lets the handler take longer, after it has done its work.
func Slow(d time.Duration) Fault { return Fault{name: fmt.Sprintf("Slow(%v)", d), slow: d} }

// Fail refuses a message: its sender gets an error with this code, and nothing else
// happens.
func Fail(code mono.Code) Fault {
	return Fault{name: fmt.Sprintf("Fail(%s)", code), at: points(sends...), code: code}
}

// Crash ends the process at this moment, and starts it anew with what is durable:
// the one that sends at a moment of sending, the one that handles otherwise. Its
// modules have to be added with AddFunc.
func Crash(m CrashPoint) Fault {
	return Fault{name: fmt.Sprintf("Crash(%s)", m), crash: true, at: func(p *inproc.Point, _ bool) bool { return m.is(p) }}
}

// Moment is where in the way of a message a process crashes.
type CrashPoint string

// The moments.
const (
	BeforeSend   CrashPoint = "before it sends"
	AfterSend    CrashPoint = "after it has sent"
	BeforeHandle CrashPoint = "before its handler"
	AfterHandle  CrashPoint = "after its handler, before anybody is told"
	AnyPoint     CrashPoint = "anywhere" // any of them
)

func (m CrashPoint) is(p *inproc.Point) bool {
	switch {
	case m == AnyPoint:
		return BeforeSend.is(p) || AfterSend.is(p) || BeforeHandle.is(p) || AfterHandle.is(p)
	case isSend(p.Action):
		return p.Moment == inproc.Before && m == BeforeSend || p.Moment == inproc.After && m == AfterSend
	case p.Action == inproc.Deliver && p.Moment == inproc.Before:
		return m == BeforeHandle
	case p.Action == inproc.Deliver:
		return m == AfterHandle && p.Log == "" && p.Message.Reply == ""
	}
	return m == AfterHandle && p.Moment == inproc.Before
}

// sends are the steps with which a message leaves.
var sends = []inproc.Action{inproc.Publish, inproc.Request, inproc.Append}

func isSend(a inproc.Action) bool { return slices.Contains(sends, a) }

// points are those before one of these steps.
func points(actions ...inproc.Action) func(*inproc.Point, bool) bool {
	return func(p *inproc.Point, _ bool) bool {
		return p.Moment == inproc.Before && slices.Contains(actions, p.Action)
	}
}

// onTheWay is where a message is lost: as it leaves, or, between two modules, where
// it would reach the other one.
func onTheWay(p *inproc.Point, apart bool) bool {
	if p.Moment != inproc.Before {
		return false
	}
	if apart && p.Action != inproc.Request {
		return p.Action == inproc.Deliver
	}
	return isSend(p.Action)
}
