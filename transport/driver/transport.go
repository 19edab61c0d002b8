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
	closed  chan struct{} // closed when the connection has ended
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
	return t.do(ctx, func() error { return t.conn.Ping(ctx) }, "ping")
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
func (t *Transport) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	valid := s.Validate()
	if valid == nil && h == nil {
		valid = errNoHandler
	}
	s.PendingLimit = cmp.Or(s.PendingLimit, transport.DefaultPendingLimit)
	return call(ctx, t, valid, func() (transport.Receiver, error) { return t.conn.Subscribe(ctx, s, h) }, "subscribe to %q", s.Subject)
}

// Log implements [transport.Transport].
func (t *Transport) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	c, valid := t.complete(c)
	return call(ctx, t, valid, func() (transport.Log, error) {
		l, err := t.conn.Log(ctx, c)
		if err != nil {
			return nil, err
		}
		return newLog(t, c.Name, l), nil
	}, "log %q", c.Name)
}

// complete returns a configuration with defaults, and an error if it is invalid or not supported.
func (t *Transport) complete(c transport.LogConfig) (transport.LogConfig, error) {
	valid := c.Validate()
	if valid == nil {
		valid = t.supports(&c)
	}
	c.DedupWindow = c.Window()
	c.Groups = slices.Clone(c.Groups)
	for i := range c.Groups {
		g := &c.Groups[i]
		g.AckWait = cmp.Or(g.AckWait, transport.DefaultAckWait)
		g.Update = g.Update || c.Update && !c.Sender
	}
	return c, valid
}

// supports returns an error for a log that needs what the backend does not have.
func (t *Transport) supports(c *transport.LogConfig) error {
	switch has := t.conn.Capabilities(); {
	case !has.Logs:
		return missing("logs", &has)
	case c.Delays && !has.Delays:
		return missing("Delays", &has)
	case c.Partitions > 0 && !has.Partitions:
		return missing("Partitions", &has)
	}
	return nil
}

// Close implements [transport.Transport].
func (t *Transport) Close(ctx context.Context) error {
	if !t.closing.CompareAndSwap(false, true) {
		return t.awaitClosed(ctx)
	}
	err := t.conn.Close(ctx)
	if u, ok := err.(*unfinished); ok {
		go func() {
			<-u.done
			close(t.closed)
		}()
		return failure(ctx, u.err, "close")
	}
	close(t.closed)
	if err != nil {
		return failure(ctx, err, "close")
	}
	return nil
}

// awaitClosed waits until the first Close has ended the connection.
func (t *Transport) awaitClosed(ctx context.Context) error {
	select {
	case <-t.closed:
		return nil
	default: // a context that has ended must not win over the end
	}
	select {
	case <-t.closed:
		return nil
	case <-ctx.Done():
		return failure(ctx, ctx.Err(), "close")
	}
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

// none is the result of a call without one.
type none struct{}

// do is call for a function without arguments to check and without a result.
func (t *Transport) do(ctx context.Context, f func() error, format string, args ...any) error {
	_, err := call(ctx, t, nil, func() (none, error) { return none{}, f() }, format, args...)
	return err
}

// call calls f, if its arguments are valid and the backend is ready. It names the
// operation in the error.
func call[R any](ctx context.Context, t *Transport, valid error, f func() (R, error), format string, args ...any) (result R, err error) {
	if err = valid; err == nil {
		err = Ready(ctx, t.conn)
	}
	if err == nil {
		result, err = f()
	}
	if err != nil {
		err = failure(ctx, err, format, args...)
	}
	return result, err
}
