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

// BenchmarkLocalCall is a flat local call: without a Telemetry, without a provider, in a trace that is
// not sampled, as the root of one, with metrics alone, with both, and with a span that is sampled
// and dropped.
func BenchmarkLocalCall(b *testing.B) {
	never := sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample()))
	tracers := func(b *testing.B) *telemetry.Telemetry {
		return newRecorder(b, never).middleware(telemetry.MeterProvider(nil))
	}
	both := func(b *testing.B) *telemetry.Telemetry { return newRecorder(b, never).middleware() }
	for _, c := range []struct {
		name   string
		traced bool // the caller has a span, which is not sampled
		make   func(b *testing.B) *telemetry.Telemetry
	}{
		{"without", false, nil},
		{"no-provider", false, func(*testing.B) *telemetry.Telemetry { return telemetry.New() }},
		{"not-sampled", true, tracers},
		{"not-sampled-metrics", true, both},
		{"not-sampled-root", false, tracers},
		{"not-sampled-root-metrics", false, both},
		{"metrics", false, func(b *testing.B) *telemetry.Telemetry {
			return newRecorder(b).middleware(telemetry.TracerProvider(nil))
		}},
		{"sampled", false, func(*testing.B) *telemetry.Telemetry {
			return telemetry.New(telemetry.TracerProvider(sdktrace.NewTracerProvider()), telemetry.MeterProvider(nil))
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
			if c.make != nil {
				app.Use(c.make(b))
			}
			var call mono.Func[flat, flat]
			start(b, app, module("server", func(s *mono.Scope) {
				echo.Handle(s, func(_ context.Context, f flat) (flat, error) { return f, nil })
			}), module("client", func(s *mono.Scope) { call = echo.Client(s) }))
			ctx := b.Context()
			if c.traced {
				ctx, _ = sdktrace.NewTracerProvider(never).Tracer("http").Start(ctx, "GET /")
			}
			b.ReportAllocs()
			before := spent()
			defer func() { b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op") }()
			for b.Loop() {
				if _, err := call(ctx, flat{ID: "order-0123456789", Quantity: 2}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
