package inproc

import (
	"context"
	"time"

	"gomono.dev/transport"
)

// Point is a place where a fault can be put in: before a step takes effect, or
// after.
type Point struct {
	Step   // its At and Of are 0
	Moment Moment

	// By is the Transport that acts, for a Verdict that kills it.
	By *Transport

	// Message is what the step is about. It must not be changed, nor kept.
	Message *transport.Message
}

// Moment is on which side of a step a Point is.
type Moment string

// The moments. After a Request is when its reply has come; around a Deliver runs
// the handler that the Transport was given.
const (
	Before Moment = "before"
	After  Moment = "after"
)

// Verdict says what happens at a Point. Its zero value lets everything go on. What
// is set happens in the order of the fields; of Drop, Twice, LoseAck and Err one is
// enough.
type FaultAction struct {
	// Run is called, on the goroutine that takes the step. When it kills the
	// Transport, nothing more happens: what has not taken effect never does.
	Run func()

	// Delay is how long the step, or what follows it, has to wait. A message that
	// waits for its handler holds up those behind it in its subscription, or as many
	// as its member may have in flight.
	Delay time.Duration

	// Drop, before a step, is the loss of the message on its way. The sender of a
	// Publish or a Reply does not notice; a Request waits until its context ends; an
	// Append is Unavailable with an unknown outcome; a Delivery from a log, and a
	// settlement, which does not notice either, lets the message come again after
	// the AckWait.
	Drop bool

	// Twice, before a step, lets it take effect twice: a Message is there a second
	// time, an Append with an id is a duplicate then, and a handler gets a delivery
	// again, as the same attempt, with one settlement for both.
	Duplicate bool

	// LoseAck lets the step take effect, and whoever took it hear that this is
	// unknown: Unavailable. It means nothing around a Deliver.
	AmbiguousSend bool

	// Err is what whoever takes the step gets: before, instead of its effect; after,
	// although it has taken effect. Before a Deliver it is a Drop whose message
	// comes again at once.
	Err error
}

// times is how often a step takes effect.
func (v *FaultAction) times() int {
	switch {
	case v.Drop || v.Err != nil:
		return 0
	case v.Duplicate:
		return 2
	}
	return 1
}

// ask asks for a verdict, and lets happen what precedes it. It reports true when
// the step has to be picked anew, because it has waited.
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

// act takes a step for a caller who waits for it. effect makes it happen that many
// times: 0 is the loss of the message. refused, if not nil, is told that a fault's
// error takes the place of the effect.
func (t *Transport) act(ctx context.Context, s Step, m *transport.Message, effect func(times int) error, refused func()) error {
	s.Transport = t.number
	if err := t.backend.turn(ctx, s, m.Body); err != nil {
		return err
	}
	before, waited := t.ask(ctx, &s, Before, m)
	if waited {
		if err := t.backend.turn(ctx, s, m.Body); err != nil {
			return err
		}
	}
	if err := t.ready(ctx, string(s.Action), s.Subject); err != nil {
		return err
	}
	if before.Err != nil {
		if refused != nil {
			refused()
		}
		return before.Err
	}
	err := effect(before.times())
	after, waited := t.ask(ctx, &s, After, m)
	if waited {
		_ = t.backend.turn(context.WithoutCancel(ctx), s, m.Body)
	}
	switch {
	case t.closed.Load():
		return t.unheard(&s, "the transport was closed")
	case after.Err != nil:
		return after.Err
	case before.AmbiguousSend || after.AmbiguousSend || after.Drop:
		return t.unheard(&s, "its acknowledgement was lost")
	}
	return err
}

// unheard is the error of a step of which nobody hears whether it happened.
func (t *Transport) unheard(s *Step, why string) error {
	return transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "%s %q: %s", s.Action, s.Subject, why)
}
