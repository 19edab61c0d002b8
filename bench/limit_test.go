package bench

import (
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/limit"
	"gomono.dev/transport/inproc"
)

// BenchmarkLimit is the cost of limits and of what protects callers, on the flat local call of
// BenchmarkLocal. No call is over a limit.
func BenchmarkLimit(b *testing.B) {
	const many = 1 << 30
	for _, c := range []struct {
		name string
		use  []mono.Middleware
	}{
		{"without", nil},
		{"rate", []mono.Middleware{limit.Rate(many, time.Second)}},
		{"rate/caller", []mono.Middleware{limit.Rate(many, time.Second, limit.By(limit.Caller))}},
		{"rate/handle-and-caller", []mono.Middleware{limit.Rate(many, time.Second, limit.By(limit.Handle, limit.Caller))}},
		{"concurrency", []mono.Middleware{limit.Concurrency(1000, limit.By(limit.Caller))}},
		{"breaker", []mono.Middleware{limit.NewBreaker(5, time.Second)}},
		{"retry", []mono.Middleware{limit.Retry()}},
		{"window", []mono.Middleware{limit.Window("bench", many, time.Minute)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var call mono.Func[flat, flat]
			serve(b, inproc.New(inproc.Options{}), func(a *mono.App) {
				a.Use(c.use...)
				a.Add(module("server", func(s *mono.Scope) { flatEcho.Handle(s, same[flat]) }), module("client", func(s *mono.Scope) { call = flatEcho.Client(s) }))
			})
			askAbout(b, call, flat{ID: "order-0123456789"}, setQuantity, quantity)
		})
	}
}
