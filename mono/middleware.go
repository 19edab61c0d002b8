package mono

import (
	"context"
	"fmt"
	"slices"
)

// Middleware runs around every message of every kind, on both sides: around
// sending one (encoding and transport included), and around handling one. What
// passes through a Channel or a Resource is a Go value and no message.
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
// What is used first is outermost, on both sides:
//
//	Use(a, b):  send  → a → b → wire → a → b → handler
//
// A middleware that is also a Starter, a Stopper or a Checker is started before every
// module, stopped after every module, and asked like one. One that is a Module is
// bound too, as a plugin, and one that is an Observer observes.
type Middleware interface {
	// Wrap is called when the App starts, for each sender and each receiver of a
	// handle in a module and once for code outside modules, and returns what runs
	// instead of next. It must not block.
	Wrap(next Next) Next
}

// Next handles a message on its way, or sends it on. It may be called
// concurrently. On the sending side it returns the error that the sender gets; on
// the receiving side the one that the handler returned, a panic included.
type Next = Sink[*Call]

// MiddlewareFunc is a Middleware that is only a function.
type MiddlewareFunc func(next Next) Next

// Wrap calls f.
func (f MiddlewareFunc) Wrap(next Next) Next { return f(next) }

// chain wraps last with every middleware, the first one outermost.
func (in *instance) chain(last Next) Next {
	for _, m := range slices.Backward(in.app.middleware) {
		var wrapped Next
		err := guard(fmt.Sprintf("Wrap of the middleware %T", m), in.panicked, func() error {
			wrapped = m.Wrap(last)
			return nil
		})
		switch {
		case err != nil:
			in.report.add("", nil, "%v", err)
		case wrapped == nil:
			in.report.add("", nil, "Wrap of the middleware %T returned nil: return next where there is nothing to do", m)
		default:
			last = wrapped
		}
	}
	return last
}

// Func is the shape of a service's client and of its handler, so that one can
// stand in for the other, and a fake is a function literal.
type Func[Req, Resp any] = func(context.Context, Req) (Resp, error)

// Sink is the shape of every other sender and handler.
type Sink[T any] = func(context.Context, T) error
