package telemetry_test

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"gomono.dev/mono"
	"gomono.dev/mono/telemetry"
)

// The flat request of the benchmarks of mono.
type flat struct {
	ID       string
	Quantity int
	Price    float64
	Paid     bool
}

var echo = mono.NewService[flat, flat]("bench.flat")

// BenchmarkCall is a call of a flat request, local and over NATS: without a Telemetry, without a
// provider, in a trace that is not sampled, as the root of one, with metrics alone, with both, and
// with a span that is sampled and dropped. The unit x/flat is a multiple of the first one, a local
// call without a Telemetry.
func BenchmarkCall(b *testing.B) {
	never := sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample()))
	tracers := func(b *testing.B) *telemetry.Telemetry {
		return newRecorder(b, never).middleware(telemetry.MeterProvider(nil))
	}
	both := func(b *testing.B) *telemetry.Telemetry { return newRecorder(b, never).middleware() }
	var first float64
	for _, p := range paths {
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
			b.Run(p.name+"/"+c.name, func(b *testing.B) {
				app := p.app(b)
				if c.make != nil {
					app.Use(c.make(b))
				}
				var call mono.Func[flat, flat]
				start(b, app, module("server", func(s *mono.Scope) {
					echo.Handle(s, func(_ context.Context, f flat) (flat, error) { return f, nil })
				}), module("client", func(s *mono.Scope) { call = echo.Client(s) }))
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				if c.traced {
					ctx, _ = sdktrace.NewTracerProvider(never).Tracer("http").Start(ctx, "GET /")
				}
				b.ReportAllocs()
				before := spent()
				defer func() { b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op") }()
				for i := 0; b.Loop(); i++ {
					if got, err := call(ctx, flat{ID: "order-0123456789", Quantity: i}); err != nil || got.Quantity != i {
						b.Fatalf("got %+v, %v", got, err)
					}
				}
				per := float64(b.Elapsed()) / float64(b.N)
				if first == 0 {
					first = per
				}
				b.ReportMetric(per/first, "x/flat")
			})
		}
	}
}
