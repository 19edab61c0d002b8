package mono

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Middleware runs around every message of every kind, on both sides: around a send
// (encoding and transport included), and around a handler. The values of a Channel or a
// Resource are Go values and not messages, so middleware does not see them.
//
//	func Log(next mono.Next) mono.Next {
//		return func(ctx context.Context, c *mono.Call) error {
//			err := next(ctx, c)
//			slog.Info("message", "side", c.Side(), "handle", c.Handle().Name(), "error", err)
//			return err
//		}
//	}
//
//	app.Use(mono.MiddlewareFunc(Log))
//
// The first middleware is the outermost, on both sides:
//
//	Use(a, b):  send  → a → b → transport → a → b → handler
//
// A middleware that is also a Starter, a Stopper or a HealthChecker is started before
// every module, stopped after every module, and checked like a module. A middleware
// that is a Module is also bound, as a plugin. A middleware that is an Observer is
// notified like one. A middleware that is Selective runs for some handles, or on one side. A
// middleware that is a ReceiverChecker is asked about each receiver.
type Middleware interface {
	// Wrap returns the function that runs instead of next. It is called when the App
	// starts: for each sender and each receiver of a handle in a module, and once for
	// code outside modules. It must not block.
	Wrap(next Next) Next
}

// Selective is a Middleware that runs for some handles only, or on one side only, and costs
// the others nothing. A local call has no [Call] of the sending side if no middleware runs
// there.
type Selective interface {
	// Selects reports whether the middleware runs around the messages of a handle on a side.
	// local is true on the sending side of local calls. The answer must not change. Selects is
	// called when the App starts, for each sender and each receiver in a module, and when code
	// outside modules first sends through a handle.
	Selects(h Handle, side Side, local bool) bool
}

// Next handles or sends a message. It may be called concurrently. On the sending side
// it returns the sender's error. On the receiving side it returns the handler's error,
// which may be a recovered panic. Middleware of the receiving side that refuses a request, and
// does not call next, may return an [Error] with OutcomeNotDone: the caller gets that outcome.
type Next = Sink[*Call]

// MiddlewareFunc is a function that implements Middleware.
type MiddlewareFunc func(next Next) Next

// Wrap calls f.
func (f MiddlewareFunc) Wrap(next Next) Next { return f(next) }

// selects reports, for each middleware, whether it runs around the messages of a handle on a
// side. A panic selects it.
func (in *instance) selects(d *declaration, side Side, local bool) (selected []bool, err error) {
	for _, m := range in.middleware {
		runs := true
		if s, ok := m.(Selective); ok {
			err = errors.Join(err, guard(fmt.Sprintf("Selects of the middleware %T", m), in.panicked, func() error { runs = s.Selects(d, side, local); return nil }))
		}
		selected = append(selected, runs)
	}
	return selected, err
}

// watcher is a test's Middleware that records messages. It does not decide what they carry.
type watcher interface {
	Middleware
	WatchMessages()
}

// mayAsk reports whether some selected middleware may ask for the id of a message.
func (in *instance) mayAsk(selected []bool) bool {
	for i, m := range in.middleware {
		if _, ok := m.(watcher); selected[i] && !ok {
			return true
		}
	}
	return false
}

// chain wraps last with the middleware that is selected, the first one outermost.
func (in *instance) chain(selected []bool, last Next) Next {
	for i, m := range slices.Backward(in.middleware) {
		if selected[i] {
			last = in.wrap(m, last)
		}
	}
	return last
}

// chainOutside wraps last with all middleware, for code outside modules. The sender of each
// message selects among it.
func (in *instance) chainOutside(last Next) Next {
	for i, m := range slices.Backward(in.middleware) {
		without, with := last, in.wrap(m, last)
		last = with
		if _, ok := m.(Selective); ok {
			last = func(ctx context.Context, c *Call) error {
				if c.via.selected[i] {
					return with(ctx, c)
				}
				return without(ctx, c)
			}
		}
	}
	return last
}

// wrap wraps last with a middleware.
func (in *instance) wrap(m Middleware, last Next) (wrapped Next) {
	err := guard(fmt.Sprintf("Wrap of the middleware %T", m), in.panicked, func() error {
		wrapped = m.Wrap(last)
		return nil
	})
	switch {
	case err != nil:
		in.report.add("", nil, "%v", err)
	case wrapped == nil:
		in.report.add("", nil, "Wrap of the middleware %T returned nil: return next if it has nothing to do", m)
	default:
		return wrapped
	}
	return last
}

// Func is the type of a service's client and of its handler. So one can replace the
// other, and a fake is a function literal.
type Func[Req, Resp any] = func(context.Context, Req) (Resp, error)

// Sink is the type of every other handler. AsEnqueuer, AsPublisher and AsAppender make a
// sender of one.
type Sink[T any] = func(context.Context, T) error
