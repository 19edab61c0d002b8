package testkit

import (
	"fmt"
	"slices"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/inproctest"
)

// Fault is something that goes wrong with a message, or with a write or a read of a bucket or a
// store of objects. Declare it with Harness.Fault, for a handle, with Harness.Between, for two
// modules, or with FaultBucket or FaultObjects. What is said of a bucket holds for a store.
type Fault struct {
	name string

	// at reports whether the fault is for this point. apart is true for messages between two
	// modules.
	at     func(p *inproctest.Point, apart bool) bool
	action inproctest.FaultAction
	code   transport.Code // of the action's error
	crash  bool
	slow   time.Duration // the handler takes longer
}

// The faults without parameters.
var (
	// Drop loses a message on its way. The sender of an event does not notice. A caller waits
	// for the reply until its deadline. The sender of a stored message tries again. A write or a
	// read of a bucket has no effect and returns an unknown outcome.
	Drop = fault("Drop", inTransit, inproctest.FaultAction{Drop: true})

	// LoseAck loses the receiver's answer. For a call this is the reply, and the caller waits
	// until its deadline. For a stored message it is the acknowledgement, and the message comes
	// again after its AckWait.
	LoseAck = fault("LoseAck", points(inproctest.Ack, inproctest.Terminate, inproctest.Reply), inproctest.FaultAction{Drop: true})

	// AmbiguousSend lets a message arrive, and reports an unknown outcome to its
	// sender. mono tries again to store a message, with the same id. A write to a bucket is
	// stored, and its writer gets the unknown outcome.
	AmbiguousSend = fault("AmbiguousSend", points(append(slices.Clone(sends), inproctest.Put)...), inproctest.FaultAction{AmbiguousSend: true})

	// Duplicate hands a message to its handler twice.
	Duplicate = fault("Duplicate", points(inproctest.Deliver), inproctest.FaultAction{Duplicate: true})

	// Stale lets a read of a bucket be answered by a replica that does not have the last change
	// of the key yet, or of the bucket for GetAll. The bucket counts as replicated from then on:
	// a process still reads what it wrote itself.
	Stale = fault("Stale", points(inproctest.Get), inproctest.FaultAction{Stale: true})
)

func fault(name string, at func(*inproctest.Point, bool) bool, v inproctest.FaultAction) Fault {
	return Fault{name: name, at: at, action: v}
}

// Late lets a message arrive later, or a write or a read of a bucket.
func Late(d time.Duration) Fault {
	return fault(fmt.Sprintf("Late(%v)", d), points(inproctest.Deliver, inproctest.Put, inproctest.Get), inproctest.FaultAction{Delay: d})
}

// Slow lets the handler take longer, after it has done its work.
func Slow(d time.Duration) Fault { return Fault{name: fmt.Sprintf("Slow(%v)", d), slow: d} }

// Fail refuses a message, or a write or a read of a bucket: its sender gets an error with this
// code, and nothing else happens.
func Fail(code mono.Code) Fault {
	return Fault{name: fmt.Sprintf("Fail(%s)", code), at: points(append(slices.Clone(sends), inproctest.Put, inproctest.Get)...), code: code}
}

// Crash ends the process at this point, and starts it again with its durable state. At a point
// of sending this is the sender's process, otherwise the handler's. A write to a bucket is
// sent, and what was stored remains. The modules have to be added with AddFunc.
func Crash(m CrashPoint) Fault {
	return Fault{name: fmt.Sprintf("Crash(%s)", m), crash: true, at: func(p *inproctest.Point, _ bool) bool { return m.is(p) }}
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

func (m CrashPoint) is(p *inproctest.Point) bool {
	switch {
	case m == AnyPoint:
		return BeforeSend.is(p) || AfterSend.is(p) || BeforeHandle.is(p) || AfterHandle.is(p)
	case isSend(p.Action) || p.Action == inproctest.Put:
		return p.Phase == inproctest.Before && m == BeforeSend || p.Phase == inproctest.After && m == AfterSend
	case p.Action == inproctest.Get:
		return false
	case p.Action == inproctest.Deliver && p.Phase == inproctest.Before:
		return m == BeforeHandle
	case p.Action == inproctest.Deliver:
		return m == AfterHandle && p.Log == "" && p.Message.Reply == ""
	}
	return m == AfterHandle && p.Phase == inproctest.Before
}

// sends are the steps with which a message leaves its sender.
var sends = []inproctest.Action{inproctest.Publish, inproctest.Request, inproctest.Append}

func isSend(a inproctest.Action) bool { return slices.Contains(sends, a) }

// isBucketStep reports whether a step writes to a bucket or a store, or reads from it.
func isBucketStep(a inproctest.Action) bool { return a == inproctest.Put || a == inproctest.Get }

// points matches the points before one of these steps.
func points(actions ...inproctest.Action) func(*inproctest.Point, bool) bool {
	return func(p *inproctest.Point, _ bool) bool {
		return p.Phase == inproctest.Before && slices.Contains(actions, p.Action)
	}
}

// inTransit matches the points at which a message is lost: at its sender, or, between two
// modules, before it reaches the receiver.
func inTransit(p *inproctest.Point, apart bool) bool {
	if p.Phase != inproctest.Before {
		return false
	}
	if apart && p.Action != inproctest.Request {
		return p.Action == inproctest.Deliver
	}
	return isSend(p.Action) || isBucketStep(p.Action)
}
