// Package inproctest has a Backend of inproc for tests that need to know, and to choose,
// the order of events, and what goes wrong.
//
// # Steps
//
// A Backend with [Options].Quiesce takes one [Step] at a time, when everything is idle.
// The Seed picks each step among all that could happen next: a goroutine that publishes,
// a subscription's next message, a group's next delivery and the member that gets it, or
// one of several messages that are due at the same instant. The partitions of an ordered group
// may overtake each other, as on NATS. In a testing/synctest bubble, where Quiesce is
// synctest.Wait, the same Seed gives the same [Backend.Steps], provided that the handlers
// depend only on their input: neither on chance, nor on the order of two goroutines that
// run at the same time. Two identical waiting steps are distinguished by their order of
// arrival.
//
// Steps take no time. A bubble has one synctest.Wait at a time: use [Backend.Settle]
// instead, and one such Backend per bubble. Outside a bubble steps are taken one at a
// time as well, but only Quiesce determines when.
//
// # Faults
//
// [Options].Fault works with and without steps: see [Point] and [FaultAction].
package inproctest

import (
	"context"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Options are the options of a Backend.
type Options struct {
	// MaxPayload is the maximum size of a message in bytes, as in [inproc.Options].
	MaxPayload int

	// Seed makes the choice of group members repeatable, if messages are published in the
	// same order. With Quiesce it makes all steps repeatable. 0 means a random seed.
	Seed uint64

	// Quiesce, if not nil, makes the Backend take one step at a time. Every publish,
	// request, append, settlement, put, get and read waits, and so does every message
	// that is ready for a handler or due, until Quiesce has returned and the Seed has
	// picked one of them.
	//
	// Quiesce returns when everything else is idle: in a testing/synctest bubble it is
	// synctest.Wait. It is called by one goroutine at a time.
	Quiesce func()

	// Fault, if not nil, is called before and after each step of a message or a record, and
	// returns what happens to it. It may be called concurrently if Quiesce is nil.
	Fault func(Point) FaultAction

	// Aside, if not nil, reports the subjects of messages that are not part of the test.
	// They are no steps: they happen at once, without faults, and the Seed decides nothing
	// about them. It may be called concurrently, and with "".
	Aside func(subject string) bool
}

// Backend is an [inproc.Backend] whose steps and faults a test chooses.
type Backend struct {
	*inproc.Backend
	scheduler *scheduler // nil without Quiesce
}

// NewBackend returns a new Backend.
func NewBackend(o Options) *Backend {
	c := &control{picker: newPicker(o.Seed), fault: o.Fault, aside: o.Aside}
	if o.Quiesce != nil {
		c.scheduler = &scheduler{quiesce: o.Quiesce, picker: newPicker(o.Seed), began: time.Now()}
	}
	return &Backend{inproc.NewBackend(inproc.Options{MaxPayload: o.MaxPayload, Engine: c}), c.scheduler}
}

// Steps returns all steps taken so far, in order. Without Options.Quiesce it returns nil.
func (b *Backend) Steps() []Step { return b.scheduler.taken() }

// AwaitStep makes a step of an external action: it waits until s is picked. body
// distinguishes s from another step with the same fields; it is not kept. Without
// Options.Quiesce it returns at once. It returns an error if ctx ends first.
func (b *Backend) AwaitStep(ctx context.Context, s Step, body []byte) error {
	return b.scheduler.await(ctx, s, body)
}

// Settle waits until nothing more can happen unless time passes, or until ctx ends. It
// needs Options.Quiesce, and the caller must be the only goroutine that starts new work.
func (b *Backend) Settle(ctx context.Context) error {
	if b.scheduler == nil {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "settle: the Backend cannot detect that it is idle: set Options.Quiesce")
	}
	settled := b.scheduler.settled()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeUnknown, "settle: %w before the Backend was idle", ctx.Err())
	}
}
