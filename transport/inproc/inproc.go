// Package inproc is a transport within one process: goroutines and channels, no
// sockets, no files.
//
// It is a backend like any other, not a mock. It follows the rules of core NATS:
// subjects and wildcards (ADR-6), one random member of each group, no answer at
// once when nobody is subscribed, bounded subscriptions that drop the newest,
// and a payload limit that counts the header.
//
// # Guarantees
//
// Those of package transport, and these:
//
//  1. A Transport is a backend of its own. Nothing is shared with another one,
//     and nothing is kept at package level.
//  2. A message has arrived at its subscriptions when Publish returns, though
//     their handlers may not have seen it.
//  3. It may run in a testing/synctest bubble. It blocks on channels, conditions
//     and contexts only, and holds no lock while it blocks or while it calls a
//     handler. After Close, each of its goroutines ends as soon as the handler
//     that it runs has returned.
//
// # Where it differs from NATS
//
// What random programs found that run on both, and inproc keeps on purpose, since
// the other way is a server's slip (nats-server 2.15.2):
//
//   - What is purged is settled, also where a member has it in hand. NATS takes
//     messages of a subject that are purged together for in flight until their
//     members settle them, and may say that a group has settled more than it has.
//   - Undelivered of a group that began at the last message of each subject is
//     exact. NATS counts too few when other messages are removed before the group
//     gets there.
//
// Publish on a subject that was published on lately takes no lock but that of
// each queue it adds to, however many subscriptions there are.
//
// # Steps
//
// A Backend with [Options].Rest is for tests that want to know, and to choose, what
// happens in which order. It takes one [Step] at a time, when all is at rest: each
// is picked by the Seed among everything that could happen next, whether it is a
// goroutine that publishes, a subscription's next message, a group's next delivery
// and the member that gets it, or one of the messages whose time has come at the
// same instant. The lanes of an ordered group go ahead of each other, as they do on
// NATS. So in a testing/synctest bubble, where Rest is synctest.Wait, the same Seed
// gives the same [Backend.Steps], as long as what the handlers do depends on
// nothing but what they get: neither on chance, nor on which of two goroutines that
// are awake at once is first. Two that wait to do exactly the same are told apart by
// who came first.
//
// Steps take no time. A bubble has one synctest.Wait at a time: use
// [Backend.Settle] instead, and one such Backend per bubble. Outside a bubble steps
// are taken one at a time as well, but only Rest knows when.
//
// [Options].Fault works with and without it: see [Point] and [Verdict].
package inproc

import (
	"context"
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

// DefaultMaxPayload is the payload limit unless Options say otherwise: 1 MiB, as
// for a NATS server.
const DefaultMaxPayload = 1 << 20

// Options of a Backend. The zero value is good to use.
type Options struct {
	// MaxPayload is the size of the largest message in bytes, header included.
	// 0 is DefaultMaxPayload; a negative one is no limit.
	MaxPayload int

	// Seed makes the picks among the members of a group repeatable, as far as
	// messages are published in the same order, and, with Rest, all that happens. 0
	// is a random seed.
	Seed uint64

	// Rest, if not nil, lets nothing happen by itself: whoever publishes, requests,
	// appends, settles or reads waits, as does every message that could be handed
	// to a handler or whose time has come, until Rest has returned and the Seed has
	// picked one of them. See the section on steps.
	//
	// Rest returns when everything else has come to rest: in a testing/synctest
	// bubble it is synctest.Wait. It is called by one goroutine at a time.
	Quiesce func()

	// Fault, if not nil, is asked before and after each step that a message takes
	// what is to become of it. It may be called concurrently, where Rest is nil.
	Fault func(Point) FaultAction
}

// Transport carries messages within the process: a connection to a Backend. Make
// one with New, or with Connect.
type Transport struct {
	backend *Backend
	number  int // in the order in which they were connected
	closed  atomic.Bool
	done    chan struct{} // closed when it is

	mu         sync.Mutex
	receivers  map[receiver]struct{} // nil after Close
	subscribed uint64                // subscriptions so far
}

// receiver is what a Transport ends with itself.
type receiver interface {
	transport.Receiver
	silence() // nothing more comes
	kill()
}

var _ transport.Transport = (*Transport)(nil)

// New makes a Transport with a Backend of its own. A nil o is the zero Options. It
// holds no goroutine until something is received; Close ends those.
func New(o *Options) *Transport { return NewBackend(o).Connect() }

func payloadLimit(option int) int {
	if option == 0 {
		return DefaultMaxPayload
	}
	return max(option, 0)
}

// Capabilities implements [transport.Transport]. A log lives as long as its
// Backend, one with FileStorage too.
func (t *Transport) Capabilities() transport.Capabilities {
	return transport.Capabilities{Name: "inproc", MaxPayload: t.backend.maxPayload, Logs: true, Delays: true, Lanes: true}
}

// Ping implements [transport.Transport].
func (t *Transport) Ping(ctx context.Context) error {
	return t.ready(ctx, "ping", "inproc")
}

// Watch implements [transport.Transport]. Nothing is denied in process.
func (t *Transport) Watch(func(transport.Denial)) (stop func()) { return func() {} }

// Publish implements [transport.Transport].
func (t *Transport) Publish(ctx context.Context, m *transport.Message) error {
	if err := t.admit(ctx, m); err != nil {
		return err
	}
	if t.backend.watched {
		return t.publishStep(ctx, m)
	}
	t.backend.deliver(m)
	return nil
}

// publishStep is a Publish, or the reply to a request, as a step.
func (t *Transport) publishStep(ctx context.Context, m *transport.Message) error {
	s := Step{Action: Publish, Subject: m.Subject}
	if asked := t.backend.inboxes.subjectOf(m.Subject); asked != "" {
		s.Action, s.Subject = Reply, asked
	}
	return t.act(ctx, s, m, func(times int) error {
		for range times {
			t.backend.deliver(m)
		}
		return nil
	}, nil)
}

// Request implements [transport.Transport].
func (t *Transport) Request(ctx context.Context, m *transport.Message) (*transport.Message, error) {
	if err := t.admit(ctx, m); err != nil {
		return nil, err
	}
	if m.Reply != "" {
		return nil, transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"request on %q has the reply subject %q: leave it empty, the transport sets it", m.Subject, m.Reply)
	}
	if t.backend.watched {
		return t.requestStep(ctx, m)
	}
	return t.request(ctx, m, 1)
}

// requestStep is a Request as a step, which has taken effect when its reply has
// come.
func (t *Transport) requestStep(ctx context.Context, m *transport.Message) (reply *transport.Message, err error) {
	err = t.act(ctx, Step{Action: Request, Subject: m.Subject}, m, func(times int) (err error) {
		reply, err = t.request(ctx, m, times)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// request sends m that many times, and waits for the first reply. Sent 0 times it
// is lost, which nobody notices.
func (t *Transport) request(ctx context.Context, m *transport.Message, times int) (*transport.Message, error) {
	done, deadline := t.limit(ctx)
	in, ok := t.backend.inboxes.open(t, m.Subject, deadline)
	if !ok {
		return nil, errClosed("request on", m.Subject)
	}
	request := *m
	request.Reply = in.subject
	for range times {
		if t.backend.deliver(&request) == 0 {
			t.backend.inboxes.close(in)
			return nil, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone,
				"request on %q: nobody is subscribed", m.Subject)
		}
	}
	return t.await(ctx, done, m.Subject, in)
}

// limit returns what ends ctx: a channel, and a deadline by the Backend's clock where
// the channel would need a timer.
func (t *Transport) limit(ctx context.Context) (done <-chan struct{}, deadline int64) {
	limited, ok := ctx.(transport.Limited)
	if !ok {
		return ctx.Done(), never
	}
	parent, end := limited.Limit()
	return parent.Done(), t.backend.clock.at(end)
}

// await waits for the first reply. A reply that came before the context ended
// is returned even when both are noticed at once.
func (t *Transport) await(ctx context.Context, done <-chan struct{}, subject string, in *inbox) (*transport.Message, error) {
	var reply *transport.Message
	ended := false
	select {
	case reply = <-in.reply:
	case <-done:
		if ended = t.backend.inboxes.take(in); !ended {
			reply = <-in.reply
		}
	}
	ended = ended || reply == nil && in.late
	t.backend.inboxes.recycle(in)
	switch {
	case ended:
		return nil, transport.ContextError(ctx, transport.OutcomeUnknown,
			"request on %q: %w while it waited for the reply", subject, ctx.Err())
	case reply == nil:
		return nil, transport.Errorf(transport.Unavailable, transport.OutcomeUnknown,
			"request on %q: the transport was closed while it waited for the reply", subject)
	}
	return reply, nil
}

// Subscribe implements [transport.Transport]. It ignores s.Endpoint: there is
// nothing to discover within a process.
func (t *Transport) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	if err := validate(s, h); err != nil {
		return nil, err
	}
	if err := t.ready(ctx, "subscribe to", s.Subject); err != nil {
		return nil, err
	}
	sub := newSubscription(t, s, h)
	t.backend.router.add(sub)
	if !t.own(sub) {
		sub.end()
		return nil, errClosed("subscribe to", s.Subject)
	}
	return sub, nil
}

// Log implements [transport.Transport].
func (t *Transport) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := t.ready(ctx, "log", c.Name); err != nil {
		return nil, err
	}
	l, err := t.backend.openLog(c)
	if err != nil {
		return nil, err
	}
	l.declare(t, c.Groups)
	return newHandle(t, l), nil
}

// Close implements [transport.Transport]. What was published has left already, so
// it does not wait. The Backend and its logs remain for others.
func (t *Transport) Close(context.Context) error {
	t.end(receiver.Close)
	return nil
}

// Kill does what the sudden end of its process would do: nothing that the
// Transport holds is handed back, so that members of its groups elsewhere get it
// after their AckWait, counted from now. What its handlers, which a test cannot
// stop, send and settle afterwards is Unavailable and has no effect.
func (t *Transport) Kill() { t.end(receiver.kill) }

// end lets nothing more be done with the Transport, and ends its receivers: all of
// them get nothing more before what the first one held goes to others.
func (t *Transport) end(how func(receiver)) {
	t.mu.Lock()
	receivers := t.receivers
	t.receivers = nil
	if !t.closed.Swap(true) {
		close(t.done)
	}
	t.mu.Unlock()
	for r := range receivers {
		r.silence()
	}
	for r := range receivers {
		how(r)
	}
	t.backend.inboxes.closeAll(t)
}

// own makes a receiver end with the Transport. It reports false when that has
// ended.
func (t *Transport) own(r receiver) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.receivers == nil {
		return false
	}
	t.receivers[r] = struct{}{}
	if s, ok := r.(*subscription); ok {
		t.subscribed++
		s.number = t.subscribed
	}
	return true
}

// disown ends what own began.
func (t *Transport) disown(r receiver) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.receivers, r)
}

// admit reports why m cannot be published now.
func (t *Transport) admit(ctx context.Context, m *transport.Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if err := m.CheckSize(t.backend.maxPayload); err != nil {
		return err
	}
	return t.ready(ctx, "message on", m.Subject)
}

// ready reports why nothing can be done now: what was asked for, and its name,
// are for the error.
func (t *Transport) ready(ctx context.Context, what, name string) error {
	if t.closed.Load() {
		return errClosed(what, name)
	}
	if err := ctx.Err(); err != nil {
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%s %q: %w before it began", what, name, err)
	}
	return nil
}

func errClosed(what, name string) error {
	return transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "%s %q: the transport is closed", what, name)
}
