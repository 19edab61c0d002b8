package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/telemetry"
	"gomono.dev/transport"
)

// A message with a forged or oversize header is handled, and begins a trace without baggage.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t)
		app := p.app(t, r.middleware())
		seen := make(chan string, 1)
		start(t, app, serving(func(ctx context.Context, o order) (order, error) {
			seen <- fmt.Sprint(baggage.FromContext(ctx).Len())
			return o, nil
		}))
		const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		large := strings.Repeat("a", 500<<10)
		for _, h := range []transport.Header{
			{{Name: "traceparent", Value: large}},
			{{Name: "traceparent", Value: "00-00000000000000000000000000000000-00f067aa0ba902b7-01"}},
			{{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"}},
			{{Name: "traceparent", Value: "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
			{{Name: "traceparent", Value: good + "-01"}},
			{{Name: "traceparent", Value: "'; DROP TABLE spans; --"}},
			{{Name: "tracestate", Value: large}, {Name: "baggage", Value: "a=" + large}},
			{{Name: "baggage", Value: strings.Repeat("=,;", 2000)}},
		} {
			m := &transport.Message{Subject: "services.orders.place", Body: []byte(`{"ID":"a1"}`), Header: h}
			reply, err := mono.Raw(app).Request(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			var o order
			if err := json.Unmarshal(reply.Body, &o); err != nil || o.ID != "a1" {
				t.Errorf("got %s, %v", reply.Body, err)
			}
			if n := <-seen; n != "0" {
				t.Errorf("the baggage has %s members", n)
			}
			s := r.await(1)[0]
			if s.Parent.IsValid() || s.SpanContext.TraceID().String() == "4bf92f3577b34da6a3ce929d0e0e4736" {
				t.Errorf("%.80s: the parent is %v", h, s.Parent)
			}
			r.spans.Reset()
		}
	})
}

// A message whose header, or which itself, is too large only with the trace is sent without it.
func TestMessageWithoutRoom(t *testing.T) {
	t.Parallel()
	for _, p := range paths[1:] {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			app := p.app(t, r.middleware())
			got := make(chan int, 1)
			start(t, app, module("w", func(s *mono.Scope) {
				ship.Handle(s, func(_ context.Context, o order) error {
					got <- len(o.Text)
					return nil
				})
			}))
			member, err := baggage.NewMember("a", strings.Repeat("a", 4000))
			if err != nil {
				t.Fatal(err)
			}
			bag, err := baggage.New(member)
			if err != nil {
				t.Fatal(err)
			}
			ctx := baggage.ContextWithBaggage(t.Context(), bag)
			if err := ship.With(mono.Header("Large", strings.Repeat("a", 50<<10))).Enqueue(ctx, app, order{Text: "x"}); err != nil {
				t.Error(err)
			}
			if n := <-got; n != 1 {
				t.Errorf("got %d bytes", n)
			}
			if err := ship.With(mono.Header("Large", strings.Repeat("a", 60<<10))).Enqueue(ctx, app, order{Text: "x"}); mono.CodeOf(err) != mono.InvalidArgument {
				t.Errorf("got %v", err)
			}
			limit := mono.Raw(app).Capabilities().MaxPayload
			if limit == 0 {
				return
			}
			fits := 0 // without a trace
			plain := p.app(t)
			start(t, plain, module("w", func(s *mono.Scope) {
				ship.Handle(s, func(context.Context, order) error { return nil })
			}))
			for size := limit - 8000; ship.Enqueue(t.Context(), plain, order{Text: strings.Repeat("a", size)}) == nil; size += 200 {
				fits = size
			}
			if err := ship.Enqueue(ctx, app, order{Text: strings.Repeat("a", fits)}); fits == 0 || err != nil {
				t.Errorf("%d bytes: %v", fits, err)
			}
			if n := <-got; n != fits {
				t.Errorf("got %d bytes", n)
			}
		})
	}
}

// A call that its provider refuses is sent once, whatever the provider answers.
func TestRefusedCallIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, p := range paths[1:] {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			var received atomic.Int64
			validating := mono.MiddlewareFunc(func(next mono.Next) mono.Next {
				return func(ctx context.Context, c *mono.Call) error {
					if c.Side() == mono.SideSender {
						return next(ctx, c)
					}
					received.Add(1)
					return &mono.Error{Code: mono.InvalidArgument, Outcome: mono.OutcomeNotDone, Message: "bad tenant", Err: transport.ErrTooLarge}
				}
			})
			app := p.app(t, newRecorder(t).middleware(), validating)
			start(t, app, serving(same))
			if _, err := place.Call(t.Context(), app, order{ID: "a1"}); mono.CodeOf(err) != mono.InvalidArgument || mono.OutcomeOf(err) != mono.OutcomeNotDone {
				t.Errorf("got %v", err)
			}
			if n := received.Load(); n != 1 {
				t.Errorf("the provider got %d calls", n)
			}
		})
	}
}

// panicking panics in the method that has the name.
type panicking struct{ in string }

func (p panicking) at(name string) {
	if p.in == name {
		panic("provider: " + name)
	}
}

type (
	badTracers struct {
		trace.TracerProvider
		panicking
	}
	badTracer struct {
		trace.Tracer
		panicking
	}
	badSpan struct {
		trace.Span
		panicking
	}
	badMeters struct {
		metric.MeterProvider
		panicking
	}
	badMeter struct {
		metric.Meter
		panicking
	}
	badHistogram struct {
		metric.Float64Histogram
		panicking
	}
	badPropagator struct {
		propagation.TextMapPropagator
		panicking
	}
)

func (p badTracers) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	p.at("Tracer")
	return badTracer{p.TracerProvider.Tracer(name, opts...), p.panicking}
}

func (t badTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.at("Start")
	if t.in == "nil" {
		return nil, nil
	}
	ctx, s := t.Tracer.Start(ctx, name, opts...)
	return ctx, badSpan{s, t.panicking}
}

func (s badSpan) End(opts ...trace.SpanEndOption) {
	s.at("End")
	s.Span.End(opts...)
}

func (s badSpan) IsRecording() bool {
	s.at("IsRecording")
	return true
}

func (p badMeters) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	p.at("Meter")
	return badMeter{p.MeterProvider.Meter(name, opts...), p.panicking}
}

func (m badMeter) Float64Histogram(name string, opts ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	m.at("Float64Histogram")
	h, err := m.Meter.Float64Histogram(name, opts...)
	if m.in == "error" {
		return nil, errors.New("no instrument")
	}
	return badHistogram{h, m.panicking}, err
}

func (m badMeter) RegisterCallback(f metric.Callback, o ...metric.Observable) (metric.Registration, error) {
	m.at("RegisterCallback")
	return m.Meter.RegisterCallback(f, o...)
}

func (h badHistogram) Record(ctx context.Context, v float64, opts ...metric.RecordOption) {
	h.at("Record")
	h.Float64Histogram.Record(ctx, v, opts...)
}

func (p badPropagator) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	p.at("Inject")
	c.Set("Mono-Id", "forged")
	c.Set("a b", "forged")
	c.Set("Nats-Msg-Id", "forged")
	c.Set("Control", "a\nb")
	p.TextMapPropagator.Inject(ctx, c)
}

func (p badPropagator) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	p.at("Extract")
	return p.TextMapPropagator.Extract(ctx, c)
}

// A provider that panics or fails anywhere loses no message.
func TestBadProviders(t *testing.T) { // not parallel: it sets the global handler of errors
	var reported atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { reported.Add(1); panic("the handler of errors") }))
	t.Cleanup(func() { otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) })
	for _, in := range []string{"", "nil", "error", "Tracer", "Start", "End", "IsRecording", "Meter", "Float64Histogram", "RegisterCallback", "Record", "Inject", "Extract"} {
		t.Run(in, func(t *testing.T) {
			for _, p := range paths[:2] {
				reported.Store(0)
				r := newRecorder(t)
				app := p.app(t, telemetry.New(telemetry.TracerProvider(badTracers{r.tracers, panicking{in}}), telemetry.MeterProvider(badMeters{r.meters, panicking{in}}),
					telemetry.Propagator(badPropagator{propagation.TraceContext{}, panicking{in}})))
				handled := make(chan string, 10)
				start(t, app, serving(same), module("w", func(s *mono.Scope) {
					ship.Handle(s, func(ctx context.Context, o order) error {
						handled <- o.ID
						return nil
					})
				}))
				for n := range 3 {
					id := fmt.Sprint(n)
					if o, err := place.Call(t.Context(), app, order{ID: id}); err != nil || o.ID != id {
						t.Errorf("got %v, %v", o, err)
					}
					if err := ship.Enqueue(t.Context(), app, order{ID: id}); err != nil {
						t.Error(err)
					}
					if got := <-handled; got != id {
						t.Errorf("got %s", got)
					}
				}
				if n, want := reported.Load(), int64(1); in != "" && in != "nil" && n != want {
					t.Errorf("%s: %d errors were reported, want %d", p.name, n, want)
				}
			}
		})
	}
}

// A handler that panics, and one that ends its goroutine, have a span with an error.
func TestHandlerThatPanics(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t)
		app := p.app(t, r.middleware(), mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				if c.Side() == mono.SideReceiver && c.Payload().(order).ID == "middleware" {
					panic("middleware")
				}
				return next(ctx, c)
			}
		}))
		start(t, app, serving(func(context.Context, order) (order, error) { panic("handler") }))
		for _, id := range []string{"middleware", "handler"} {
			r.spans.Reset()
			if _, err := place.Call(t.Context(), app, order{ID: id}); mono.CodeOf(err) != mono.Internal {
				t.Errorf("got %v", err)
			}
			n := 2
			if p.isLocal() {
				n = 1
			}
			for _, s := range r.await(n) {
				if attributes(s.Attributes, "error.type", "rpc.response.status_code") != "internal internal" {
					t.Errorf("got %v", s.Attributes)
				}
			}
		}
	})
}

// Texts that are not UTF-8, or very long, are in no span as they are.
func TestForeignTexts(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	app := paths[1].app(t, r.middleware())
	start(t, app, module("w", func(s *mono.Scope) {
		ship.Handle(s, func(context.Context, order) error { return errors.New(strings.Repeat("ü", 1<<20) + "\xff") })
	}))
	m := &transport.Message{Subject: "queues.orders.ship", Body: []byte(`{}`)}
	m.Header.Add(transport.HeaderID, strings.Repeat("i", 300))
	m.Header.Add(transport.HeaderSender, "\xff")
	log, err := mono.Raw(app).Log(t.Context(), transport.LogConfig{Name: "queues_orders_ship", Subjects: []string{"queues.orders.ship", "queues.orders.ship.>"}, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), m, transport.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	s := r.await(1)[0]
	if got, want := attributes(s.Attributes, "messaging.message.id", "mono.sender"), strings.Repeat("i", 256)+" \ufffd"; got != want {
		t.Errorf("got %q", got)
	}
	if n := len(s.Status.Description); n == 0 || n > 1<<10 {
		t.Errorf("the description has %d bytes", n)
	}
}

// The global providers of a program that has set none.
var unsetTracers, unsetMeters = otel.GetTracerProvider(), otel.GetMeterProvider()

// Without a provider nothing is wrapped: a local call has the allocations that it has without a
// Telemetry.
func TestWithoutAProvider(t *testing.T) { // not parallel: it counts allocations, and reads the global providers
	allocations := func(middleware ...mono.Middleware) float64 {
		app := paths[0].app(t, middleware...)
		var call mono.Func[order, order]
		start(t, app, serving(same), module("shop", func(s *mono.Scope) { call = place.Client(s) }))
		return testing.AllocsPerRun(100, func() {
			if _, err := call(t.Context(), order{ID: "a1"}); err != nil {
				t.Fatal(err)
			}
		})
	}
	want := allocations()
	for name, m := range map[string]*telemetry.Telemetry{
		"unset":  telemetry.New(),
		"nil":    telemetry.New(telemetry.TracerProvider(nil), telemetry.MeterProvider(nil)),
		"no-op":  telemetry.New(telemetry.TracerProvider(tracenoop.NewTracerProvider()), telemetry.MeterProvider(metricnoop.NewMeterProvider())),
		"unset2": telemetry.New(telemetry.TracerProvider(unsetTracers), telemetry.MeterProvider(unsetMeters)),
	} {
		if got := allocations(m); got != want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
	}
	r := newRecorder(t)
	otel.SetTracerProvider(r.tracers)
	t.Cleanup(func() { otel.SetTracerProvider(tracenoop.NewTracerProvider()) })
	for _, m := range []*telemetry.Telemetry{telemetry.New(), telemetry.New(telemetry.TracerProvider(unsetTracers))} {
		if got := allocations(m); got == want {
			t.Errorf("no allocation with a span")
		}
	}
	if len(r.spans.GetSpans()) == 0 {
		t.Error("no spans")
	}
}

// Many messages at once have their spans. The race detector finds the rest.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t)
		app := p.app(t, r.middleware())
		var handled atomic.Int64
		start(t, app, serving(same), module("w", func(s *mono.Scope) {
			ship.Handle(s, func(context.Context, order) error {
				handled.Add(1)
				return nil
			}, mono.Concurrency(8))
		}))
		done := make(chan error, 8)
		for n := range cap(done) {
			go func() {
				for range 20 {
					_, err := place.Call(t.Context(), app, order{ID: fmt.Sprint(n)})
					if err == nil {
						err = ship.Enqueue(t.Context(), app, order{})
					}
					if err != nil {
						done <- err
						return
					}
					r.metrics()
				}
				done <- nil
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		realtime.Until(t, "the jobs", func() bool { return handled.Load() == 160 })
		n := 640
		if p.isLocal() {
			n = 480
		}
		r.await(n)
	})
}
