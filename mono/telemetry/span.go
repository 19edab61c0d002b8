package telemetry

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"gomono.dev/mono"
	"gomono.dev/mono/redact"
)

// run is what a start of the App needs.
type run struct {
	*Telemetry
	app    *mono.Scope
	system string       // of messages
	tracer trace.Tracer // nil: no traces
	meter  metric.Meter // nil: no metrics
	instruments
	gauges gauges
}

// newRun asks the providers for a tracer and a meter.
func (t *Telemetry) newRun() *run {
	r := &run{Telemetry: t}
	func() {
		defer t.contain()
		if p := t.options.tracerProvider(); p != nil {
			r.tracer = p.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
		}
	}()
	func() {
		defer t.contain()
		if p := t.options.meterProvider(); p != nil {
			meter := p.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
			r.instruments = t.newInstruments(meter)
			r.meter = meter
		}
	}()
	return r
}

// The attributes that the conventions do not name.
const (
	moduleKey  = attribute.Key("mono.module")
	kindKey    = attribute.Key("mono.kind")
	senderKey  = attribute.Key("mono.sender")
	localKey   = attribute.Key("mono.local")
	attemptKey = attribute.Key("mono.attempt")
)

// site is a place where messages are sent or handled.
type site struct {
	handle  mono.Handle
	service bool
	sending bool
	name    string                  // of spans
	start   []trace.SpanStartOption // of spans
	local   []trace.SpanStartOption // of the spans of local calls
	root    []trace.SpanStartOption // of spans that have links instead of a parent
	measurements
}

// newSite returns the site of a message.
func (r *run) newSite(c *mono.Call) *site {
	h := c.Handle()
	s := &site{handle: h, service: h.Kind() == mono.KindService, sending: c.Side() == mono.SideSender, name: h.Name()}
	var kind trace.SpanKind
	var operationType attribute.KeyValue
	switch {
	case s.service:
		kind = trace.SpanKindServer
		if s.sending {
			kind = trace.SpanKindClient
		}
		s.attributes = []attribute.KeyValue{semconv.RPCSystemNameKey.String("mono"), semconv.RPCMethod(h.Name())}
	case s.sending:
		kind, s.name, operationType = trace.SpanKindProducer, "send "+h.Name(), semconv.MessagingOperationTypeSend
		s.attributes = r.messaging(c, "send")
	default:
		kind, s.name, operationType = trace.SpanKindConsumer, "process "+h.Name(), semconv.MessagingOperationTypeProcess
		s.attributes = r.messaging(c, "process")
	}
	if module := c.Module(); module != "" {
		s.attributes = append(s.attributes, moduleKey.String(module))
	}
	attrs := append(s.attributes[:len(s.attributes):len(s.attributes)], kindKey.String(string(h.Kind())))
	if !s.service {
		attrs = append(attrs, operationType)
	}
	attrs = append(attrs, r.options.attributes...)
	s.start = []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attrs...)}
	s.local = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(append(attrs, localKey.Bool(true))...)}
	s.root = append(s.start[:2:2], trace.WithNewRoot())
	return s
}

// messaging returns the attributes of spans and measurements of an operation.
func (r *run) messaging(c *mono.Call, operation string) []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.MessagingSystemKey.String(r.system), semconv.MessagingOperationName(operation), semconv.MessagingDestinationName(c.Handle().Name())}
	if g := c.Group(); g != "" {
		attrs = append(attrs, semconv.MessagingConsumerGroupName(g))
	}
	return attrs
}

// operation is one send or one handling of a message.
type operation struct {
	run      *run
	site     *site
	ctx      context.Context // with the span
	span     trace.Span      // nil: none
	injected bool            // the message has headers of the propagator
	began    time.Time
}

// begin starts the span of a message. If a provider panics, the operation has what it had until
// then.
func (r *run) begin(ctx context.Context, s *site, c *mono.Call) (o operation) {
	o = operation{run: r, site: s, ctx: ctx, began: time.Now()}
	defer r.contain()
	var links []trace.Link
	if s.sending {
		if !trace.SpanContextFromContext(ctx).IsValid() && c.Header("traceparent") != "" {
			o.ctx = r.options.propagator.Extract(ctx, carrier{c}) // its sender has set it
		}
	} else {
		o.ctx, links = r.receive(ctx, s, c)
	}
	if r.tracer != nil {
		start := s.start
		switch {
		case links != nil:
			start = append(s.root[:len(s.root):len(s.root)], trace.WithLinks(links...))
		case c.Local():
			start = s.local
		}
		ctx, span := r.tracer.Start(o.ctx, s.name, start...)
		if ctx != nil && span != nil {
			o.ctx, o.span = ctx, span
		}
	}
	if s.sending {
		o.injected = true
		r.options.propagator.Inject(o.ctx, carrier{c})
	}
	return o
}

// receive returns the context in which the span of a received message starts. If links are not
// nil, the span has them, and no parent.
func (r *run) receive(ctx context.Context, s *site, c *mono.Call) (context.Context, []trace.Link) {
	if caller := c.CallerContext(); caller != nil {
		if span := trace.SpanFromContext(caller); span.SpanContext().IsValid() {
			ctx = trace.ContextWithSpan(ctx, span)
		} else if c.Header("traceparent") != "" {
			ctx = r.options.propagator.Extract(ctx, carrier{c})
		}
		if b := baggage.FromContext(caller); b.Len() > 0 {
			ctx = baggage.ContextWithBaggage(ctx, b)
		}
		return ctx, nil
	}
	var links []trace.Link
	for one := range c.Batch() {
		links = r.link(links, one)
	}
	if links != nil {
		return ctx, links
	}
	if r.options.links && !s.service {
		links = r.link(nil, c)
	}
	return r.options.propagator.Extract(ctx, carrier{c}), links
}

// link adds a link to the span that sent a message. The result is not nil.
func (r *run) link(links []trace.Link, c *mono.Call) []trace.Link {
	if links == nil {
		links = make([]trace.Link, 0, c.Count())
	}
	sent := r.options.propagator.Extract(context.Background(), carrier{c})
	if span := trace.SpanContextFromContext(sent); span.IsValid() {
		links = append(links, trace.Link{SpanContext: span})
	}
	return links
}

// end ends the span, and measures the operation.
func (o *operation) end(c *mono.Call, err error) {
	took := time.Since(o.began)
	code := codeOf(err)
	failed := err != nil && (o.site.sending || !o.site.service || blames(code))
	if o.span != nil {
		o.endSpan(c, err, code, failed)
	}
	if o.run.meter != nil {
		o.measure(c, took, code, failed)
	}
}

func (o *operation) endSpan(c *mono.Call, err error, code string, failed bool) {
	defer o.run.contain()
	defer o.span.End()
	if !o.span.IsRecording() {
		return
	}
	o.span.SetAttributes(o.details(c, code, failed)...)
	if failed {
		o.span.SetStatus(codes.Error, cut(redactor.Text(err.Error()), maxError))
	}
}

// details returns the attributes of a span that differ between messages.
func (o *operation) details(c *mono.Call, code string, failed bool) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 8)
	if o.site.service {
		attrs = append(attrs, semconv.RPCResponseStatusCode(code))
	} else {
		attrs = append(attrs, semconv.MessagingMessageID(cut(c.ID(), maxText)), semconv.MessagingMessageBodySize(c.Size()))
	}
	if failed {
		attrs = append(attrs, semconv.ErrorTypeKey.String(code))
	}
	if o.site.sending {
		return attrs
	}
	if sender := c.Sender(); sender != "" {
		attrs = append(attrs, senderKey.String(cut(sender, maxText)))
	}
	if p := c.Partition(); p >= 0 {
		attrs = append(attrs, semconv.MessagingDestinationPartitionID(strconv.Itoa(p)))
	}
	if !c.Time().IsZero() {
		attrs = append(attrs, attemptKey.Int(c.Attempt()))
	}
	for range c.Batch() {
		return append(attrs, semconv.MessagingBatchMessageCount(c.Count()))
	}
	return attrs
}

// codeOf returns the code of an error, one of mono's, "_OTHER", or "ok" for nil.
func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	switch code := mono.CodeOf(err); code {
	case mono.Canceled, mono.Unknown, mono.InvalidArgument, mono.DeadlineExceeded, mono.NotFound, mono.AlreadyExists,
		mono.PermissionDenied, mono.ResourceExhausted, mono.FailedPrecondition, mono.Aborted, mono.OutOfRange,
		mono.Unimplemented, mono.Internal, mono.Unavailable, mono.DataLoss, mono.Unauthenticated:
		return string(code)
	}
	return other
}

// other stands for all values beyond a bound, as in the semantic conventions.
const other = "_OTHER"

// blames reports whether an error of a call is its provider's.
func blames(code string) bool {
	switch mono.Code(code) {
	case mono.Unknown, mono.DeadlineExceeded, mono.Unimplemented, mono.Internal, mono.Unavailable, mono.DataLoss, other:
		return true
	}
	return false
}

// Texts are cut after these numbers of bytes.
const (
	maxText  = 256
	maxError = 1 << 10
)

var redactor = redact.New()

// cut shortens a text to limit bytes, and replaces what is not UTF-8: an exporter would lose all spans that
// it exports together with one that is not.
func cut(s string, limit int) string {
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
