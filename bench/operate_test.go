package bench

import (
	"context"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/limit"
	"gomono.dev/mono/requestid"
)

// BenchmarkOperate is the cost of the packages that run around each message, on a flat local call.
// The handler of "reading" reads the request id, and of "carried" the caller has one.
func BenchmarkOperate(b *testing.B) {
	v := flat{ID: "order-0123456789"}
	id := func(ctx context.Context, f flat) (flat, error) {
		if requestid.From(ctx) == "" {
			b.Error("the handler has no request id")
		}
		return f, nil
	}
	b.Run("none", func(b *testing.B) { askAbout(b, localCaller(b, flatEcho), v, setQuantity, quantity) })
	b.Run("requestid", func(b *testing.B) {
		askAbout(b, localCaller(b, flatEcho, requestid.Propagate()), v, setQuantity, quantity)
	})
	b.Run("requestid/reading", func(b *testing.B) {
		askAbout(b, localCallerOf(b, flatEcho, id, requestid.Propagate()), v, setQuantity, quantity)
	})
	b.Run("requestid/carried", func(b *testing.B) {
		ask := localCallerOf(b, flatEcho, id, requestid.Propagate())
		ctx := requestid.With(b.Context(), "")
		askAbout(b, func(_ context.Context, f flat) (flat, error) { return ask(ctx, f) }, v, setQuantity, quantity)
	})
}

// BenchmarkOperateNATS is their cost on a call over NATS in process, whose caller and handler have them.
func BenchmarkOperateNATS(b *testing.B) {
	ids := []mono.AppOption{requestid.Propagate()}
	for _, c := range []struct {
		name string
		use  func() []mono.Middleware
		opts []mono.AppOption
		ctx  func(context.Context) context.Context
	}{
		{name: "none"},
		{name: "requestid", opts: ids, ctx: func(ctx context.Context) context.Context { return requestid.With(ctx, "") }},
		{name: "accesslog", use: func() []mono.Middleware {
			return []mono.Middleware{accesslog.New(forgetful{}, accesslog.Buffer(1<<16))}
		}},
		{name: "limit", use: func() []mono.Middleware {
			return []mono.Middleware{limit.Rate(1<<30, time.Second), limit.Retry(), limit.NewBreaker(5, time.Second)}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			sender, receiver := links[0].open(b)
			var call mono.Func[flat, flat]
			app := func(a *mono.App) {
				if c.use != nil {
					a.Use(c.use()...)
				}
			}
			serve(b, receiver, func(a *mono.App) {
				app(a)
				a.Add(module("server", func(s *mono.Scope) { flatEcho.Handle(s, same[flat]) }))
			}, c.opts...)
			serve(b, sender, func(a *mono.App) {
				app(a)
				a.Remote(flatEcho)
				a.Add(module("client", func(s *mono.Scope) { call = flatEcho.Client(s) }))
			}, c.opts...)
			ask := call
			if c.ctx != nil {
				ask = func(ctx context.Context, f flat) (flat, error) { return call(c.ctx(ctx), f) }
			}
			askAbout(b, ask, flat{ID: "order-0123456789"}, setQuantity, quantity)
		})
	}
}
