package testkit

import (
	"context"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

var (
	_ mono.Middleware = (*process)(nil)
	_ mono.Observer   = (*process)(nil)
)

// Wrap implements mono.Middleware: it records passing messages. It is innermost, so that it
// sees the messages that leave and the handler's result.
func (p *process) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) (err error) {
		e := p.h.journal.begin(p, c)
		returned := false
		defer func() {
			if !returned {
				err = errGoexit
			}
			p.h.journal.end(e, c, err)
		}()
		err = next(ctx, c)
		returned = true
		if c.Side() == mono.SideReceiver {
			p.h.faults.slow(ctx, e)
		}
		return err
	}
}

// WatchMessages makes messages carry the same as without the journal.
func (p *process) WatchMessages() {}

// The journal's own headers of an event that is not stored, which may carry neither its id nor its
// sender. No handler sees them.
const (
	headerID     = "Testkit-Id"
	headerSender = "Testkit-Sender"
)

// identify returns the id and the sender of a message for the journal.
func (p *process) identify(c *mono.Call) (id, from string) {
	k := keyOf(c.Handle())
	switch id = c.Header(headerID); {
	case k.kind != mono.KindEvent:
	case c.Side() == mono.SideReceiver && id != "":
		from = c.Header(headerSender)
		c.DelHeader(headerID)
		c.DelHeader(headerSender)
		return id, from
	case c.Side() == mono.SideSender && !p.program().topology.isStored(k):
		c.SetHeader(headerID, c.ID())
		c.SetHeader(headerSender, c.Module())
	}
	return c.ID(), c.Sender()
}

// identityOf returns the id and the sender that the journal has of a message of the transport.
func identityOf(m *transport.Message) (id, from string) {
	if id = m.Header.Get(headerID); id != "" {
		return id, m.Header.Get(headerSender)
	}
	return m.Header.Get(transport.HeaderID), m.Header.Get(transport.HeaderSender)
}

// errGoexit is the error of a handler that ended its goroutine.
var errGoexit = mono.Errorf(mono.Internal, "the handler ended its goroutine, as Fatal does: return an error")

// Observe implements mono.Observer.
func (p *process) Observe(o mono.Observation) {
	if p.crashed.Load() {
		return
	}
	j := p.h.journal
	switch o := o.(type) {
	case mono.HandleBound:
		p.program().topology.bound(o)
	case mono.Configured:
		p.program().topology.configured(o)
	case mono.MessageRetried:
		j.decide(attemptKey{messageKey{keyOf(o.Handle), o.ID}, o.Group, o.Attempt}, decision{result: ResultRetried, wait: o.Wait})
	case mono.MessageDeadLettered:
		j.decide(attemptKey{messageKey{keyOf(o.Handle), o.ID}, o.Group, o.Attempts}, decision{result: ResultDeadLettered, reason: o.Reason})
		j.addDeadLetter(p, o)
	case mono.MessageDeduplicated:
		j.note(p, "a message of %s %s with the id %q is a duplicate: it was stored before", o.Handle.Kind(), o.Handle.Name(), o.ID)
	case mono.HandlerStuck:
		j.note(p, "%s: the handler of %s %s is stuck since %v", p.module(o.Module), o.Handle.Kind(), o.Handle.Name(), clock(o.Since.Sub(j.began)))
	case mono.MessagesDropped:
		j.note(p, "%s: messages of %s %s are dropped, its handler is too slow", p.module(o.Module), o.Handle.Kind(), o.Handle.Name())
	case mono.Panicked:
		p.panicked(o)
	case mono.ReferenceChanged:
		p.referenceChanged(o)
	}
}

// panicked records a panic that was contained.
func (p *process) panicked(o mono.Panicked) {
	p.h.journal.note(p, "panic in %s: %v", p.program().of(o.Where), o.Value)
	if !p.h.panicsOK {
		p.h.t.Errorf("testkit: %s panicked: %v\n%s\npermit it with h.AllowPanics()", p.program().of(o.Where), o.Value, o.Stack)
	}
}

// module names a module of the process in a text.
func (p *process) module(name string) string { return p.program().of("module " + name) }

// wait waits for d, or for the end of ctx.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
