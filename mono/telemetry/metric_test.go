package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/telemetry"
	"gomono.dev/transport"
)

// points returns a line for each data point: its attributes, and its count or value.
func points(m metricdata.Metrics) (lines []string) {
	line := func(set attribute.Set, n any) {
		lines = append(lines, fmt.Sprintf("%s %v", set.Encoded(attribute.DefaultEncoder()), n))
	}
	switch d := m.Data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			line(p.Attributes, p.Count)
		}
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			line(p.Attributes, p.Value)
		}
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			line(p.Attributes, p.Value)
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			line(p.Attributes, p.Value > 0)
		}
	}
	slices.Sort(lines)
	return lines
}

// The metrics have the names, units, buckets and attributes of the semantic conventions, and the
// span of an exemplar.
func TestMetrics(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t)
		app := p.app(t, r.middleware())
		var call mono.Func[order, order]
		start(t, app, serving(func(_ context.Context, o order) (order, error) {
			if o.ID == "" {
				return o, mono.Errorf(mono.Unavailable, "closed")
			}
			return o, nil
		}), module("shop", func(s *mono.Scope) { call = place.Client(s) }), module("w", func(s *mono.Scope) {
			ship.Handle(s, func(context.Context, order) error { return errors.New("broken") })
		}), module("books", func(s *mono.Scope) {
			ledger.HandleBatch(s, func(context.Context, []mono.Message[order]) error { return nil }, mono.BatchSize(2), mono.BatchWait(time.Minute))
		}))
		for _, id := range []string{"a1", "", "a2"} {
			_, _ = call(t.Context(), order{ID: id})
		}
		if err := ship.Enqueue(t.Context(), app, order{}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := ledger.Append(t.Context(), app, order{ID: "a1"}); err != nil {
				t.Fatal(err)
			}
		}
		n := 11
		if p.isLocal() {
			n = 8
		}
		spans := r.await(n)
		system := "inproc"
		if p.name == "nats" {
			system = "nats"
		}
		send := "messaging.destination.name=orders.%s,messaging.operation.name=send,messaging.system=" + system + " %d"
		sent := []string{fmt.Sprintf(send, "ledger", 2), fmt.Sprintf(send, "ship", 1)}
		process := func(batches int) []string {
			return []string{
				fmt.Sprintf("error.type=unknown,messaging.consumer.group.name=workers,messaging.destination.name=orders.ship,messaging.operation.name=process,messaging.system=%s,mono.module=w 1", system),
				fmt.Sprintf("messaging.consumer.group.name=books,messaging.destination.name=orders.ledger,messaging.operation.name=process,messaging.system=%s,mono.module=books %d", system, batches),
			}
		}
		want := map[string][]string{
			"rpc.server.call.duration": {
				"error.type=unavailable,mono.module=orders,mono.sender=shop,rpc.method=orders.place,rpc.response.status_code=unavailable,rpc.system.name=mono 1",
				"mono.module=orders,mono.sender=shop,rpc.method=orders.place,rpc.response.status_code=ok,rpc.system.name=mono 2",
			},
			"rpc.client.call.duration": {
				"error.type=unavailable,mono.module=shop,rpc.method=orders.place,rpc.response.status_code=unavailable,rpc.system.name=mono 1",
				"mono.module=shop,rpc.method=orders.place,rpc.response.status_code=ok,rpc.system.name=mono 2",
			},
			"messaging.client.operation.duration": sent, "messaging.client.sent.messages": sent,
			"messaging.process.duration": process(1), "messaging.client.consumed.messages": process(2),
		}
		if p.isLocal() {
			delete(want, "rpc.client.call.duration")
		}
		var all map[string]metricdata.Metrics
		realtime.Until(t, "the last measurement", func() bool {
			all = r.metrics()
			return len(points(all["messaging.client.consumed.messages"])) == 2
		})
		for name, want := range want {
			m := all[name]
			if got := points(m); !slices.Equal(got, want) {
				t.Errorf("%s: got\n%q\nwant\n%q", name, got, want)
			}
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				if m.Unit != "{message}" {
					t.Errorf("%s has the unit %q", name, m.Unit)
				}
				continue
			}
			if m.Unit != "s" || !slices.Equal(h.DataPoints[0].Bounds, []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}) {
				t.Errorf("%s has the unit %q and the buckets %v", name, m.Unit, h.DataPoints[0].Bounds)
			}
			for _, p := range h.DataPoints {
				if len(p.Exemplars) == 0 {
					t.Errorf("%s has no exemplar", name)
				}
				for _, e := range p.Exemplars {
					known := false
					for _, s := range spans {
						id := s.SpanContext.SpanID()
						known = known || string(id[:]) == string(e.SpanID)
					}
					if !known {
						t.Errorf("%s has an exemplar of an unknown span %x", name, e.SpanID)
					}
				}
			}
		}
	})
}

// The number of attribute sets is bounded, whatever strangers send.
func TestCardinality(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	app := paths[1].app(t, r.middleware())
	start(t, app, serving(func(_ context.Context, o order) (order, error) {
		return o, mono.Errorf(mono.Code("code-"+o.ID), "failed")
	}))
	for n := range 200 {
		m := &transport.Message{Subject: "services.orders.place", Body: fmt.Appendf(nil, `{"ID":"%d"}`, n)}
		m.Header.Add(transport.HeaderSender, fmt.Sprint("module-", n))
		if n%2 == 0 {
			m.Header.Set(transport.HeaderSender, fmt.Sprint("module \xff", n))
		}
		if _, err := mono.Raw(app).Request(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	got := points(r.metrics()["rpc.server.call.duration"])
	if len(got) != 33 {
		t.Errorf("got %d sets: %q", len(got), got)
	}
	if want := "error.type=_OTHER,mono.module=orders,mono.sender=_OTHER,rpc.method=orders.place,rpc.response.status_code=_OTHER,rpc.system.name=mono 168"; !slices.Contains(got, want) {
		t.Errorf("got %q", got)
	}
}

// Modules of the App keep their names, also those of other roles, after any number of forged senders.
func TestForgedSendersDisplaceNoModule(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	app := mono.New(paths[1].open(t), mono.NoLocalCalls(), mono.ActiveRoles("api"), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(r.middleware())
	app.Add(mono.InRole("batch", module("reports", func(s *mono.Scope) { place.Client(s) })))
	var call mono.Func[order, order]
	start(t, app, mono.InRole("api", serving(same)), module("shop", func(s *mono.Scope) { call = place.Client(s) }))
	send := func(sender string) {
		m := &transport.Message{Subject: "services.orders.place", Body: []byte(`{}`)}
		m.Header.Add(transport.HeaderSender, sender)
		if _, err := mono.Raw(app).Request(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 100 {
		send(fmt.Sprint("forged-", n))
	}
	if _, err := call(t.Context(), order{}); err != nil {
		t.Fatal(err)
	}
	send("reports")
	got := points(r.metrics()["rpc.server.call.duration"])
	if len(got) != 35 {
		t.Errorf("got %d sets", len(got))
	}
	for sender, n := range map[string]int{"shop": 1, "reports": 1, "_OTHER": 68} {
		if want := fmt.Sprintf("mono.module=orders,mono.sender=%s,rpc.method=orders.place,rpc.response.status_code=ok,rpc.system.name=mono %d", sender, n); !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// The gauges show the lag, what is in hand, and the dead letters of each group.
func TestGauges(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		r := newRecorder(t)
		app := p.app(t, r.middleware())
		begun, finish := make(chan bool, 10), make(chan bool)
		start(t, app, serving(same), module("w", func(s *mono.Scope) {
			placed.Handle(s, func(context.Context, order) error { return nil }) // it is not stored
			ship.Handle(s, func(_ context.Context, o order) error {
				if o.ID == "dead" {
					return errors.New("dead")
				}
				begun <- true
				<-finish
				return nil
			}, mono.Concurrency(1))
		}))
		t.Cleanup(func() { close(finish) })
		for _, id := range []string{"dead", "a1", "a2", "a3"} {
			if err := ship.Enqueue(t.Context(), app, order{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if err := ship.With(mono.Delay(time.Hour)).Enqueue(t.Context(), app, order{ID: "later"}); err != nil {
			t.Fatal(err)
		}
		<-begun
		const handle, group = "messaging.destination.name=orders.ship,mono.kind=queue ", "messaging.consumer.group.name=workers,messaging.destination.name=orders.ship,mono.kind=queue "
		want := map[string]string{
			"mono.handle.dead_letters": handle + "1", "mono.handle.delayed": handle + "1",
			"mono.group.lag": group + "3", "mono.group.partitions.full": group + "0", "mono.group.oldest.age": group + "true",
		}
		realtime.Until(t, "the lag", func() bool { return slices.Contains(points(r.metrics()["mono.group.lag"]), group+"3") })
		all := r.metrics()
		for name, want := range want {
			if got := points(all[name]); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		for _, name := range []string{"mono.group.in_flight", "mono.group.members", "mono.handle.messages"} {
			if got := points(all[name]); len(got) != 1 {
				t.Errorf("%s: got %q", name, got)
			}
		}
	})
}

// hooked are meters that call a function before each value of a gauge.
type hooked struct {
	metric.MeterProvider
	hook func()
}

type (
	hookedMeter struct {
		metric.Meter
		hook func()
	}
	hookedObserver struct {
		metric.Observer
		hook func()
	}
)

func (h hooked) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	return hookedMeter{h.MeterProvider.Meter(name, opts...), h.hook}
}

func (m hookedMeter) RegisterCallback(f metric.Callback, of ...metric.Observable) (metric.Registration, error) {
	return m.Meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		return f(ctx, hookedObserver{o, m.hook})
	}, of...)
}

func (o hookedObserver) ObserveInt64(of metric.Int64Observable, value int64, opts ...metric.ObserveOption) {
	o.hook()
	o.Observer.ObserveInt64(of, value, opts...)
}

// A reader of metrics that is slower than the next refresh has the values of one time.
func TestGaugesOfTwoReaders(t *testing.T) {
	t.Parallel()
	slow, fast := &recorder{t: t, reader: sdkmetric.NewManualReader()}, &recorder{t: t, reader: sdkmetric.NewManualReader()}
	began, finish := make(chan bool), make(chan bool)
	var held atomic.Bool
	meters := hooked{sdkmetric.NewMeterProvider(sdkmetric.WithReader(slow.reader), sdkmetric.WithReader(fast.reader)), func() {
		if held.CompareAndSwap(false, true) {
			close(began)
			<-finish
		}
	}}
	app := paths[0].app(t, telemetry.New(telemetry.TracerProvider(nil), telemetry.MeterProvider(meters)))
	start(t, app, module("w", func(s *mono.Scope) {
		ship.Handle(s, func(context.Context, order) error { return nil })
		ledger.Handle(s, func(context.Context, order) error { return nil })
	}))
	const stored = "messaging.destination.name=orders.ledger,mono.kind=stream "
	got := make(chan []string)
	go func() { got <- points(slow.metrics()["mono.handle.messages"]) }()
	<-began
	if err := ledger.Append(t.Context(), app, order{ID: "a1"}); err != nil {
		t.Error(err)
	}
	realtime.Until(t, "a refresh", func() bool { return slices.Contains(points(fast.metrics()["mono.handle.messages"]), stored+"1") })
	close(finish)
	if lines := <-got; !slices.Contains(lines, stored+"0") {
		t.Errorf("got %q", lines)
	}
}

// After the stop there are no gauges, and a collection does not fail.
func TestGaugesAfterTheStop(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	app := paths[0].app(t, r.middleware())
	app.Add(module("w", func(s *mono.Scope) { ship.Handle(s, func(context.Context, order) error { return nil }) }))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(points(r.metrics()["mono.group.lag"])) != 1 {
		t.Error("no gauge")
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := points(r.metrics()["mono.group.lag"]); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}
