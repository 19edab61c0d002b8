package telemetry_test

import (
	"context"
	"log/slog"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"gomono.dev/mono"
	"gomono.dev/mono/telemetry"
	"gomono.dev/transport/inproc"
)

// The flat request of the benchmarks of mono.
type flat struct {
	ID       string
	Quantity int
	Price    float64
	Paid     bool
}

var echo = mono.NewService[flat, flat]("bench.flat")

// BenchmarkLocalCall is a flat local call: without a Telemetry, without a provider, with a span that is
// not sampled, with metrics alone, with both, and with a span that is sampled and dropped.
func BenchmarkLocalCall(b *testing.B) {
	never := sdktrace.WithSampler(sdktrace.NeverSample())
	for _, c := range []struct {
		name string
		make func(b *testing.B) []mono.Middleware
	}{
		{"without", func(*testing.B) []mono.Middleware { return nil }},
		{"no-provider", func(*testing.B) []mono.Middleware { return []mono.Middleware{telemetry.New()} }},
		{"not-sampled", func(b *testing.B) []mono.Middleware {
			return []mono.Middleware{newRecorder(b, never).middleware(telemetry.MeterProvider(nil))}
		}},
		{"metrics", func(b *testing.B) []mono.Middleware {
			return []mono.Middleware{newRecorder(b).middleware(telemetry.TracerProvider(nil))}
		}},
		{"not-sampled-metrics", func(b *testing.B) []mono.Middleware {
			return []mono.Middleware{newRecorder(b, never).middleware()}
		}},
		{"sampled", func(b *testing.B) []mono.Middleware {
			return []mono.Middleware{telemetry.New(telemetry.TracerProvider(sdktrace.NewTracerProvider()), telemetry.MeterProvider(nil))}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
			app.Use(c.make(b)...)
			var call mono.Func[flat, flat]
			start(b, app, module("server", func(s *mono.Scope) {
				echo.Handle(s, func(_ context.Context, f flat) (flat, error) { return f, nil })
			}), module("client", func(s *mono.Scope) { call = echo.Client(s) }))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := call(b.Context(), flat{ID: "order-0123456789", Quantity: 2}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
