package testkit

import (
	"context"
	"errors"
	"log/slog"

	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// Bucket opens a bucket of the system for the test, which looks inside it and may write. The
// result works at once, before the start and after a Stop or a Crash of the App too. No fault
// affects its operations. Get returns the stored value, even if the bucket is kv.Cached. An
// error of the opening fails the test.
func Bucket[T any](h *Harness, b kv.Bucket[T]) *kv.KeyValue[T] {
	h.t.Helper()
	return b.Open(h)
}

// outside is the test's own connection to the system, outside the App.
type outside struct {
	h           *Harness
	environment *transport.Environment // nil: not connected
	close       []func(context.Context) error
}

var _ transport.Host = (*Harness)(nil)

// Attach makes the Harness a transport.Host. It opens a component at once, for the test: the
// component belongs to no process of the App. It is closed at the end of the test.
func (h *Harness) Attach(c transport.Component) {
	h.t.Helper()
	if err := h.outside.open(c); err != nil {
		h.t.Fatalf("testkit: opening %s %s: %v", c.Kind, c.Name, err)
	}
}

// open opens a component, over a connection that is made for the first one.
func (o *outside) open(c transport.Component) error {
	if err := o.connect(); err != nil {
		return err
	}
	if err := c.Open(context.Background(), *o.environment); err != nil {
		return err
	}
	o.close = append(o.close, c.Close)
	return nil
}

// connect connects the test, once.
func (o *outside) connect() error {
	if o.environment != nil {
		return nil
	}
	tr, err := o.h.net.connect(context.Background())
	if err != nil {
		return err
	}
	e := o.h.environment(o.h.record(tr, nil))
	o.environment, o.close = &e, append(o.close, tr.Close)
	return nil
}

// environment returns what a component of the App would get over a transport.
func (h *Harness) environment(tr transport.Transport) transport.Environment {
	opts := []mono.AppOption{mono.Logger(slog.New(slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))}
	return mono.New(tr, append(opts, h.set.app...)...).Environment()
}

// end closes the components of the test, and then its connection.
func (o *outside) end() {
	o.h.t.Helper()
	var errs []error
	for i := len(o.close) - 1; i >= 0; i-- {
		errs = append(errs, o.close[i](context.Background()))
	}
	if err := errors.Join(errs...); err != nil {
		o.h.t.Errorf("testkit: closing what the test has opened: %v", err)
	}
}
