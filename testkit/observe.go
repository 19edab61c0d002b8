package testkit

import (
	"errors"
	"slices"
	"time"

	"gomono.dev/mono"
)

// Sent is a message that was sent.
type Sent[T any] struct {
	Value    T
	ID       string
	From     string // the sending module, "" for the test
	Program  string // the sending program, "" for the first one
	Sequence uint64 // of a stored message, if its sender received it
	At       time.Duration
}

// Exchange is a call.
type Exchange[Req, Resp any] struct {
	Request Req
	Reply   Resp  // the zero value with an error
	Err     error // the caller's error
	From    string
	Program string        // of the caller for Called, and of the handler for Served
	At      time.Duration // when it began
	Took    time.Duration
}

// Delivery is one attempt of a handler at a message. Each message of a batch has its Delivery.
type Delivery[T any] struct {
	Value    T
	ID       string
	Module   string // of the handler
	From     string
	Group    string
	Program  string // of the handler, "" for the first one
	Instance int    // of the program, from 1
	Attempt  int
	Sequence uint64
	Result   HandlerResult
	Err      error         // the handler's error
	At       time.Duration // when it began
	Took     time.Duration
}

// DeadLetter is a message that became a dead letter.
type DeadLetter[T any] struct {
	Value    T // as its handler got it, or as it was sent if no handler did; else the zero value
	ID       string
	Module   string
	Group    string
	Program  string // whose handler gave it up, "" for the first one
	Attempts int
	Reason   mono.Reason
	Err      error
	At       time.Duration
}

// Messages is a handle whose messages are handled without a reply: an Event, a
// Queue or a Stream.
type Messages[T any] interface {
	mono.Handle
	DeadLetters(b mono.Binder) mono.DeadLetters[T]
}

// Published returns the events that were published, in order. It includes events whose
// publisher got an unknown outcome although they were published. An event that was
// stored once is returned once, however often it was sent with its id. Like every
// question, Published first waits until nothing more can happen.
//
// A question is about all programs. If they declare the handle with different types, it is about
// the messages with the type of this declaration.
func Published[T any](h *Harness, e mono.Event[T]) []Sent[T] {
	h.t.Helper()
	return sentThrough[T](h, e)
}

// Enqueued returns the jobs that were stored, in order.
func Enqueued[T any](h *Harness, q mono.Queue[T]) []Sent[T] {
	h.t.Helper()
	return sentThrough[T](h, q)
}

// Appended returns the messages that were appended, in order.
func Appended[T any](h *Harness, s mono.Stream[T]) []Sent[T] {
	h.t.Helper()
	return sentThrough[T](h, s)
}

func sentThrough[T any](h *Harness, handle mono.Handle) []Sent[T] {
	h.t.Helper()
	var all []Sent[T]
	for _, e := range h.query(handle, isSent(keyOf(handle))) {
		v, ok := valueOf[T](e.value)
		sent := Sent[T]{Value: v, ID: e.id, From: e.module, Program: e.process.programName(), Sequence: e.sequence, At: e.at}
		if ok && e.arrived() && !slices.ContainsFunc(all, sent.isDuplicateOf) {
			all = append(all, sent)
		}
	}
	return all
}

// valueOf returns a payload as a T. It returns false if the payload has another type, as with
// another declaration of the handle.
func valueOf[T any](payload any) (value T, ok bool) {
	value, ok = payload.(T)
	return value, ok || payload == nil
}

// isDuplicateOf reports whether two messages are one message, sent twice: they have the same
// id, and not two positions.
func (s Sent[T]) isDuplicateOf(other Sent[T]) bool {
	return s.ID == other.ID && (s.Sequence == other.Sequence || s.Sequence == 0 || other.Sequence == 0)
}

// arrived reports whether a message left its sender.
func (e *entry) arrived() bool {
	switch {
	case !e.ended:
		return e.taken
	case e.err == nil:
		return true
	}
	return e.taken && mono.OutcomeOf(e.err) == mono.OutcomeUnknown
}

// Called returns the calls of a service, in the order in which they began.
func Called[Req, Resp any](h *Harness, s mono.Service[Req, Resp]) []Exchange[Req, Resp] {
	h.t.Helper()
	return exchanges[Req, Resp](h, s, isSent(keyOf(s)))
}

// Served is Called on the side of the handler. It returns a duplicated call twice, and a lost
// one not at all.
func Served[Req, Resp any](h *Harness, s mono.Service[Req, Resp]) []Exchange[Req, Resp] {
	h.t.Helper()
	return exchanges[Req, Resp](h, s, isHandled(keyOf(s)))
}

func exchanges[Req, Resp any](h *Harness, s mono.Service[Req, Resp], side func(*entry) bool) []Exchange[Req, Resp] {
	h.t.Helper()
	var all []Exchange[Req, Resp]
	for _, e := range h.query(s, side) {
		request, ok := valueOf[Req](e.value)
		if !ok {
			continue
		}
		x := Exchange[Req, Resp]{Request: request, Err: e.err, From: e.sender(), Program: e.process.programName(), At: e.at, Took: e.duration}
		if e.err == nil {
			x.Reply, _ = e.reply.(Resp)
		}
		all = append(all, x)
	}
	return all
}

// Consumed returns the attempts of handlers at the messages of a handle, in the
// order in which they began.
func Consumed[T any](h *Harness, m Messages[T]) []Delivery[T] {
	h.t.Helper()
	var all []Delivery[T]
	for _, e := range h.query(m, isHandled(keyOf(m))) {
		d := Delivery[T]{
			ID: e.id, Module: e.module, From: e.from, Group: e.group, Program: e.process.programName(), Instance: e.process.instance.number,
			Attempt: e.attempt, Sequence: e.sequence, Err: e.err, At: e.at, Took: e.duration,
		}
		batch, ok := e.value.([]mono.Message[T])
		if !ok {
			if d.Value, ok = valueOf[T](e.value); ok {
				d.Result = h.journal.resultOf(&e, e.id, e.err)
				all = append(all, d)
			}
			continue
		}
		for i, message := range batch {
			d.Value, d.ID, d.Attempt, d.Sequence = message.Value, message.ID, message.Attempt, message.Sequence
			d.Err = ownError(e.err, i, len(batch))
			one := e
			one.attempt = message.Attempt
			d.Result = h.journal.resultOf(&one, message.ID, d.Err)
			all = append(all, d)
		}
	}
	return all
}

// ownError is the error of one message of a batch, after mono.PerMessage.
func ownError(err error, i, n int) error {
	var each interface{ Unwrap() []error }
	if errors.As(err, &each) && len(each.Unwrap()) == n {
		return each.Unwrap()[i]
	}
	return err
}

// DeadLettered returns the messages of a handle that became dead letters, in order.
func DeadLettered[T any](h *Harness, m Messages[T]) []DeadLetter[T] {
	h.t.Helper()
	var all []DeadLetter[T]
	for _, e := range h.query(m, func(e *entry) bool { return e.deadLetter != nil && e.handle == keyOf(m) }) {
		d := DeadLetter[T]{ID: e.id, Module: e.module, Group: e.group, Program: e.process.programName(), Attempts: e.deadLetter.Attempts, Reason: e.deadLetter.Reason, Err: e.err, At: e.at}
		h.journal.eachValue(&e, func(value any) {
			if v, ok := value.(T); ok {
				d.Value = v
			}
		})
		all = append(all, d)
	}
	return all
}

// query answers a question about a handle, once everything is at rest.
func (h *Harness) query(handle mono.Handle, keep func(*entry) bool) []entry {
	h.t.Helper()
	if !h.over() {
		h.Settle()
	}
	h.requireUsed(handle)
	return h.journal.all(keep)
}

// sender returns the module that sent the message of an entry.
func (e *entry) sender() string {
	if e.side == mono.SideSender {
		return e.module
	}
	return e.from
}
