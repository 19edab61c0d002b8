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
// Publish on a subject that was published on lately takes no lock but that of
// each queue it adds to, however many subscriptions there are.
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
	// messages are published in the same order. 0 is a random seed.
	Seed uint64
}

// Transport carries messages within the process: a connection to a Backend. Make
// one with New, or with Connect.
type Transport struct {
	backend *Backend
	closed  atomic.Bool
	done    chan struct{} // closed when it is

	mu        sync.Mutex
	receivers map[receiver]struct{} // nil after Close
}

// receiver is what a Transport ends with itself.
type receiver interface {
	transport.Receiver
	kill()
}

var _ transport.Transport = (*Transport)(nil)

// New makes a Transport with a Backend of its own. A nil o is the zero Options. It
// holds no goroutine until something is subscribed; Close ends those.
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

// Publish implements [transport.Transport].
func (t *Transport) Publish(ctx context.Context, m *transport.Message) error {
	if err := t.admit(ctx, m); err != nil {
		return err
	}
	t.backend.deliver(m)
	return nil
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
	in, ok := t.backend.inboxes.open(t)
	if !ok {
		return nil, errClosed("request on", m.Subject)
	}
	request := *m
	request.Reply = in.subject
	if t.backend.deliver(&request) == 0 {
		t.backend.inboxes.close(in)
		return nil, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone,
			"request on %q: nobody is subscribed", m.Subject)
	}
	return t.await(ctx, m.Subject, in)
}

// await waits for the first reply. A reply that came before the context ended
// is returned even when both are noticed at once.
func (t *Transport) await(ctx context.Context, subject string, in *inbox) (*transport.Message, error) {
	var reply *transport.Message
	select {
	case reply = <-in.reply:
	case <-ctx.Done():
		if t.backend.inboxes.close(in) {
			return nil, transport.ContextError(ctx, transport.OutcomeUnknown,
				"request on %q: %w while it waited for the reply", subject, ctx.Err())
		}
		reply = <-in.reply
	}
	t.backend.inboxes.recycle(in)
	if reply == nil {
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
	go sub.run()
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

// end lets nothing more be done with the Transport, and ends its receivers.
func (t *Transport) end(how func(receiver)) {
	t.mu.Lock()
	receivers := t.receivers
	t.receivers = nil
	if !t.closed.Swap(true) {
		close(t.done)
	}
	t.mu.Unlock()
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
