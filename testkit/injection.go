package testkit

import (
	"fmt"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// Injection is a fault that was declared. It is met once, unless Times or Always
// says otherwise; one that is never met fails the test. Its methods change it, before
// the App is started or later, and return it.
type Injection struct {
	h      *Harness
	fault  Fault
	handle mono.Handle // nil: any
	both   bool        // in both directions
	place  string
	number int // among those of the test

	// Guarded by the lock of faults.
	direction
	when      []Condition
	left      int // how often it may still be met; -1: always
	chance    float64
	sometimes bool
	met       int
}

// direction is from where to where a message goes, by modules; "" is any.
type direction struct{ from, to string }

// covers reports whether a message goes that way.
func (d direction) covers(from, to string) bool {
	return (d.from == "" || d.from == from) && (d.to == "" || d.to == to)
}

// narrowed returns what From, To and When have said by now.
func (in *Injection) narrowed() (direction, []Condition) {
	in.h.faults.mu.Lock()
	defer in.h.faults.mu.Unlock()
	return in.direction, in.when
}

// Condition says whether a fault is for this message.
type Condition func(m Passing) bool

// Passing is a message that a fault could meet.
type Passing struct {
	Handle   string // "event orders.placed"
	From     string // the module that sent it, "" for the test
	To       string // the module that gets it, "" where that is not decided
	Group    string
	Attempt  int    // of a delivery, from 1
	Sequence uint64 // of a stored message
	ID       string
	Value    any // what was sent; nil for what did not come from a handle
}

// Payload makes a Condition of what was sent, whose type is T.
func Payload[T any](is func(T) bool) Condition {
	return func(m Passing) bool {
		v, ok := m.Value.(T)
		return ok && is(v)
	}
}

// Attempt is the Condition that a delivery is the nth.
func Attempt(n int) Condition { return func(m Passing) bool { return m.Attempt == n } }

// Fault declares a fault for what passes through a handle.
func (h *Harness) Fault(handle mono.Handle, f Fault) *Injection {
	h.t.Helper()
	return h.declare(&Injection{fault: f, handle: handle})
}

// Between declares a fault for what module from sends to module to: calls, events,
// jobs and messages of streams. What happens where a message is sent, as Fail, Doubt
// and a crash there do, meets calls only: who gets the others is decided later.
func (h *Harness) Between(from, to string, f Fault) *Injection {
	h.t.Helper()
	return h.declare(&Injection{fault: f, direction: direction{from, to}})
}

// Anywhere declares a fault for every message of every handle, which is made for
// Sometimes.
func (h *Harness) FaultEverywhere(f Fault) *Injection {
	h.t.Helper()
	return h.declare(&Injection{fault: f})
}

// Partition lets nothing pass between two modules, in either direction, until Heal:
// calls wait in vain, events are lost, and what is stored comes after its AckWait.
func (h *Harness) Disconnect(one, other string) *Injection {
	h.t.Helper()
	in := h.declare(&Injection{fault: Drop, direction: direction{one, other}, both: true})
	in.fault.name = "Partition"
	return in.Always()
}

func (h *Harness) declare(in *Injection) *Injection {
	h.t.Helper()
	if !h.Virtual() {
		h.t.Fatalf("testkit: %s: a real server knows no faults: declare them where h.Virtual() is true", in.fault.name)
	}
	if h.set.free && in.fault.crash {
		h.t.Fatalf("testkit: %s needs an order of steps: run it without testkit.FreeRunning", in.fault.name)
	}
	in.h, in.left, in.place = h, 1, callerOutside()
	h.faults.mu.Lock()
	h.faults.declared = append(h.faults.declared, in)
	in.number = len(h.faults.declared)
	h.faults.mu.Unlock()
	if len(h.instances) > 0 {
		h.checkMakes()
		h.checkInjection(in)
	}
	return in
}

// Times lets the fault be met up to n times.
func (in *Injection) Times(n int) *Injection {
	in.h.t.Helper()
	if n < 1 {
		in.h.t.Fatalf("testkit: %s: Times(%d): want at least 1", in, n)
	}
	return in.change(func() { in.left = n })
}

// Always lets the fault be met every time, until Heal.
func (in *Injection) Always() *Injection { return in.change(func() { in.left = -1 }) }

// Heal ends the fault.
func (in *Injection) Heal() *Injection { return in.change(func() { in.left = 0 }) }

// Sometimes lets the seed decide about each message that could meet the fault, with
// this probability, and allows that none does. It is still met once at most, unless
// Times or Always says otherwise.
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

// From narrows the fault to what this module sends.
func (in *Injection) From(module string) *Injection {
	return in.change(func() { in.from = module })
}

// To narrows the fault to what this module gets.
func (in *Injection) To(module string) *Injection { return in.change(func() { in.to = module }) }

// Met returns how often the fault was met.
func (in *Injection) Triggered() int {
	in.h.faults.mu.Lock()
	defer in.h.faults.mu.Unlock()
	return in.met
}

func (in *Injection) change(f func()) *Injection {
	in.h.faults.mu.Lock()
	defer in.h.faults.mu.Unlock()
	f()
	return in
}

// String returns the fault in words.
func (in *Injection) String() string {
	where := "anywhere"
	switch d, _ := in.narrowed(); {
	case in.handle != nil:
		where = "of " + keyOf(in.handle).String()
	case d.from != "" && d.to != "":
		where = "between " + d.from + " and " + d.to
	}
	return fmt.Sprintf("%s %s (%s)", in.fault.name, where, in.place)
}

// matches reports whether the fault is for this point.
func (in *Injection) matches(p *inproc.Point, m *Passing, k handleKey) bool {
	d, _ := in.narrowed()
	return in.fault.at != nil && in.fault.at(p, d.to != "") && in.isFor(m, k)
}

// isFor reports whether the fault is for this message.
func (in *Injection) isFor(m *Passing, k handleKey) bool {
	if in.handle != nil && keyOf(in.handle) != k {
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
