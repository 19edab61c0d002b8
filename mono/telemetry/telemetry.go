// Package telemetry makes OpenTelemetry traces and metrics of the messages of an App.
//
//	otel.SetTracerProvider(…) // of an SDK
//	otel.SetMeterProvider(…)
//	app.Use(telemetry.New())
//
// It depends on the API of OpenTelemetry only. The program chooses an SDK and its exporters. If
// neither provider is set when the App starts, or both do nothing, New costs no message anything.
//
// Names follow version 1.43 of the semantic conventions for RPC and for messaging, and other
// names begin with "mono.". The system is the name of the transport: "nats", or "inproc", which
// has no server. The destination is the name of the handle. The subject is not used: it may have
// a key.
//
// # Traces
//
// The context of a trace travels in the headers traceparent, tracestate and baggage, as W3C
// specifies, with all kinds of messages, delayed ones, dead letters and their replays. So
// everything that follows from a request is one trace, in all processes that use this package:
//
//	orders.place              CLIENT and SERVER, or INTERNAL for a local call
//	  send orders.ship        PRODUCER
//	    process orders.ship   CONSUMER, one for each attempt
//
// A local call has one span, since neither side can fail without the other. It has none if this
// process has decided not to sample its caller's span. A batch has no single parent: its span begins a
// trace, and links to the span that sent each message. With [Links], single messages do the same.
//
// An error sets the status of the span. The exception is an answer that blames the caller, such as
// NotFound, which leaves the status of the SERVER or INTERNAL span unset. The text of an error passes
// package redact with its defaults, and is cut after 1 KiB.
//
// A process without a provider does not continue traces. If it is between others that do, it can
// pass the headers on with [mono.Propagate].
//
// # Metrics
//
//	rpc.client.call.duration             calls over the transport
//	rpc.server.call.duration             calls, local ones included
//	messaging.client.operation.duration  sends; an asynchronous append until it is handed over
//	messaging.client.sent.messages
//	messaging.process.duration           attempts, a batch as one
//	messaging.client.consumed.messages
//
// Their attributes are the system, the handle, the group, the operation, the code of the error,
// mono.module, and on the receiving side mono.sender. The values of each are bounded: an
// unknown code is "_OTHER", and so is a sender after the first 32 of a handle. The modules of the
// App, also those of other roles, are not counted and keep their names. All measurements have the context of their span, for exemplars. Buckets begin at 5 ms, as the
// conventions recommend: a view of the SDK can set others.
//
// The gauges come from [mono.StatsOf], for each stored handle that the process receives from, and
// for the groups that it declares: mono.group.lag, mono.group.in_flight, mono.group.members,
// mono.group.oldest.age, mono.handle.messages, mono.handle.delayed and mono.handle.dead_letters. All
// processes see the same values. mono.group.partitions.full is about this process. The values are
// read when metrics are collected, at most once a second, and within five seconds. A handle whose
// values cannot be read has none.
//
// # What cannot harm a message
//
// A header that is not valid is ignored, as is one of more than 8 KiB. Such a message begins a
// trace, and is handled as others are. A message that is too large only with these headers is sent
// without them, and middleware inside this one sees both attempts.
//
// A panic of a provider or a propagator in a call of this package is recovered. The message goes on
// without the span or the measurement, and [otel.Handle] gets an error, at most once a minute. A panic
// on a goroutine of the SDK, as of an exporter there, ends the process as any other. A provider that
// blocks delays messages. The batch processor of the SDK does not block unless an option asks for it.
//
// Anybody who can send a message can choose its trace and the decision to sample it. A gateway to
// strangers should not pass their headers on.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"gomono.dev/mono"
)

// scope is the name of the tracer and of the meter.
const scope = "gomono.dev/mono/telemetry"

// Telemetry is a middleware that traces and measures messages. It belongs to one App at a time.
type Telemetry struct {
	options  options
	reported atomic.Int64 // when an error was reported last, in ns of Unix time

	mu      sync.Mutex
	current *run // of the last start
	running bool
}

// New returns a Telemetry with the global providers, unless options set others.
func New(opts ...Option) *Telemetry {
	t := &Telemetry{options: defaults()}
	for _, o := range opts {
		o(&t.options)
	}
	return t
}

// Name returns "telemetry".
func (t *Telemetry) Name() string { return "telemetry" }

// Selects implements [mono.Selective]. A Telemetry runs on both sides of all messages, except on the
// sending side of local calls, and nowhere without a provider.
func (t *Telemetry) Selects(_ mono.Handle, side mono.Side, local bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.tracer == nil && t.current.meter == nil {
		return false
	}
	return side == mono.SideReceiver || !local
}

// Bind returns an error if another App runs with t.
func (t *Telemetry) Bind(s *mono.Scope) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running {
		return errors.New("telemetry: another App runs with the same Telemetry: make one for each App with telemetry.New")
	}
	t.current = t.newRun()
	t.current.app, t.current.system = s, s.Describe().Transport
	return nil
}

// Start begins to offer the gauges.
func (t *Telemetry) Start(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running = true
	t.current.offer()
	return nil
}

// Stop ends the gauges. The providers belong to the program, which shuts them down after it has
// stopped the App.
func (t *Telemetry) Stop(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running = false
	t.current.withdraw()
	return nil
}

// Observe implements [mono.Observer], for the gauges.
func (t *Telemetry) Observe(o mono.Observation) {
	t.mu.Lock()
	r := t.current
	t.mu.Unlock()
	if r != nil {
		r.gauges.observe(o)
	}
}

// Wrap implements [mono.Middleware].
func (t *Telemetry) Wrap(next mono.Next) mono.Next {
	t.mu.Lock()
	r := t.current
	t.mu.Unlock()
	var last atomic.Pointer[site] // of the last message: most often the only one
	return func(ctx context.Context, c *mono.Call) error {
		s := last.Load()
		if s == nil || s.handle != c.Handle() {
			s = r.siteOf(c)
			last.Store(s)
		}
		o := r.begin(ctx, s, c)
		result := gone
		defer func() { o.end(c, result) }()
		result = next(o.ctx, c)
		if result != nil && o.injected && tooLarge(result) {
			r.withoutHeaders(c)
			result = next(o.ctx, c)
		}
		return result
	}
}

// gone is the error of a handler that has not returned.
var gone error = mono.Errorf(mono.Internal, "middleware panicked, or the goroutine was ended")

// LogAttrs returns the trace_id and the span_id of a context, for accesslog:
//
//	app.Use(telemetry.New(), accesslog.New(h, accesslog.Attrs(telemetry.LogAttrs)))
func LogAttrs(ctx context.Context, _ *mono.Call) []slog.Attr {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return nil
	}
	return []slog.Attr{slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String())}
}

// contain is deferred around the use of a provider. It recovers a panic.
func (t *Telemetry) contain() {
	if v := recover(); v != nil {
		t.report(fmt.Errorf("telemetry: a provider panicked: %v", v))
	}
}

// report reports an error, unless one was reported within the last minute.
func (t *Telemetry) report(err error) {
	now, last := time.Now().UnixNano(), t.reported.Load()
	if last != 0 && now-last < int64(time.Minute) || !t.reported.CompareAndSwap(last, now) {
		return
	}
	defer func() { _ = recover() }() // the handler of errors is the program's, too
	otel.Handle(err)
}
