// Package inproc is a transport within one process: goroutines and channels, no sockets,
// no files.
//
// It is a full backend, not a mock. It follows the rules of core NATS: subjects and
// wildcards (ADR-6), one random member of each group, an immediate error for a request
// without subscribers, bounded subscriptions that drop the newest messages, and a payload
// limit that counts the header.
//
// # Guarantees
//
// In addition to the guarantees of package transport:
//
//  1. Each Transport of New has a separate backend. It shares nothing with another one,
//     and nothing is kept at package level.
//  2. When Publish returns, the message is queued at its subscriptions. Their handlers
//     may not have received it yet.
//  3. A Transport can run in a testing/synctest bubble. It blocks only on channels,
//     conditions and contexts, and holds no lock while it blocks or calls a handler.
//     After Close, each of its goroutines ends as soon as the handler that it runs has
//     returned.
//
// # Differences from NATS
//
// Random programs that ran on both backends found these differences. inproc keeps them on
// purpose, because the behaviour of the server (nats-server 2.15.2) is a fault:
//
//   - A purged message is settled, even if a member holds it. NATS counts messages of a
//     subject that are purged together as in flight until their members settle them, and
//     may report that a group has settled more than it has.
//   - Undelivered is exact for a group that began at the last message of each subject.
//     NATS counts too few if other messages are removed before the group reaches them.
//
// Publish on a recently used subject takes no lock except that of each queue it adds to,
// for any number of subscriptions.
//
// # Buckets
//
// A bucket of package kv behaves like a bucket of NATS, with these differences:
//
//   - The marker of an expired value is written at the very time of the expiry, and lives
//     for a minute.
//   - A full bucket accepts each write that does not make it larger.
//   - A Delete with a TTL removes the older records of its key, like a value with a TTL.
//   - A mirror, or a bucket with sources, copies at once, and whatever its limits are.
//   - The markers of values that have expired in both are not copied from a source.
//
// Package inproctest has a Backend for tests that choose the order of events, and what
// goes wrong.
package inproc

import (
	"context"
	"sync"
	"sync/atomic"

	"gomono.dev/internal/lazy"
	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/inproc/internal/engine"
)

// DefaultMaxPayload is the default of Options.MaxPayload: 1 MiB, as for a NATS server.
const DefaultMaxPayload = 1 << 20

// Options are the options of a Backend. The zero value is ready to use.
type Options struct {
	// MaxPayload is the maximum size of a message in bytes, including its header. 0 means
	// DefaultMaxPayload; a negative value means no limit.
	MaxPayload int

	// Engine is set by package inproctest.
	Engine engine.Engine
}

// Transport carries messages within the process. It is a connection to a Backend, made by
// New or Backend.Connect.
type Transport struct {
	*driver.Transport
	backend *Backend
	number  int // in the order of the connections, from 1
	closed  atomic.Bool
	done    chan struct{} // closed by Close

	mu         sync.Mutex
	receivers  map[receiver]struct{} // nil after Close
	subscribed uint64                // subscriptions so far
}

// receiver is a subscription or a member. It ends together with its Transport.
type receiver interface {
	transport.Receiver
	stopReceiving() // stops further deliveries
	kill()
}

var _ transport.Transport = (*Transport)(nil)

// New returns a Transport with a separate Backend. It starts no goroutine until something
// is received; Close ends those.
func New(o Options) *Transport { return NewBackend(o).Connect() }

func payloadLimit(option int) int {
	if option == 0 {
		return DefaultMaxPayload
	}
	return max(option, 0)
}

// conn is a Transport as the driver of itself.
type conn struct{ t *Transport }

// Capabilities implements [driver.Conn]. A log lives as long as its Backend, even with
// FileStorage.
func (c conn) Capabilities() transport.Capabilities {
	return transport.Capabilities{Name: "inproc", MaxPayload: c.t.backend.maxPayload, Logs: true, Delays: true, Partitions: true}
}

// Ready implements [driver.Conn].
func (c conn) Ready() error {
	if c.t.closed.Load() {
		return driver.ErrClosed
	}
	return nil
}

// Ping implements [driver.Conn].
func (conn) Ping(context.Context) error { return nil }

// Watch implements [driver.Conn]. This backend denies nothing, so f is never called.
func (conn) Watch(func(transport.Denial)) (stop func()) { return func() {} }

// Publish implements [driver.Conn].
func (c conn) Publish(ctx context.Context, m *transport.Message) error {
	op, err := c.t.begin(ctx, engine.Publish, m, c.t.backend.inboxes)
	if err != nil {
		return err
	}
	for range op.Times() {
		c.t.backend.deliver(m)
	}
	return op.End(nil)
}

// Request implements [driver.Conn].
func (c conn) Request(ctx context.Context, m *transport.Message) (*transport.Message, error) {
	op, err := c.t.begin(ctx, engine.Request, m, nil)
	if err != nil {
		return nil, err
	}
	reply, err := c.t.request(ctx, m, op.Times())
	if err = op.End(err); err != nil {
		return nil, err
	}
	return reply, nil
}

// request sends m the given number of times and waits for the first reply. With 0 times
// the message is lost without an error.
func (t *Transport) request(ctx context.Context, m *transport.Message, times int) (*transport.Message, error) {
	done, deadline := t.limit(ctx)
	in, ok := t.backend.inboxes.open(t, m.Subject, deadline)
	if !ok {
		return nil, driver.ErrClosed
	}
	request := *m
	request.Reply = in.subject
	for range times {
		if t.backend.deliver(&request) == 0 {
			t.backend.inboxes.close(in)
			return nil, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "no subscribers")
		}
	}
	return t.await(ctx, done, in)
}

// limit returns what ends ctx: a channel, or a deadline by the Backend's clock if the
// channel would need a timer.
func (t *Transport) limit(ctx context.Context) (done <-chan struct{}, deadline int64) {
	parent, end, ok := lazy.Limit(ctx)
	if !ok {
		return ctx.Done(), never
	}
	return parent.Done(), t.backend.clock.at(end)
}

// await waits for the first reply. A reply that came before the context ended is returned
// even if both are noticed at once.
func (t *Transport) await(ctx context.Context, done <-chan struct{}, in *inbox) (*transport.Message, error) {
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
		return nil, ctx.Err()
	case reply == nil:
		return nil, transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "the transport was closed while waiting for the reply")
	}
	return reply, nil
}

// Subscribe implements [driver.Conn]. It ignores s.Endpoint: inproc has no service
// discovery.
func (c conn) Subscribe(_ context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	sub := newSubscription(c.t, s, h)
	c.t.backend.router.add(sub)
	if !c.t.register(sub) {
		sub.end()
		return nil, driver.ErrClosed
	}
	return sub, nil
}

// Log implements [driver.Conn].
func (c conn) Log(_ context.Context, config transport.LogConfig) (driver.Log, error) {
	l, err := c.t.backend.openLog(config)
	if err != nil {
		return nil, err
	}
	l.declare(c.t, config.Groups)
	return newHandle(c.t, l), nil
}

// Close implements [driver.Conn]. It does not wait: all published messages have been
// handed over already. The Backend and its logs remain available to other Transports.
func (c conn) Close(context.Context) error {
	c.t.end(receiver.Close)
	return nil
}

// Kill simulates the sudden end of the process. Nothing that the Transport holds is
// handed back: other members of its groups get it after their AckWait, counted from now.
// A test cannot stop its handlers. Everything that they send or settle afterwards is
// Unavailable and has no effect.
func (t *Transport) Kill() { t.end(receiver.kill) }

// end closes the Transport and ends its receivers. All receivers stop receiving before
// the messages of the first one go to others.
func (t *Transport) end(how func(receiver)) {
	t.mu.Lock()
	receivers := t.receivers
	t.receivers = nil
	if !t.closed.Swap(true) {
		close(t.done)
	}
	t.mu.Unlock()
	for r := range receivers {
		r.stopReceiving()
	}
	for r := range receivers {
		how(r)
	}
	t.backend.inboxes.closeAll(t)
}

// register adds a receiver that ends with the Transport. It returns false if the
// Transport has ended.
func (t *Transport) register(r receiver) bool {
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

// unregister removes a receiver that register added.
func (t *Transport) unregister(r receiver) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.receivers, r)
}

// ready returns an error if the Transport is closed or ctx has ended.
func (t *Transport) ready(ctx context.Context) error { return driver.Ready(ctx, conn{t}) }
