package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/telemetry"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

type order struct {
	ID   string
	Text string `json:",omitempty"`
}

var (
	place  = mono.NewService[order, order]("orders.place")
	placed = mono.NewEvent[order]("orders.placed")
	ship   = mono.NewQueue[order]("orders.ship", mono.MaxAttempts(1))
	ledger = mono.NewStream[order]("orders.ledger", mono.MaxAttempts(1), mono.Partitions(4)).KeyedBy(func(o order) string { return o.ID })
)

// path is a transport, and the way of calls.
type path struct {
	name string
	open func(testing.TB) transport.Transport
	opts []mono.AppOption
}

var paths = []path{
	{"local", openInproc, nil},
	{"inproc", openInproc, []mono.AppOption{mono.NoLocalCalls()}},
	{"nats", openNATS, []mono.AppOption{mono.NoLocalCalls()}},
}

func (p path) isLocal() bool { return p.opts == nil }

func onPaths(t *testing.T, test func(t *testing.T, p path)) {
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

func openInproc(t testing.TB) transport.Transport {
	tr := inproc.New(inproc.Options{})
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

func openNATS(t testing.TB) transport.Transport {
	tr, err := embedded.Open(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// app returns an App on the path, with middleware.
func (p path) app(t testing.TB, middleware ...mono.Middleware) *mono.App {
	app := mono.New(p.open(t), append(p.opts, mono.Logger(slog.New(slog.DiscardHandler)))...)
	app.Use(middleware...)
	return app
}

// start starts an App, and stops it at the end of the test.
func start(t testing.TB, app *mono.App, modules ...mono.Module) {
	t.Helper()
	app.Add(modules...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func module(name string, bind func(s *mono.Scope)) mono.Module {
	return mono.NewModule(name, func(s *mono.Scope) error {
		bind(s)
		return nil
	})
}

func same(_ context.Context, o order) (order, error) { return o, nil }

// serving returns a module that provides the service.
func serving(fn mono.Func[order, order]) mono.Module {
	return module("orders", func(s *mono.Scope) { place.Handle(s, fn) })
}

// recorder records spans and metrics.
type recorder struct {
	t       testing.TB
	spans   *tracetest.InMemoryExporter
	tracers *sdktrace.TracerProvider
	reader  *sdkmetric.ManualReader
	meters  *sdkmetric.MeterProvider
}

func newRecorder(t testing.TB, opts ...sdktrace.TracerProviderOption) *recorder {
	r := &recorder{t: t, spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	r.tracers = sdktrace.NewTracerProvider(append(opts, sdktrace.WithSyncer(r.spans))...)
	r.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	return r
}

// middleware returns a Telemetry with the recorder.
func (r *recorder) middleware(opts ...telemetry.Option) *telemetry.Telemetry {
	return telemetry.New(append([]telemetry.Option{telemetry.TracerProvider(r.tracers), telemetry.MeterProvider(r.meters)}, opts...)...)
}

// await returns the spans, once there are n.
func (r *recorder) await(n int) tracetest.SpanStubs {
	r.t.Helper()
	realtime.Until(r.t, fmt.Sprint(n, " spans"), func() bool { return len(r.spans.GetSpans()) >= n })
	spans := r.spans.GetSpans()
	if len(spans) != n {
		r.t.Errorf("got %d spans, want %d: %q", len(spans), n, tree(spans))
	}
	return spans
}

// metrics returns the metrics by their names.
func (r *recorder) metrics() map[string]metricdata.Metrics {
	r.t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &all); err != nil {
		r.t.Fatal(err)
	}
	found := make(map[string]metricdata.Metrics)
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			found[m.Name] = m
		}
	}
	return found
}

// tree returns a line for each span, below its parent.
func tree(spans tracetest.SpanStubs) string {
	var b strings.Builder
	var below func(parent trace.SpanID, indent string)
	below = func(parent trace.SpanID, indent string) {
		var lines []tracetest.SpanStub
		for _, s := range spans {
			known := slices.ContainsFunc(spans, func(o tracetest.SpanStub) bool { return o.SpanContext.SpanID() == s.Parent.SpanID() })
			if s.Parent.SpanID() == parent && known || !known && !parent.IsValid() {
				lines = append(lines, s)
			}
		}
		slices.SortFunc(lines, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
		for _, s := range lines {
			failed := ""
			if s.Status.Code == codes.Error {
				failed = " failed"
			}
			fmt.Fprintf(&b, "%s%s %s%s\n", indent, s.Name, s.SpanKind, failed)
			below(s.SpanContext.SpanID(), indent+" ")
		}
	}
	below(trace.SpanID{}, "")
	return b.String()
}

// attributes returns some attributes as text.
func attributes(attrs []attribute.KeyValue, names ...string) string {
	var texts []string
	for _, n := range names {
		text := "-"
		for _, a := range attrs {
			if string(a.Key) == n {
				text = a.Value.String()
			}
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// What follows from an HTTP request is one trace: a call, an event, a job with a delay, a message
// of a stream whose handler fails, its dead letter and the replay.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t)
		app := p.app(t, r.middleware())
		var letters mono.DeadLetters[order]
		broken, tenants := true, make(chan string, 10)
		start(t, app, module("orders", func(s *mono.Scope) {
			publish := placed.Publisher(s)
			place.Handle(s, func(ctx context.Context, o order) (order, error) { return o, publish(ctx, o) })
		}), module("warehouse", func(s *mono.Scope) {
			enqueue, append := ship.Enqueuer(s), ledger.Appender(s)
			placed.Handle(s, func(ctx context.Context, o order) error { return enqueue(ctx, o, mono.Delay(10*time.Millisecond)) })
			ship.Handle(s, func(ctx context.Context, o order) error { return append(ctx, o) })
		}), module("books", func(s *mono.Scope) {
			letters = ledger.DeadLetters(s)
			ledger.Handle(s, func(ctx context.Context, _ order) error {
				tenants <- baggage.FromContext(ctx).Member("tenant").Value()
				if broken {
					broken = false
					return errors.New("no paper, password=hunter2")
				}
				return nil
			})
		}))
		w3c := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
		request := httptest.NewRequest(http.MethodPost, "/orders", nil)
		request.Header.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		request.Header.Set("tracestate", "vendor=1")
		request.Header.Set("baggage", "tenant=acme")
		http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
			ctx, span := r.tracers.Tracer("http").Start(w3c.Extract(q.Context(), propagation.HeaderCarrier(q.Header)), "POST /orders", trace.WithSpanKind(trace.SpanKindServer))
			defer span.End()
			if _, err := place.Call(ctx, app, order{ID: "a1"}); err != nil {
				t.Error(err)
			}
		}).ServeHTTP(httptest.NewRecorder(), request)

		realtime.Until(t, "the dead letter", func() bool {
			for l, err := range letters.List(t.Context(), mono.DeadLetterFilter{}) {
				if err != nil {
					t.Fatal(err)
				}
				if err := letters.Replay(t.Context(), l); err != nil {
					t.Fatal(err)
				}
				return true
			}
			return false
		})
		call := "orders.place client\n  orders.place server\n   "
		n := 10
		if p.isLocal() {
			call, n = "orders.place internal\n  ", 9
		}
		spans := r.await(n)
		want := "POST /orders server\n " + call + "send orders.placed producer\n"
		steps := []string{"process orders.placed consumer", "send orders.ship producer", "process orders.ship consumer", "send orders.ledger producer", "process orders.ledger consumer failed"}
		indent := n - 6
		for _, s := range steps {
			want += strings.Repeat(" ", indent) + s + "\n"
			indent++
		}
		want += strings.Repeat(" ", indent-1) + "process orders.ledger consumer\n"
		if got := tree(spans); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		for _, s := range spans {
			if s.SpanContext.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || s.SpanContext.TraceState().String() != "vendor=1" {
				t.Errorf("%s is in trace %s, with state %q", s.Name, s.SpanContext.TraceID(), s.SpanContext.TraceState())
			}
			if s.Status.Code == codes.Error && s.Status.Description != "no paper, password=[REDACTED]" {
				t.Errorf("%s has the status %q", s.Name, s.Status.Description)
			}
		}
		for range 2 {
			if tenant := <-tenants; tenant != "acme" {
				t.Errorf("got the baggage %q", tenant)
			}
		}
	})
}

// Spans have the attributes of the semantic conventions.
func TestAttributes(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t)
		app := p.app(t, r.middleware(telemetry.Attributes(attribute.String("server.address", "db1"))))
		var call mono.Func[order, order]
		start(t, app, serving(func(_ context.Context, o order) (order, error) {
			return o, mono.Errorf(mono.NotFound, "no such order")
		}), module("shop", func(s *mono.Scope) { call = place.Client(s) }), module("books", func(s *mono.Scope) {
			ledger.Handle(s, func(context.Context, order) error { return mono.Permanent(mono.Errorf(mono.Aborted, "no")) })
		}))
		if _, err := call(t.Context(), order{ID: "a1"}); err == nil {
			t.Error("no error")
		}
		if err := ledger.With(mono.DedupID("id1")).Append(t.Context(), app, order{ID: "a1"}); err != nil {
			t.Fatal(err)
		}
		system := "inproc"
		if p.name == "nats" {
			system = "nats"
		}
		rpc := []string{"rpc.system.name", "rpc.method", "rpc.response.status_code", "error.type", "mono.module", "mono.sender", "mono.local", "mono.kind", "server.address"}
		messaging := []string{"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name", "messaging.consumer.group.name", "messaging.message.id", "messaging.message.body.size", "messaging.destination.partition.id", "error.type", "mono.module", "mono.attempt"}
		want := map[string]string{
			"orders.place server":            "mono orders.place not_found - orders shop - service db1",
			"orders.place client":            "mono orders.place not_found not_found shop - - service db1",
			"send orders.ledger producer":    system + " send send orders.ledger - id1 11 - - - -",
			"process orders.ledger consumer": system + " process process orders.ledger books id1 11 " + fmt.Sprint(transport.PartitionOf("a1", 4)) + " aborted books 1",
		}
		if p.isLocal() {
			want["orders.place internal"] = "mono orders.place not_found - orders shop true service db1"
			delete(want, "orders.place server")
			delete(want, "orders.place client")
		}
		for _, s := range r.await(len(want)) {
			names := messaging
			if strings.HasPrefix(s.Name, "orders") {
				names = rpc
			}
			name := s.Name + " " + s.SpanKind.String()
			if got := attributes(s.Attributes, names...); got != want[name] {
				t.Errorf("%s: got  %s\nwant %s", name, got, want[name])
			}
			if failed := s.Status.Code == codes.Error; failed != (name == "orders.place client" || name == "process orders.ledger consumer") {
				t.Errorf("%s has the status %v", name, s.Status)
			}
		}
	})
}

// A batch links to the sends of all its messages, and begins a trace. So does a single message
// with the option Links.
func TestLinks(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t)
		app := p.app(t, r.middleware(telemetry.Links()))
		start(t, app, module("single", func(s *mono.Scope) {
			ship.Handle(s, func(context.Context, order) error { return nil })
		}), module("batches", func(s *mono.Scope) {
			ledger.HandleBatch(s, func(context.Context, []mono.Message[order]) error { return nil }, mono.BatchSize(3), mono.BatchWait(time.Minute))
		}))
		for n := range 3 {
			if err := ledger.Append(t.Context(), app, order{ID: fmt.Sprint(n)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := ship.Enqueue(t.Context(), app, order{}); err != nil {
			t.Fatal(err)
		}
		spans := r.await(6)
		sent := make(map[trace.SpanID]bool)
		for _, s := range spans {
			if s.SpanKind == trace.SpanKindProducer {
				sent[s.SpanContext.SpanID()] = true
			}
		}
		for _, s := range spans {
			if s.SpanKind == trace.SpanKindProducer {
				continue
			}
			want, count := 1, "-"
			if strings.HasSuffix(s.Name, "ledger") {
				want, count = 3, "3"
			}
			if s.Parent.IsValid() || len(s.Links) != want || attributes(s.Attributes, "messaging.batch.message_count") != count {
				t.Errorf("%s has the parent %v, %d links, and %v", s.Name, s.Parent.SpanID(), len(s.Links), s.Attributes)
			}
			for _, l := range s.Links {
				if !sent[l.SpanContext.SpanID()] {
					t.Errorf("%s links to %v", s.Name, l.SpanContext)
				}
				delete(sent, l.SpanContext.SpanID())
			}
		}
		if len(sent) > 0 {
			t.Errorf("nothing links to %v", sent)
		}
	})
}

// A trace that a sender sets in the header goes on, also through a local call, and so does one that
// mono.Propagate passes on.
func TestHeaderOfTheSender(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	onPaths(t, func(t *testing.T, p path) {
		p.opts = append([]mono.AppOption{mono.Propagate("traceparent", nil)}, p.opts...)
		r := newRecorder(t)
		app := p.app(t, r.middleware())
		start(t, app, serving(same), module("w", func(s *mono.Scope) { ship.Handle(s, func(context.Context, order) error { return nil }) }))
		n := 4
		if len(p.opts) == 1 {
			n = 2
		}
		if _, err := place.With(mono.Header("traceparent", parent)).Call(t.Context(), app, order{}); err != nil {
			t.Fatal(err)
		}
		if _, err := place.Call(mono.WithPropagated(t.Context(), "traceparent", parent), app, order{}); err != nil {
			t.Fatal(err)
		}
		if err := ship.Enqueue(mono.WithPropagated(t.Context(), "traceparent", parent), app, order{}); err != nil {
			t.Fatal(err)
		}
		roots := 0
		for _, s := range r.await(n + 2) {
			if s.SpanContext.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
				t.Errorf("%s is in trace %s", s.Name, s.SpanContext.TraceID())
			}
			if s.Parent.SpanID().String() == "00f067aa0ba902b7" {
				roots++
			}
		}
		if roots != 3 {
			t.Errorf("%d spans have the parent of the header", roots)
		}
	})
}

// One Telemetry cannot run with two Apps at once. After one has stopped, another can have it.
func TestOneApp(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	m := r.middleware()
	app := paths[0].app(t, m)
	app.Add(serving(same))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := paths[0].app(t, m).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "make one for each App") {
		t.Errorf("got %v", err)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := paths[0].app(t, m)
	start(t, next, serving(same))
	if _, err := place.Call(t.Context(), next, order{}); err != nil {
		t.Fatal(err)
	}
	r.await(1)
}

// In a trace that is not sampled a local call has no span, and the trace goes on. After a caller of
// another process the sampler decides.
func TestTraceThatIsNotSampled(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample(), sdktrace.WithRemoteParentNotSampled(sdktrace.AlwaysSample()))))
		app := p.app(t, r.middleware())
		seen := make(chan trace.SpanContext, 1)
		start(t, app, serving(func(ctx context.Context, o order) (order, error) {
			seen <- trace.SpanContextFromContext(ctx)
			return o, nil
		}))
		ctx, span := r.tracers.Tracer("http").Start(t.Context(), "GET /")
		if _, err := place.Call(ctx, app, order{}); err != nil {
			t.Fatal(err)
		}
		parent, got := span.SpanContext(), <-seen
		if got.TraceID() != parent.TraceID() || p.isLocal() && (got.SpanID() != parent.SpanID() || got.IsSampled()) {
			t.Errorf("got %v after %v", got, parent)
		}
		r.spans.Reset()
		if _, err := place.Call(trace.ContextWithRemoteSpanContext(t.Context(), parent), app, order{}); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got.TraceID() != parent.TraceID() || got.SpanID() == parent.SpanID() || !got.IsSampled() {
			t.Errorf("got %v after the remote %v", got, parent)
		}
	})
}

// LogAttrs has the ids of the span.
func TestLogAttrs(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	logged := make(chan string, 1)
	app := paths[0].app(t, r.middleware(), mono.MiddlewareFunc(func(next mono.Next) mono.Next {
		return func(ctx context.Context, c *mono.Call) error {
			if c.Side() == mono.SideReceiver {
				logged <- fmt.Sprint(telemetry.LogAttrs(ctx, c))
			}
			return next(ctx, c)
		}
	}))
	start(t, app, serving(same))
	if _, err := place.Call(t.Context(), app, order{}); err != nil {
		t.Fatal(err)
	}
	s := r.await(1)[0].SpanContext
	if got, want := <-logged, fmt.Sprintf("[trace_id=%s span_id=%s]", s.TraceID(), s.SpanID()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := telemetry.LogAttrs(t.Context(), nil); got != nil {
		t.Errorf("got %v", got)
	}
}
