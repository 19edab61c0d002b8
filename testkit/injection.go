package testkit

import (
	"fmt"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc/inproctest"
)

// Injection is a declared fault. It is triggered once, unless Times or Always sets another
// number. An injection that is never triggered fails the test. Its methods change it, also
// after the start of the App, and return it.
type Injection struct {
	h      *Harness
	fault  Fault
	of     handleKey // zero: any
	both   bool      // in both directions
	place  string
	number int // of the fault in the test

	// Guarded by the lock of faults.
	direction
	when      []Condition
	remaining int // how often it may still be triggered; -1: always
	chance    float64
	sometimes bool
	triggered int
}

// direction is the way of a message between modules; "" is any module.
type direction struct{ from, to string }

// covers reports whether a message goes this way.
func (d direction) covers(from, to string) bool {
	return (d.from == "" || d.from == from) && (d.to == "" || d.to == to)
}

// narrowed returns the current settings of From, To and When.
func (in *Injection) narrowed() (direction, []Condition) {
	in.h.faults.mu.Lock()
	defer in.h.faults.mu.Unlock()
	return in.direction, in.when
}

// Condition reports whether a fault is for this message.
type Condition func(m Passing) bool

// Passing is a message that a fault could affect, or a write or a read of a bucket or a store.
type Passing struct {
	Handle   string // "event orders.placed", "bucket sessions" or "store uploads"
	Program  string // the program that sends it or gets it, "" for the first one and the test
	From     string // the sending module, "" for the test, and for a bucket or a store
	To       string // the receiving module, "" if it is not decided
	Group    string
	Attempt  int    // of a delivery, from 1
	Sequence uint64 // of a stored message
	ID       string
	Value    any // the value sent; nil for a message that did not come from a handle

	// Key is the key of a write or a read of a bucket, the first one of several, or the name
	// of an object, for its description. The Value of a write has the bytes to be stored, as
	// []byte, and is nil for a deletion.
	Key   string
	Write bool

	// Chunk is the number of a chunk of an object, from 1, in the order of its content. A
	// chunk has no Key.
	Chunk int
}

// Payload makes a Condition of a function of the value sent, whose type is T.
func Payload[T any](is func(T) bool) Condition {
	return func(m Passing) bool {
		v, ok := m.Value.(T)
		return ok && is(v)
	}
}

// Attempt is the Condition that a delivery is the nth.
func Attempt(n int) Condition { return func(m Passing) bool { return m.Attempt == n } }

// InProgram is the Condition that a process of this program sends the message or gets it, or writes
// to a bucket or a store, or reads from it. See Harness.Program.
func InProgram(name string) Condition { return func(m Passing) bool { return m.Program == name } }

// Key is the Condition that a write or a read of a bucket is of this key, or that of a store is
// of the description of the object with this name. The description is stored together with the
// last chunk, at the end of a Put.
func Key(key string) Condition { return func(m Passing) bool { return m.Key == key } }

// Chunk is the Condition that a write or a read of a store is of the nth chunk of an object,
// from 1. A read is of several chunks, from the nth on. An object with n chunks has n-1 such
// writes: see Key for the last one.
func Chunk(n int) Condition { return func(m Passing) bool { return m.Chunk == n && n > 0 } }

// Writes and Reads are the Conditions that a bucket or a store is written, and that it is read.
var (
	Writes Condition = func(m Passing) bool { return m.Write }
	Reads  Condition = func(m Passing) bool { return !m.Write && (m.Key != "" || m.Chunk > 0) }
)

// Fault declares a fault for the messages of a handle.
func (h *Harness) Fault(handle mono.Handle, f Fault) *Injection {
	h.t.Helper()
	return h.declare(&Injection{fault: f, of: keyOf(handle)})
}

// Between declares a fault for messages from module from to module to: calls, events, jobs and
// messages of streams. Faults at the sender (Fail, AmbiguousSend, and a crash there) affect
// calls only, because the receiver of other messages is decided later.
func (h *Harness) Between(from, to string, f Fault) *Injection {
	h.t.Helper()
	return h.declare(&Injection{fault: f, direction: direction{from, to}})
}

// FaultEverywhere declares a fault for every message of every handle, and for every bucket and
// store. It is meant for Sometimes.
func (h *Harness) FaultEverywhere(f Fault) *Injection {
	h.t.Helper()
	return h.declare(&Injection{fault: f})
}

// Disconnect lets no message pass between two modules, in either direction, until Heal. Calls
// wait until their deadline, events are lost, and stored messages come after their AckWait.
func (h *Harness) Disconnect(one, other string) *Injection {
	h.t.Helper()
	in := h.declare(&Injection{fault: Drop, direction: direction{one, other}, both: true})
	in.fault.name = "Partition"
	return in.Always()
}

func (h *Harness) declare(in *Injection) *Injection {
	h.t.Helper()
	if !h.Virtual() {
		h.t.Fatalf("testkit: %s: a real server has no faults: check h.Virtual() first", in.fault.name)
	}
	if h.set.freeRunning && in.fault.crash {
		h.t.Fatalf("testkit: %s needs an order of steps: run it without testkit.FreeRunning", in.fault.name)
	}
	in.h, in.remaining, in.place = h, 1, callerOutside()
	h.faults.mu.Lock()
	h.faults.declared = append(h.faults.declared, in)
	in.number = len(h.faults.declared)
	h.faults.mu.Unlock()
	started := false
	for _, p := range h.allPrograms() {
		if len(p.instances) > 0 {
			started = true
			p.checkModules()
		}
	}
	if started {
		in.check()
	}
	return in
}

// Times lets the fault be triggered up to n times.
func (in *Injection) Times(n int) *Injection {
	in.h.t.Helper()
	if n < 1 {
		in.h.t.Fatalf("testkit: %s: Times(%d): want at least 1", in, n)
	}
	return in.change(func() { in.remaining = n })
}

// Always lets the fault be triggered every time, until Heal.
func (in *Injection) Always() *Injection { return in.change(func() { in.remaining = -1 }) }

// Heal ends the fault.
func (in *Injection) Heal() *Injection { return in.change(func() { in.remaining = 0 }) }

// Sometimes lets the seed decide, with this probability, about each message that the fault
// could affect. The fault need not be triggered at all. It is still triggered at most once,
// unless Times or Always sets another number.
func (in *Injection) Sometimes(probability float64) *Injection {
	in.h.t.Helper()
	if !(probability >= 0 && probability <= 1) {
		in.h.t.Fatalf("testkit: %s: Sometimes(%v): want a probability, from 0 to 1", in, probability)
	}
	return in.change(func() { in.chance, in.sometimes = probability, true })
}

// When narrows the fault to messages for which all conditions are true.
func (in *Injection) When(conditions ...Condition) *Injection {
	return in.change(func() { in.when = append(in.when, conditions...) })
}

// From narrows the fault to messages from this module.
func (in *Injection) From(module string) *Injection {
	return in.change(func() { in.from = module })
}

// To narrows the fault to messages to this module.
func (in *Injection) To(module string) *Injection { return in.change(func() { in.to = module }) }

// Triggered returns how often the fault was triggered.
func (in *Injection) Triggered() int {
	in.h.faults.mu.Lock()
	defer in.h.faults.mu.Unlock()
	return in.triggered
}

func (in *Injection) change(f func()) *Injection {
	in.h.faults.mu.Lock()
	defer in.h.faults.mu.Unlock()
	f()
	return in
}

// String describes the fault.
func (in *Injection) String() string {
	where := "anywhere"
	switch d, _ := in.narrowed(); {
	case in.of != handleKey{}:
		where = "of " + in.of.String()
	case d.from != "" && d.to != "":
		where = "between " + d.from + " and " + d.to
	}
	return fmt.Sprintf("%s %s (%s)", in.fault.name, where, in.place)
}

// matches reports whether the fault is for this point.
func (in *Injection) matches(p *inproctest.Point, m *Passing, k handleKey) bool {
	d, _ := in.narrowed()
	return in.fault.at != nil && in.fault.at(p, d.to != "") && in.isFor(m, k)
}

// isFor reports whether the fault is for this message.
func (in *Injection) isFor(m *Passing, k handleKey) bool {
	if in.of != (handleKey{}) && in.of != k {
		return false
	}
	d, when := in.narrowed()
	if !d.covers(m.From, m.To) && !(in.both && d.covers(m.To, m.From)) {
		return false
	}
	for _, condition := range when {
		if !condition(*m) {
			return false
		}
	}
	return true
}
