package driver

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync/atomic"

	"gomono.dev/transport"
)

// Transport is a [transport.Transport] on a Conn. A backend may embed it in a type with
// more methods.
type Transport struct {
	conn    Conn
	limit   atomic.Int64 // a size that the backend carries
	closing atomic.Bool
	closed  chan struct{} // closed after the first Close
}

var _ transport.Transport = (*Transport)(nil)

// New returns a Transport on c.
func New(c Conn) *Transport { return &Transport{conn: c, closed: make(chan struct{})} }

// Capabilities implements [transport.Transport].
func (t *Transport) Capabilities() transport.Capabilities { return t.conn.Capabilities() }

// Watch implements [transport.Transport].
func (t *Transport) Watch(f func(transport.Denial)) (stop func()) { return t.conn.Watch(f) }

// Ping implements [transport.Transport].
func (t *Transport) Ping(ctx context.Context) error {
	return t.call(ctx, func() error { return t.conn.Ping(ctx) }, "ping")
}

// Publish implements [transport.Transport].
func (t *Transport) Publish(ctx context.Context, m *transport.Message) error {
	err := t.admit(ctx, m)
	if err == nil {
		err = t.conn.Publish(ctx, m)
	}
	if err != nil {
		return failure(ctx, err, "publish on %q", m.Subject)
	}
	return nil
}

// Request implements [transport.Transport].
func (t *Transport) Request(ctx context.Context, m *transport.Message) (reply *transport.Message, err error) {
	if err = noReply(m); err == nil {
		err = t.admit(ctx, m)
	}
	if err == nil {
		reply, err = t.conn.Request(ctx, m)
	}
	if err != nil {
		return nil, failure(ctx, err, "request on %q", m.Subject)
	}
	return reply, nil
}

// Subscribe implements [transport.Transport].
func (t *Transport) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (r transport.Receiver, err error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if h == nil {
		return nil, invalid("subscription to %q has no handler", s.Subject)
	}
	s.PendingLimit = cmp.Or(s.PendingLimit, transport.DefaultPendingLimit)
	err = t.call(ctx, func() (err error) {
		r, err = t.conn.Subscribe(ctx, s, h)
		return err
	}, "subscribe to %q", s.Subject)
	return r, err
}

// Log implements [transport.Transport].
func (t *Transport) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.DedupWindow = c.Window()
	c.Groups = slices.Clone(c.Groups)
	for i := range c.Groups {
		g := &c.Groups[i]
		g.AckWait = cmp.Or(g.AckWait, transport.DefaultAckWait)
		g.Update = g.Update || c.Update
	}
	l := newLog(t, c.Name)
	err := t.call(ctx, func() (err error) {
		l.driver, err = t.conn.Log(ctx, c)
		return err
	}, "log %q", c.Name)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Close implements [transport.Transport].
func (t *Transport) Close(ctx context.Context) error {
	if t.closing.CompareAndSwap(false, true) {
		defer close(t.closed)
		if err := t.conn.Close(ctx); err != nil {
			return failure(ctx, err, "close")
		}
		return nil
	}
	select {
	case <-t.closed:
		return nil
	case <-ctx.Done():
		return failure(ctx, ctx.Err(), "close")
	}
}

// call calls f if the backend is ready, and names the operation in the error.
func (t *Transport) call(ctx context.Context, f func() error, format string, args ...any) error {
	err := Ready(ctx, t.conn)
	if err == nil {
		err = f()
	}
	if err != nil {
		return failure(ctx, err, format, args...)
	}
	return nil
}

// admit returns an error if m cannot be sent now.
func (t *Transport) admit(ctx context.Context, m *transport.Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if int64(m.Size()) > t.limit.Load() {
		if err := t.checkSize(m); err != nil {
			return err
		}
	}
	return Ready(ctx, t.conn)
}

// checkSize asks the backend for its limit, which may have changed.
func (t *Transport) checkSize(m *transport.Message) error {
	limit := t.conn.Capabilities().MaxPayload
	t.limit.Store(cmp.Or(int64(limit), math.MaxInt64))
	return m.CheckSize(limit)
}

// noReply returns an error for a message with a reply subject.
func noReply(m *transport.Message) error {
	if m.Reply != "" {
		return invalid("the message has the reply subject %q: leave it empty", m.Reply)
	}
	return nil
}
