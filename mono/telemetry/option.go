package telemetry

import (
	"reflect"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Option is an option of New.
type Option func(*options)

type options struct {
	tracers    func() trace.TracerProvider
	meters     func() metric.MeterProvider
	propagator propagation.TextMapPropagator
	attributes []attribute.KeyValue
	links      bool
}

func defaults() options {
	return options{
		tracers: otel.GetTracerProvider, meters: otel.GetMeterProvider,
		propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	}
}

// Attributes adds attributes to all spans, such as server.address.
func Attributes(attrs ...attribute.KeyValue) Option {
	return func(o *options) { o.attributes = append(o.attributes, attrs...) }
}

// Links begins a new trace with each processed message, with a link to the span that sent the message.
// Then a trace is as short as one step, and is sampled by itself. Calls stay in the trace of their
// callers.
func Links() Option { return func(o *options) { o.links = true } }

// MeterProvider sets the provider of metrics. The default is the global one. With nil there are no
// metrics.
func MeterProvider(p metric.MeterProvider) Option {
	return func(o *options) { o.meters = func() metric.MeterProvider { return p } }
}

// Propagator sets the headers that carry a trace. The default is W3C trace context and baggage. Local
// calls pass on the span and the baggage without headers. The Keys of the carrier are empty.
func Propagator(p propagation.TextMapPropagator) Option {
	return func(o *options) { o.propagator = p }
}

// TracerProvider sets the provider of traces. The default is the global one. With nil there are no
// traces.
func TracerProvider(p trace.TracerProvider) Option {
	return func(o *options) { o.tracers = func() trace.TracerProvider { return p } }
}

// tracerProvider returns the provider of traces, nil if it does nothing. The placeholder that was
// global before the program has set a provider stands for that provider.
func (o *options) tracerProvider() trace.TracerProvider {
	p := o.tracers()
	if packageOf(p) == unset {
		p = otel.GetTracerProvider()
	}
	if doesNothing(p) {
		return nil
	}
	return p
}

// meterProvider is like tracerProvider, for metrics.
func (o *options) meterProvider() metric.MeterProvider {
	p := o.meters()
	if packageOf(p) == unset {
		p = otel.GetMeterProvider()
	}
	if doesNothing(p) {
		return nil
	}
	return p
}

// unset is the package of the global providers of a program that has set none.
const unset = "go.opentelemetry.io/otel/internal/global"

// doesNothing reports whether a provider is known to have no effect.
func doesNothing(provider any) bool {
	switch packageOf(provider) {
	case "", unset, "go.opentelemetry.io/otel/trace/noop", "go.opentelemetry.io/otel/metric/noop":
		return true
	}
	return false
}

// packageOf returns the package of a value's type, "" for nil.
func packageOf(v any) string {
	t := reflect.TypeOf(v)
	switch {
	case t == nil:
		return ""
	case t.Kind() != reflect.Pointer:
		return t.PkgPath()
	case reflect.ValueOf(v).IsNil():
		return ""
	}
	return t.Elem().PkgPath()
}
