package mono

import (
	"context"
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
// notified like one. A middleware that is OneSided runs on one side only.
type Middleware interface {
	// Wrap returns the function that runs instead of next. It is called when the App
	// starts: for each sender and each receiver of a handle in a module, and once for
	// code outside modules. It must not block.
	Wrap(next Next) Next
}

// OneSided is a Middleware that runs on one side only, and costs the other side nothing. A
// local call has no [Call] of the sending side if no middleware runs there.
type OneSided interface {
	// Side returns the side on which the middleware runs, "" for both. It is called once,
	// when the App starts.
	Side() Side
}

// sideOf returns the side of a middleware, "" for both.
func sideOf(m Middleware, report func(string, any)) (side Side, err error) {
	one, ok := m.(OneSided)
	if !ok {
		return "", nil
	}
	err = guard(fmt.Sprintf("Side of the middleware %T", m), report, func() error { side = one.Side(); return nil })
	if err == nil && side != "" && side != SideSender && side != SideReceiver {
		err = fmt.Errorf("Side of the middleware %T returned %q: want mono.SideSender, mono.SideReceiver or \"\"", m, side)
	}
	return side, err
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

// chain wraps last with the middleware of a side, the first one outermost.
func (in *instance) chain(middleware []Middleware, last Next) Next {
	for _, m := range slices.Backward(middleware) {
		var wrapped Next
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
			last = wrapped
		}
	}
	return last
}

// Func is the type of a service's client and of its handler. So one can replace the
// other, and a fake is a function literal.
type Func[Req, Resp any] = func(context.Context, Req) (Resp, error)

// Sink is the type of every other handler. AsEnqueuer, AsPublisher and AsAppender make a
// sender of one.
type Sink[T any] = func(context.Context, T) error
