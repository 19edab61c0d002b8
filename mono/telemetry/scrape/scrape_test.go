package scrape_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/sdk/trace"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/telemetry"
	"gomono.dev/mono/telemetry/scrape"
	"gomono.dev/transport/inproc"
)

type order struct{ ID string }

var (
	place = mono.NewService[order, order]("orders.place")
	ship  = mono.NewQueue[order]("orders.ship", mono.MaxAttempts(1))
)

// A scrape has all metrics, without a complaint of promlint, and exemplars with the id of the trace.
func TestScrape(t *testing.T) {
	registry := prometheus.NewRegistry()
	meters, handler, err := scrape.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	app := mono.New(inproc.New(inproc.Options{}), mono.NoLocalCalls(), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(telemetry.New(telemetry.TracerProvider(trace.NewTracerProvider()), telemetry.MeterProvider(meters)))
	var letters mono.DeadLetters[order]
	app.Add(mono.NewModule("orders", func(s *mono.Scope) error {
		enqueue := ship.Enqueuer(s)
		place.Handle(s, func(ctx context.Context, o order) (order, error) { return o, enqueue(ctx, o) })
		return nil
	}), mono.NewModule("warehouse", func(s *mono.Scope) error {
		letters = ship.DeadLetters(s)
		ship.Handle(s, func(context.Context, order) error { return errors.New("no truck") })
		return nil
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop(context.Background())
	if _, err := place.Call(t.Context(), app, order{"a1"}); err != nil {
		t.Fatal(err)
	}
	realtime.Until(t, "the dead letter", func() bool {
		for range letters.List(t.Context(), mono.DeadLetterFilter{}) {
			return true
		}
		return false
	})
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, want := range []string{
		`rpc_server_call_duration_seconds_bucket\{mono_module="orders",rpc_method="orders.place",rpc_response_status_code="ok",rpc_system_name="mono",le="[0-9.]+"} [0-9]+ # \{`,
		`rpc_client_call_duration_seconds_count\{`,
		`messaging_client_operation_duration_seconds_count\{`,
		`messaging_client_sent_messages_total\{messaging_destination_name="orders.ship",messaging_operation_name="send",messaging_system="inproc",mono_module="orders"} 1`,
		`messaging_process_duration_seconds_count\{error_type="unknown",messaging_consumer_group_name="workers",messaging_destination_name="orders.ship",messaging_operation_name="process",messaging_system="inproc",mono_module="warehouse",mono_sender="orders"} 1`,
		`messaging_client_consumed_messages_total\{`,
		`mono_handle_dead_letters\{messaging_destination_name="orders.ship",mono_kind="queue"} 1`,
		`mono_group_lag\{messaging_consumer_group_name="workers",messaging_destination_name="orders.ship",mono_kind="queue"} 0`,
	} {
		realtime.Until(t, "in the scrape: "+want, func() bool { return regexp.MustCompile(want).MatchString(scraped(handler)) })
	}
}

// scraped returns the response to a scrape, with exemplars.
func scraped(handler http.Handler) string {
	request := httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	return response.Body.String()
}
