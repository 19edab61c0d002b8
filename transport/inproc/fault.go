package inproc

import (
	"context"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// Point is a place where a fault can be injected: before or after a step takes effect.
type Point struct {
	Step   // its At and Of are 0
	Moment Moment

	// By is the Transport that takes the step. A FaultAction may kill it.
	By *Transport

	// Message is the message of the step. It must not be changed or kept.
	Message *transport.Message
}

// Moment specifies whether a Point is before or after a step.
type Moment string

// The moments. After a Request is when its reply has arrived. Before and After a Deliver
// enclose the call of the handler.
const (
	Before Moment = "before"
	After  Moment = "after"
)

// FaultAction specifies what happens at a Point. The zero value changes nothing. The
// fields that are set take effect in their order. Only one of Drop, Duplicate,
// AmbiguousSend and Err should be set.
type FaultAction struct {
	// Run is called on the goroutine that takes the step. If it kills the Transport, a
	// step that has not taken effect never does.
	Run func()

	// Delay is how long the step, or the code after it, must wait. A message that waits
	// for its handler delays the later messages of its subscription. For a member of a
	// group, it counts against MaxInFlight.
	Delay time.Duration

	// Drop, before a step, loses the message. The sender of a Publish or a Reply gets no
	// error. A Request waits until its context ends. An Append is Unavailable with an
	// unknown outcome. After a lost Delivery of a log, or a lost settlement, the message
	// is redelivered after the AckWait; a lost settlement returns no error.
	Drop bool

	// Duplicate, before a step, lets it take effect twice. A message is sent twice, and
	// an Append with an id is stored once and is a duplicate. A handler gets a delivery
	// twice, as the same attempt, with one settlement for both.
	Duplicate bool

	// AmbiguousSend lets the step take effect, but returns Unavailable with an unknown
	// outcome. It has no effect around a Deliver.
	AmbiguousSend bool

	// Err is returned from the step: before, instead of its effect; after, although it
	// has taken effect. Before a Deliver it acts like Drop, but the message is
	// redelivered at once.
	Err error
}

// times returns how often a step takes effect.
func (v *FaultAction) times() int {
	switch {
	case v.Drop || v.Err != nil:
		return 0
	case v.Duplicate:
		return 2
	}
	return 1
}

// ask returns the FaultAction for a Point, after its Run and Delay. It returns true if
// the step has waited and must be picked again.
func (t *Transport) ask(ctx context.Context, s *Step, moment Moment, m *transport.Message) (v FaultAction, waited bool) {
	if t.backend.fault == nil {
		return v, false
	}
	v = t.backend.fault(Point{Step: *s, Moment: moment, By: t, Message: m})
	if v.Run != nil {
		v.Run()
	}
	if v.Delay <= 0 {
		return v, false
	}
	timer := time.NewTimer(v.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-t.done:
	}
	return v, true
}

// act takes a step for a caller that waits for it. effect makes it happen the given
// number of times; 0 means that the message is lost. refused, if not nil, is called if
// the error of a fault replaces the effect.
func (t *Transport) act(ctx context.Context, s Step, m *transport.Message, effect func(times int) error, refused func()) error {
	s.Transport = t.number
	if err := t.backend.awaitStep(ctx, s, m.Body); err != nil {
		return err
	}
	before, waited := t.ask(ctx, &s, Before, m)
	if waited {
		if err := t.backend.awaitStep(ctx, s, m.Body); err != nil {
			return err
		}
	}
	if err := t.ready(ctx); err != nil {
		return err
	}
	if before.Err != nil {
		if refused != nil {
			refused()
		}
		return driver.Verbatim(before.Err)
	}
	err := effect(before.times())
	after, waited := t.ask(ctx, &s, After, m)
	if waited {
		_ = t.backend.awaitStep(context.WithoutCancel(ctx), s, m.Body)
	}
	switch {
	case t.closed.Load():
		return t.unknownOutcome(&s, "the transport was closed")
	case after.Err != nil:
		return driver.Verbatim(after.Err)
	case before.AmbiguousSend || after.AmbiguousSend || after.Drop:
		return t.unknownOutcome(&s, "its acknowledgement was lost")
	}
	return err
}

// unknownOutcome returns the error of a step with an unknown outcome.
func (t *Transport) unknownOutcome(s *Step, why string) error {
	return transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "%s %q: %s", s.Action, s.Subject, why)
}
