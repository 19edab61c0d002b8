package inproc

import (
	"context"
	"math/rand/v2"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// begin begins a step: without an engine at once, and otherwise when the engine lets it.
// With an error the step does not happen; the Op then only tells whether its message is
// lost. m is nil for a step without faults. at is what [Transport.step] describes.
func (t *Transport) begin(ctx context.Context, action engine.Action, m *transport.Message, at any) (op *engine.Op, err error) {
	if t.backend.engine != nil {
		op, err = t.beginStep(ctx, action, m, at)
	}
	return op, err
}

func (t *Transport) beginStep(ctx context.Context, action engine.Action, m *transport.Message, at any) (*engine.Op, error) {
	s := t.step(action, m, at)
	op, err := t.backend.engine.Begin(ctx, engine.Point{Step: s, Message: m, ID: storedID(at), By: t, Closed: t.done})
	if err != nil {
		return op, err
	}
	if err := t.ready(ctx); err != nil {
		return nil, err // a fault has ended the Transport
	}
	return op, nil
}

// step describes a step of the Transport.
func (t *Transport) step(action engine.Action, m *transport.Message, at any) engine.Step {
	s := engine.Step{Action: action, Transport: t.number}
	if m != nil {
		s.Subject = m.Subject
	}
	switch at := at.(type) {
	case *inboxes:
		if asked := at.requestSubject(s.Subject); asked != "" {
			s.Action, s.Subject = engine.Reply, asked
		}
	case *subscription:
		s.Receiver, s.Group = at.number, at.group
	case *appending:
		s.Log = at.log.name
	case *acknowledgement:
		s.Log, s.Subject, s.Sequence = at.handle.log.name, at.subject, at.at.Sequence
	case *bucketHandle:
		s.Bucket, s.Key, s.Subject = at.name, s.Subject, ""
		at.inStore(&s)
	case *bucketReading:
		s.Bucket, s.Sequence = at.name, at.next
		at.inStore(&s)
	case *objectChunks:
		s.Store, s.Sequence, s.Subject = at.store.name, at.number(), ""
	case *reading:
		s.Log, s.Sequence = at.log.name, at.next
	case *member:
		s.Log, s.Group, s.Receiver = at.log.name, at.group.name, at.number
	case *delivery:
		m := at.member
		s.Log, s.Group, s.Receiver = m.log.name, m.group.name, m.number
		s.Sequence, s.Attempt = at.Sequence, at.Attempt
	}
	return s
}

// storedID returns the id with which the message of a step is stored, or "".
func storedID(at any) string {
	switch at := at.(type) {
	case *appending:
		return at.id
	case *delivery:
		return at.ID
	}
	return ""
}

// scheduled reports whether an engine takes the steps of s. The lock of s is held.
func (b *Backend) scheduled(s engine.Source) bool { return b.engine != nil && b.engine.Schedule(s) }

// pick returns a random number below n, for a message on a subject.
func (b *Backend) pick(n int, subject string) int {
	switch {
	case n == 1:
		return 0
	case b.engine == nil:
		return rand.IntN(n)
	}
	return b.engine.Pick(n, subject)
}

// hand calls the handler for a message: once, or as often as the engine lets it. It
// returns the work that the handler leaves to the caller.
func hand[M any](t *Transport, op *engine.Op, m M, clone func(M) M, begin func(M) transport.Work) transport.Work {
	if op == nil {
		return begin(m)
	}
	for range op.Times() {
		if t.closed.Load() {
			break // the handler has killed it
		}
		if w := begin(clone(m)); w != nil {
			go w.Run()
		}
	}
	_ = op.End(nil)
	return nil
}
