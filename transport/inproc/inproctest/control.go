package inproctest

import (
	"cmp"
	"context"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/internal/engine"
)

// control implements [engine.Engine].
type control struct {
	picker    *picker
	scheduler *scheduler // nil without steps
	fault     func(Point) FaultAction
	aside     func(subject string) bool
}

// isAside reports whether messages on a subject are no steps.
func (c *control) isAside(subject string) bool { return c.aside != nil && c.aside(subject) }

// Pick returns a random number below n.
func (c *control) Pick(n int, subject string) int {
	if c.isAside(subject) {
		return 0
	}
	return c.picker.pick(n)
}

// Schedule leaves the steps of s to the scheduler, if there is one.
func (c *control) Schedule(s engine.Source) bool {
	if c.scheduler == nil {
		return false
	}
	if c.aside != nil {
		if next, _ := s.Next(); c.aside(next.Subject) {
			return false
		}
	}
	c.scheduler.propose(s)
	return true
}

// Begin waits until a step is picked, and asks for its fault. A delivery has been picked
// by its source.
func (c *control) Begin(ctx context.Context, p engine.Point) (*engine.Op, error) {
	if c.isAside(p.Subject) {
		return nil, nil
	}
	if p.Action != Deliver {
		if err := c.await(ctx, &p); err != nil {
			return nil, err
		}
	}
	b := &begun{control: c, Point: p, ctx: ctx}
	var err error
	if b.before, err = b.ask(ctx, Before); err != nil {
		return nil, err
	}
	if b.before.Err != nil {
		return &engine.Op{}, injected(p.Action, b.before.Err)
	}
	b.op = engine.Op{N: b.before.times(), Old: b.before.Stale, Ender: b}
	return &b.op, nil
}

func (c *control) await(ctx context.Context, p *engine.Point) error {
	var body []byte
	if p.Message != nil {
		body = p.Message.Body
	}
	return c.scheduler.await(ctx, Step(p.Step), body)
}

// begun is a step that was picked, and may have faults.
type begun struct {
	control *control
	engine.Point
	op     engine.Op
	ctx    context.Context // of the caller, who waits for the step
	before FaultAction
}

// ask returns the FaultAction of a phase, after its Run and Delay. A step that has waited
// must be picked again.
func (b *begun) ask(ctx context.Context, phase Phase) (a FaultAction, err error) {
	if b.control.fault == nil || b.Message == nil {
		return a, nil
	}
	a = b.control.fault(Point{Step: Step(b.Step), Phase: phase, By: b.By.(*inproc.Transport), Message: b.Message, ID: b.ID})
	if a.Run != nil {
		a.Run()
	}
	if a.Delay <= 0 {
		return a, nil
	}
	timer := time.NewTimer(a.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-b.Closed:
	}
	if phase == After {
		ctx = context.WithoutCancel(ctx)
	}
	return a, b.control.await(ctx, &b.Point)
}

// End asks for the fault after the effect, and returns the error for the caller.
func (b *begun) End(err error) error {
	after, _ := b.ask(b.ctx, After)
	switch {
	case b.control.fault != nil && b.closed(): // a fault may have killed the process
		return b.unknownOutcome("the transport was closed")
	case after.Err != nil:
		return injected(b.Action, after.Err)
	case b.before.AmbiguousSend || after.AmbiguousSend || after.Drop:
		return b.unknownOutcome("its acknowledgement was lost")
	case b.before.Drop && b.awaited():
		return b.unknownOutcome("its acknowledgement did not arrive")
	}
	return err
}

// awaited reports whether the caller waits for an acknowledgement, and learns that it did
// not arrive.
func (b *begun) awaited() bool { return b.Action == Append || b.Action == Put || b.Action == Get }

func (b *begun) closed() bool {
	select {
	case <-b.Closed:
		return true
	default:
		return false
	}
}

func (b *begun) unknownOutcome(why string) error {
	return transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "%s %q: %s", b.Action, cmp.Or(b.Subject, b.Key), why)
}

// injected returns the error of a fault in a form that reaches the caller unchanged. The
// errors of settlements and of buckets do not pass the driver.
func injected(a engine.Action, err error) error {
	switch a {
	case Ack, Nak, Release, Terminate, Put, Get:
		return err
	}
	return driver.Verbatim(err)
}
