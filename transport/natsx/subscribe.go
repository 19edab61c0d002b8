package natsx

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// Subscribe implements [transport.Transport].
func (t *Transport) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	if err := checkSubscription(s, h); err != nil {
		return nil, err
	}
	what := "subscribe to " + s.Subject
	if err := t.ready(ctx, what); err != nil {
		return nil, err
	}
	r := newReceiver(t, s)
	sv, err := t.services.join(r, s)
	if err != nil {
		return nil, err
	}
	if err := r.establish(ctx, s, sv, what); err != nil {
		r.Close()
		return nil, err
	}
	go r.run(h)
	return r, nil
}

func checkSubscription(s transport.Subscription, h transport.Handler) error {
	if h == nil {
		return invalid("subscribe to %q: the handler is nil", s.Subject)
	}
	return s.Validate()
}

// receiver is one subscription.
type receiver struct {
	t        *Transport
	sub      *nats.Subscription
	inbox    *inbox
	ended    chan struct{} // closed when nats.go hands over nothing more
	done     chan struct{} // closed when the last call of the handler has returned
	endpoint *endpoint     // nil: not announced
}

func newReceiver(t *Transport, s transport.Subscription) *receiver {
	if s.Pending == 0 {
		s.Pending = transport.DefaultPending
	}
	return &receiver{t: t, inbox: newInbox(s.Pending, s.OnDrop), ended: make(chan struct{}), done: make(chan struct{})}
}

// establish subscribes, announces what there is to announce, and waits until the
// server has heard all of it. The handler is not called before it has succeeded.
func (r *receiver) establish(ctx context.Context, s transport.Subscription, sv *service, what string) error {
	before := r.t.nc.LastError()
	if err := r.open(s); err != nil {
		return r.t.failure(err, transport.OutcomeNotDone, what)
	}
	if sv != nil {
		if err := sv.listen(&r.t.services); err != nil {
			return r.t.failure(err, transport.OutcomeNotDone, "announce service "+s.Endpoint.Service)
		}
	}
	if err := r.t.flush(ctx, what); err != nil {
		return err
	}
	return r.t.refused(before, s.Subject)
}

// refused reports that the server has refused a subscription. Its refusal comes
// before the answer to the flush. One that was there before is of another.
func (t *Transport) refused(before error, subject string) error {
	err := t.nc.LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `Subscription to "`+subject+`"`) {
		return nil
	}
	return transport.Errorf(transport.PermissionDenied, transport.OutcomeNotDone,
		"subscribe to %s at %s: the account may not: grant it, or use another", subject, t.address)
}

func (r *receiver) open(s transport.Subscription) (err error) {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	if r.t.closed.Load() {
		return nats.ErrConnectionClosed
	}
	if s.Group == "" {
		r.sub, err = r.t.nc.Subscribe(s.Subject, r.inbox.put)
	} else {
		r.sub, err = r.t.nc.QueueSubscribe(s.Subject, s.Group, r.inbox.put)
	}
	if err != nil {
		return err
	}
	r.sub.SetClosedHandler(func(string) { close(r.ended) })
	r.t.receivers[r] = struct{}{}
	return r.sub.SetPendingLimits(-1, -1) // the inbox has the limit
}

func (r *receiver) run(h transport.Handler) {
	defer close(r.done)
	for {
		msg, ok := r.inbox.take()
		if !ok {
			return
		}
		h(fromNATS(msg))
	}
}

// Drain implements [transport.Receiver].
func (r *receiver) Drain(ctx context.Context) error {
	r.t.services.remove(r)
	r.stop(ctx)
	r.inbox.end()
	select {
	case <-r.done:
		r.forget()
		return nil
	case <-ctx.Done():
	}
	lost := r.inbox.discard()
	r.Close()
	return transport.ContextError(ctx, transport.OutcomeUnknown,
		"drain of %q: a handler still runs; %d messages that waited for it were lost", r.sub.Subject, lost)
}

// stop ends the subscription at the server, and returns when all that the server
// had sent before is in the inbox.
//
// Without a connection nothing more can come, and the subscription must be gone
// before nats.go makes the next, or it would be made again. So it goes at once
// when the connection breaks in the middle, too: nats.go tells of the break before
// it dials.
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
	_ = r.sub.Unsubscribe() // an error says that it has ended already
}

// catchUp waits until what nats.go has read for the subscription is in the inbox.
// nats.go's goroutine moves it there, waits for nothing, and says nothing: looking
// again is all there is. Looking at how much is left alone would not end while
// more comes in.
func (r *receiver) catchUp(ctx context.Context) {
	left, _, err := r.sub.Pending()
	for all := r.inbox.seen() + uint64(max(left, 0)); err == nil && left > 0 && r.inbox.seen() < all && ctx.Err() == nil; left, _, err = r.sub.Pending() {
		runtime.Gosched()
	}
}

// Close implements [transport.Receiver].
func (r *receiver) Close() {
	r.t.services.remove(r)
	r.inbox.discard()
	if r.sub != nil {
		_ = r.sub.Unsubscribe() // an error says that it has ended already
	}
	r.forget()
}

func (r *receiver) forget() {
	r.t.mu.Lock()
	delete(r.t.receivers, r)
	r.t.mu.Unlock()
}
