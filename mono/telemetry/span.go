package telemetry

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	gauges  gauges
	sites   sync.Map               // siteKey → *site
	modules func() map[string]bool // of the App, also those of other roles
}

// newRun asks the providers for a tracer and a meter.
func (t *Telemetry) newRun() *run {
	r := &run{Telemetry: t}
	r.modules = sync.OnceValue(r.ownModules)
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

// ownModules returns the names of the modules of the App. They are known once it receives messages.
func (r *run) ownModules() map[string]bool {
	topology := r.app.Describe()
	names := make(map[string]bool)
	for _, m := range append(topology.Modules, topology.Inactive...) {
		names[m.Name] = true
	}
	return names
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
	further []attribute.KeyValue    // of recorded spans, in addition
	measurements
}

type siteKey struct {
	handle        mono.Handle
	side          mono.Side
	module, group string
}

// siteOf returns the site of a message.
func (r *run) siteOf(c *mono.Call) *site {
	key := siteKey{c.Handle(), c.Side(), c.Module(), c.Group()}
	if s, ok := r.sites.Load(key); ok {
		return s.(*site)
	}
	s, _ := r.sites.LoadOrStore(key, r.newSite(c))
	return s.(*site)
}

// newSite makes the site of a message.
func (r *run) newSite(c *mono.Call) *site {
	h := c.Handle()
	s := &site{handle: h, service: h.Kind() == mono.KindService, sending: c.Side() == mono.SideSender, name: h.Name()}
	s.modules = r.modules
	var kind trace.SpanKind
	var operationType []attribute.KeyValue
	switch {
	case s.service:
		kind = trace.SpanKindServer
		if s.sending {
			kind = trace.SpanKindClient
		}
		s.attributes = []attribute.KeyValue{semconv.RPCSystemNameKey.String("mono"), semconv.RPCMethod(h.Name())}
	case s.sending:
		kind, s.name = trace.SpanKindProducer, "send "+h.Name()
		s.attributes, operationType = r.messaging(c, "send"), []attribute.KeyValue{semconv.MessagingOperationTypeSend}
	default:
		kind, s.name = trace.SpanKindConsumer, "process "+h.Name()
		s.attributes, operationType = r.messaging(c, "process"), []attribute.KeyValue{semconv.MessagingOperationTypeProcess}
	}
	// Samplers get what the conventions list for them. An attribute at the start costs memory
	// also for a span that is not sampled.
	attrs := slices.Concat(s.attributes, operationType, r.options.attributes)
	s.start = []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attrs...)}
	s.local = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal), s.start[1]}
	s.root = append(s.start[:2:2], trace.WithNewRoot())
	if module := c.Module(); module != "" {
		s.attributes = append(s.attributes, moduleKey.String(module))
		s.further = append(s.further, moduleKey.String(module))
	}
	s.further = append(s.further, kindKey.String(string(h.Kind())))
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
	o = operation{run: r, site: s, ctx: ctx}
	if r.meter != nil {
		o.began = time.Now()
	}
	defer r.contain()
	start, decided := s.start, false
	switch caller := c.CallerContext(); {
	case s.sending:
		if !trace.SpanContextFromContext(ctx).IsValid() && c.Header("traceparent") != "" {
			o.ctx = r.options.propagator.Extract(ctx, carrier{c}) // its sender has set it
		}
	case caller != nil:
		start = s.local
		o.ctx, decided = r.enter(ctx, caller, c)
	default:
		var links []trace.Link
		if o.ctx, links = r.receive(ctx, s, c); links != nil {
			start = append(s.root[:len(s.root):len(s.root)], trace.WithLinks(links...))
		}
	}
	if r.tracer != nil && !decided {
		if ctx, span := r.tracer.Start(o.ctx, s.name, start...); ctx != nil && span != nil {
			o.ctx, o.span = ctx, span
		}
	}
	if s.sending {
		o.injected = true
		r.options.propagator.Inject(o.ctx, carrier{c})
	}
	return o
}

// enter returns the context in which the span of a local call starts. decided reports that this
// process has decided not to sample the trace, so that the call needs no span.
func (r *run) enter(ctx, caller context.Context, c *mono.Call) (_ context.Context, decided bool) {
	span := trace.SpanFromContext(caller)
	if of := span.SpanContext(); of.IsValid() {
		ctx = trace.ContextWithSpan(ctx, span)
		decided = !of.IsSampled() && !of.IsRemote() && !span.IsRecording()
	} else if c.Header("traceparent") != "" {
		ctx = r.options.propagator.Extract(ctx, carrier{c})
	}
	if b := baggage.FromContext(caller); b.Len() > 0 {
		ctx = baggage.ContextWithBaggage(ctx, b)
	}
	return ctx, decided
}

// receive returns the context in which the span of a message from the transport starts. If links
// are not nil, the span has them, and no parent.
func (r *run) receive(ctx context.Context, s *site, c *mono.Call) (context.Context, []trace.Link) {
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
	if o.span == nil && o.run.meter == nil {
		return
	}
	code := codeOf(err)
	failed := err != nil && (o.site.sending || !o.site.service || blames(code))
	if o.run.meter != nil {
		o.measure(c, time.Since(o.began), code, failed)
	}
	if o.span != nil {
		o.endSpan(c, err, code, failed)
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
	attrs := make([]attribute.KeyValue, 0, 12)
	attrs = append(attrs, o.site.further...)
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
	if c.Local() {
		attrs = append(attrs, localKey.Bool(true))
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

// codeOf returns the code of an error: "_OTHER" for an unknown code, and "ok" for nil.
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

// cut shortens a text to limit bytes, and replaces bytes that are not UTF-8: an exporter would lose all
// spans of its batch.
func cut(s string, limit int) string {
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
