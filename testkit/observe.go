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
	From     string // the module that sent it, "" for the test
	Sequence uint64 // of a stored message, where its sender was told
	At       time.Duration
}

// Exchange is a call.
type Exchange[Req, Resp any] struct {
	Request Req
	Reply   Resp  // the zero value with an error
	Err     error // what the caller got
	From    string
	At      time.Duration // when it began
	Took    time.Duration
}

// Delivery is one attempt of a handler at a message. One of a batch is one each.
type Delivery[T any] struct {
	Value    T
	ID       string
	Module   string // that handled it
	From     string
	Group    string
	Instance int // of the App, from 1
	Attempt  int
	Sequence uint64
	Result   HandlerResult
	Err      error         // what the handler returned
	At       time.Duration // when it began
	Took     time.Duration
}

// Dead is a message that became a dead letter.
type Dead[T any] struct {
	Value    T // as its handler had it, or its sender where no handler had; else the zero value
	ID       string
	Module   string
	Group    string
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

// Published returns the events that left, in order: those that their publisher
// believes published, and those of which it does not know although they were. What
// was stored once is there once, however often it was sent with its id. Like every
// question it waits first until nothing can happen any more.
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
	for _, e := range h.asked(handle, isSent(keyOf(handle))) {
		v, _ := e.value.(T)
		sent := Sent[T]{Value: v, ID: e.id, From: e.module, Sequence: e.sequence, At: e.at}
		if e.arrived() && !slices.ContainsFunc(all, sent.again) {
			all = append(all, sent)
		}
	}
	return all
}

// again reports whether two messages are the same one, sent twice: they have one id,
// and no two positions.
func (s Sent[T]) again(other Sent[T]) bool {
	return s.ID == other.ID && (s.Sequence == other.Sequence || s.Sequence == 0 || other.Sequence == 0)
}

// arrived reports whether a message left its sender.
func (e *entry) arrived() bool {
	switch {
	case !e.ended:
		return e.left
	case e.err == nil:
		return true
	}
	return e.left && mono.OutcomeOf(e.err) == mono.OutcomeUnknown
}

// Called returns the calls of a service, in the order in which they began.
func Called[Req, Resp any](h *Harness, s mono.Service[Req, Resp]) []Exchange[Req, Resp] {
	h.t.Helper()
	return exchanges[Req, Resp](h, s, isSent(keyOf(s)))
}

// Served is Called on the side of the handler: a call that was doubled is there
// twice, one that was lost is not.
func Served[Req, Resp any](h *Harness, s mono.Service[Req, Resp]) []Exchange[Req, Resp] {
	h.t.Helper()
	return exchanges[Req, Resp](h, s, isHandled(keyOf(s)))
}

func exchanges[Req, Resp any](h *Harness, s mono.Service[Req, Resp], side func(*entry) bool) []Exchange[Req, Resp] {
	h.t.Helper()
	var all []Exchange[Req, Resp]
	for _, e := range h.asked(s, side) {
		x := Exchange[Req, Resp]{Err: e.err, From: e.sender(), At: e.at, Took: e.lasted}
		x.Request, _ = e.value.(Req)
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
	for _, e := range h.asked(m, isHandled(keyOf(m))) {
		d := Delivery[T]{
			ID: e.id, Module: e.module, From: e.from, Group: e.group, Instance: e.process.instance, Attempt: e.attempt, Sequence: e.sequence,
			Err: e.err, At: e.at, Took: e.lasted,
		}
		batch, ok := e.value.([]mono.Message[T])
		if !ok {
			d.Value, _ = e.value.(T)
			d.Result = h.journal.outcome(&e, e.id, e.err)
			all = append(all, d)
			continue
		}
		for i, message := range batch {
			d.Value, d.ID, d.Attempt, d.Sequence = message.Value, message.ID, message.Attempt, message.Sequence
			d.Err = ownError(e.err, i, len(batch))
			one := e
			one.attempt = message.Attempt
			d.Result = h.journal.outcome(&one, message.ID, d.Err)
			all = append(all, d)
		}
	}
	return all
}

// ownError is the error of one message of a batch, as mono.PerMessage says.
func ownError(err error, i, n int) error {
	var each interface{ Unwrap() []error }
	if errors.As(err, &each) && len(each.Unwrap()) == n {
		return each.Unwrap()[i]
	}
	return err
}

// DeadLettered returns the messages of a handle that became dead letters, in order.
func DeadLettered[T any](h *Harness, m Messages[T]) []Dead[T] {
	h.t.Helper()
	var all []Dead[T]
	for _, e := range h.asked(m, func(e *entry) bool { return e.died != nil && e.handle == keyOf(m) }) {
		d := Dead[T]{ID: e.id, Module: e.module, Group: e.group, Attempts: e.died.Attempts, Reason: e.died.Reason, Err: e.err, At: e.at}
		h.journal.eachValue(&e, func(value any) {
			if v, ok := value.(T); ok {
				d.Value = v
			}
		})
		all = append(all, d)
	}
	return all
}

// asked answers a question about a handle, once all is at rest.
func (h *Harness) asked(handle mono.Handle, keep func(*entry) bool) []entry {
	h.t.Helper()
	if !h.over() {
		h.Settle()
	}
	h.mustKnow(handle)
	return h.journal.all(keep)
}

// sender is the module that a message of an entry comes from.
func (e *entry) sender() string {
	if e.side == mono.SideSender {
		return e.module
	}
	return e.from
}
