package testkit

import (
	"fmt"
	"slices"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Fault is something that goes wrong with a message. Declare it with Harness.Fault, for a
// handle, or with Harness.Between, for two modules.
type Fault struct {
	name string

	// at reports whether the fault is for this point. apart is true for messages between two
	// modules.
	at     func(p *inproc.Point, apart bool) bool
	action inproc.FaultAction
	code   transport.Code // of the action's error
	crash  bool
	slow   time.Duration // the handler takes longer
}

// The faults without parameters.
var (
	// Drop loses a message on its way. The sender of an event does not notice. A caller waits
	// for the reply until its deadline. The sender of a stored message tries again.
	Drop = fault("Drop", inTransit, inproc.FaultAction{Drop: true})

	// LoseAck loses the receiver's answer. For a call this is the reply, and the caller waits
	// until its deadline. For a stored message it is the acknowledgement, and the message comes
	// again after its AckWait.
	LoseAck = fault("LoseAck", points(inproc.Ack, inproc.Terminate, inproc.Reply), inproc.FaultAction{Drop: true})

	// AmbiguousSend lets a message arrive, and reports an unknown outcome to its
	// sender. mono tries again to store a message, with the same id.
	AmbiguousSend = fault("AmbiguousSend", points(sends...), inproc.FaultAction{AmbiguousSend: true})

	// Duplicate hands a message to its handler twice.
	Duplicate = fault("Duplicate", points(inproc.Deliver), inproc.FaultAction{Duplicate: true})
)

func fault(name string, at func(*inproc.Point, bool) bool, v inproc.FaultAction) Fault {
	return Fault{name: name, at: at, action: v}
}

// Late lets a message arrive later.
func Late(d time.Duration) Fault {
	return fault(fmt.Sprintf("Late(%v)", d), points(inproc.Deliver), inproc.FaultAction{Delay: d})
}

// Slow lets the handler take longer, after it has done its work.
func Slow(d time.Duration) Fault { return Fault{name: fmt.Sprintf("Slow(%v)", d), slow: d} }

// Fail refuses a message: its sender gets an error with this code, and nothing else happens.
func Fail(code mono.Code) Fault {
	return Fault{name: fmt.Sprintf("Fail(%s)", code), at: points(sends...), code: code}
}

// Crash ends the process at this point, and starts it again with its durable state. At a point
// of sending this is the sender's process, otherwise the handler's. Its modules have to be
// added with AddFunc.
func Crash(m CrashPoint) Fault {
	return Fault{name: fmt.Sprintf("Crash(%s)", m), crash: true, at: func(p *inproc.Point, _ bool) bool { return m.is(p) }}
}

// CrashPoint is a point on the way of a message at which a process crashes.
type CrashPoint string

// The crash points.
const (
	BeforeSend   CrashPoint = "before it sends"
	AfterSend    CrashPoint = "after it has sent"
	BeforeHandle CrashPoint = "before its handler"
	AfterHandle  CrashPoint = "after its handler, before its result is sent"
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

// sends are the steps with which a message leaves its sender.
var sends = []inproc.Action{inproc.Publish, inproc.Request, inproc.Append}

func isSend(a inproc.Action) bool { return slices.Contains(sends, a) }

// points matches the points before one of these steps.
func points(actions ...inproc.Action) func(*inproc.Point, bool) bool {
	return func(p *inproc.Point, _ bool) bool {
		return p.Moment == inproc.Before && slices.Contains(actions, p.Action)
	}
}

// inTransit matches the points at which a message is lost: at its sender, or, between two
// modules, before it reaches the receiver.
func inTransit(p *inproc.Point, apart bool) bool {
	if p.Moment != inproc.Before {
		return false
	}
	if apart && p.Action != inproc.Request {
		return p.Action == inproc.Deliver
	}
	return isSend(p.Action)
}
