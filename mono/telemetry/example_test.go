package telemetry_test

import (
	"context"
	"fmt"
	"log/slog"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gomono.dev/mono"
	"gomono.dev/mono/telemetry"
	"gomono.dev/transport/inproc"
)

// The job that a call has enqueued is in the trace of the call.
func Example() {
	spans := tracetest.NewInMemoryExporter() // a program has an exporter of OTLP here
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(telemetry.New(telemetry.TracerProvider(tracers)))
	done := make(chan bool)
	app.Add(mono.NewModule("orders", func(s *mono.Scope) error {
		enqueue := ship.Enqueuer(s)
		place.Handle(s, func(ctx context.Context, o order) (order, error) { return o, enqueue(ctx, o) })
		return nil
	}), mono.NewModule("warehouse", func(s *mono.Scope) error {
		ship.Handle(s, func(context.Context, order) error {
			close(done)
			return nil
		})
		return nil
	}))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := place.Call(ctx, app, order{ID: "a1"}); err != nil {
		fmt.Println(err)
	}
	<-done
	if err := app.Stop(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Print(tree(spans.GetSpans()))
	// Output:
	// orders.place internal
	//  send orders.ship producer
	//   process orders.ship consumer
}
