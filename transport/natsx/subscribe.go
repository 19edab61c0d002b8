package natsx

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/internal/intake"
)

// Subscribe implements [driver.Conn].
func (c conn) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	r := newReceiver(c.t, s, h)
	sv, err := c.t.services.join(r, s)
	if err != nil {
		return nil, err
	}
	if err := r.establish(ctx, s, sv); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// receiver is one subscription.
//
// Its messages wait in an intake. nats.go has a queue too, but can only discard it with the
// subscription. It drains by polling. It reports a new episode of drops whenever a message
// has found room. When the connection comes back it subscribes again for a subscription that
// is draining, and never ends that one at the server, which keeps sending messages. With an
// intake, the subscription can end immediately, whatever a handler does.
type receiver struct {
	t        *Transport
	sub      *nats.Subscription
	handle   transport.Handler
	intake   *intake.Intake[*nats.Msg]
	arrived  atomic.Uint64 // in the intake, or dropped by it
	ended    chan struct{} // closed after the last message from nats.go
	endpoint *endpoint     // nil if not announced

	inForce bool             // Subscribe has returned; guarded by t.mu
	denied  *transport.Error // by the server, on this connection; guarded by t.mu
}

func newReceiver(t *Transport, s transport.Subscription, h transport.Handler) *receiver {
	r := &receiver{t: t, handle: h, ended: make(chan struct{})}
	r.intake = intake.New(s.PendingLimit, s.OnDrop, r.take)
	return r
}

// take begins the handler for a message. A handler that ends its goroutine (runtime.Goexit,
// as FailNow in a test does) ends the intake and closes the receiver, so other members of its
// group get the following messages.
func (r *receiver) take(msg *nats.Msg) (w transport.Work) {
	returned := false
	defer func() {
		if !returned {
			r.exited()
		}
	}()
	w = r.handle(received(msg))
	returned = true
	return w
}

func (r *receiver) exited() {
	r.t.mu.Lock() // wait until open has returned
	defer r.Close()
	defer r.t.mu.Unlock()
}

// put receives a message. nats.go calls it for one message at a time.
func (r *receiver) put(msg *nats.Msg) {
	r.intake.Put(msg)
	r.arrived.Add(1)
}

// establish subscribes, announces a new service, and waits until the server has processed
// both.
func (r *receiver) establish(ctx context.Context, s transport.Subscription, sv *service) error {
	if err := r.open(s); err != nil {
		return r.t.failure(err, transport.OutcomeNotDone)
	}
	if sv != nil {
		if err := sv.listen(&r.t.services); err != nil {
			return driver.About("announce service "+s.Endpoint.Service, r.t.failure(err, transport.OutcomeNotDone))
		}
	}
	if err := r.t.flush(ctx); err != nil {
		return err
	}
	if denied := r.enterForce(); denied != nil {
		return denied
	}
	r.t.denials.over(r.denial())
	return nil
}

// enterForce returns the server's denial of the subscription, or nil. Later denials go to
// watchers.
func (r *receiver) enterForce() *transport.Error {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	r.inForce = r.denied == nil
	return r.denied
}

func (r *receiver) denial() transport.Denial {
	return transport.Denial{Subject: r.sub.Subject, Group: r.sub.Queue, Subscription: true}
}

func (r *receiver) open(s transport.Subscription) (err error) {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	if r.t.closed.Load() {
		return nats.ErrConnectionClosed
	}
	if s.Group == "" {
		r.sub, err = r.t.nc.Subscribe(s.Subject, r.put)
	} else {
		r.sub, err = r.t.nc.QueueSubscribe(s.Subject, s.Group, r.put)
	}
	if err != nil {
		return err
	}
	r.sub.SetClosedHandler(func(string) { close(r.ended) })
	r.t.receivers[r] = struct{}{}
	return r.sub.SetPendingLimits(-1, -1) // the intake has the limit
}

// Drain implements [transport.Receiver].
func (r *receiver) Drain(ctx context.Context) error {
	r.t.services.remove(r)
	r.stop(ctx)
	r.intake.End()
	select {
	case <-r.intake.Done():
		r.forget()
		return nil
	case <-ctx.Done():
	}
	lost := r.intake.Discard()
	r.Close()
	return transport.ContextError(ctx, transport.OutcomeUnknown,
		"drain of %q: a handler still runs, and %d messages were lost", r.sub.Subject, lost)
}

// stop ends the subscription at the server. It returns when all messages that the server sent
// before are in the intake.
//
// Without a connection no messages arrive, and the subscription must be gone before nats.go
// makes the next connection, or nats.go would subscribe again. So stop also unsubscribes when
// the connection breaks meanwhile: nats.go reports that before it dials.
func (r *receiver) stop(ctx context.Context) {
	broken := r.t.link.watch()
	if err := r.sub.Drain(); err == nil {
		select {
		case <-r.ended:
			return
		case <-broken:
		case <-ctx.Done():
		}
	}
	r.catchUp(ctx)
	_ = r.sub.Unsubscribe() // an error means that it has already ended
}

// catchUp waits until all messages that nats.go has read for the subscription are in the
// intake. A goroutine of nats.go moves them without blocking, and without a notification, so
// catchUp polls. It counts the moved messages: waiting for an empty queue would not end while
// more messages arrive.
func (r *receiver) catchUp(ctx context.Context) {
	left, _, err := r.sub.Pending()
	for all := r.arrived.Load() + uint64(max(left, 0)); err == nil && left > 0 && r.arrived.Load() < all && ctx.Err() == nil; left, _, err = r.sub.Pending() {
		runtime.Gosched()
	}
}

// Close implements [transport.Receiver].
func (r *receiver) Close() {
	r.t.services.remove(r)
	r.intake.Discard()
	if r.sub != nil {
		_ = r.sub.Unsubscribe() // an error means that it has already ended
	}
	r.forget()
}

func (r *receiver) forget() {
	r.t.mu.Lock()
	delete(r.t.receivers, r)
	r.t.mu.Unlock()
}
