package mono

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/mono/internal/contract"
	"gomono.dev/transport"
)

// Service is a request-reply operation: one module provides it, and any module may call
// it.
//
// A call happens at most once. Its caller gets the reply, the error that the handler
// returned (with its code; a Failure with its value), or an error that specifies
// whether the call may have happened. Without an instance that serves, the call fails
// with Unavailable at once.
type Service[Req, Resp any] struct {
	handle
	sent sending
}

// NewService declares a service. It panics on a bad name or option.
func NewService[Req, Resp any](name string, opts ...ServiceOption) Service[Req, Resp] {
	return Service[Req, Resp]{handle: handle{declare(KindService, name, opts, reflect.TypeFor[Req](), reflect.TypeFor[Resp]())}}
}

// With returns the service with options for the calls made through it.
func (s Service[Req, Resp]) With(opts ...ServiceSendOption) Service[Req, Resp] {
	s.sent = derive(s.sent, opts)
	return s
}

// Call sends a request and waits for the reply. Its deadline is the earlier of the
// context's and the service's Timeout, or DefaultTimeout without either. The deadline
// propagates and bounds the handler too. Cancelling ctx ends the wait. If ctx carries a
// [CallInfo], the call sends its headers and sets those of the reply.
//
// A provider in the same App is called directly, on this goroutine, as if the call had
// crossed the transport. The package documentation lists the differences.
func (s Service[Req, Resp]) Call(ctx context.Context, b Binder, req Req) (Resp, error) {
	sender, err := b.Scope().sender(s.decl)
	if err != nil {
		var none Resp
		return none, err
	}
	return exchange[Req, Resp](ctx, sender, &s.sent, req)
}

// Client returns Call as a function. In Bind, with the module's Scope, it also
// declares that the module needs the service.
func (s Service[Req, Resp]) Client(b Binder) Func[Req, Resp] {
	sender := bind(b, s.decl)
	if sender == nil {
		return func(ctx context.Context, req Req) (Resp, error) { return s.Call(ctx, b, req) }
	}
	return func(ctx context.Context, req Req) (Resp, error) {
		return exchange[Req, Resp](ctx, sender, &s.sent, req)
	}
}

// exchange makes a call. It calls the handler directly if the provider is in this App
// and there is no middleware.
func exchange[Req, Resp any](ctx context.Context, sender *sender, sent *sending, req Req) (Resp, error) {
	if !sender.direct {
		return ask[Req, Resp](ctx, sender, sent, req)
	}
	var rare *rarities
	if info := takeCallInfo(ctx); info != nil || sent.n > 0 {
		rare = &rarities{header: info.addTo(sent.header()), info: info}
	}
	return callLocal(ctx, sender, rare, sender.local.typed.(Func[Req, Resp]), req)
}

// Handle makes fn the provider of the service in this App. fn runs concurrently, up to
// Concurrency (DefaultConcurrency by default). Its context ends at the caller's
// deadline, and when the App runs out of time to stop.
func (s Service[Req, Resp]) Handle(sc *Scope, fn Func[Req, Resp], opts ...ServiceHandlerOption) {
	r := receive(sc, s.decl, fn == nil, opts, newInboundRequest[Req, Resp])
	r.invoke = func(ctx context.Context, c *Call) (err error) {
		*c.reply.(*Resp), err = fn(ctx, *c.payload.(*Req))
		return err
	}
	r.typed = fn
	r.callProvider = func(ctx context.Context, c *Call) error {
		rare := &rarities{header: slices.Clone(c.header), info: c.info, origin: c}
		resp, err := callLocal(ctx, c.via, rare, fn, *c.payload.(*Req))
		if err != nil {
			return err
		}
		*c.reply.(*Resp), c.replied = resp, true
		return nil
	}
}

// endpoint describes a service's receiver for discovery: the module is the service, and
// the handle is its endpoint.
func (r *receiver) endpoint() *transport.Endpoint {
	metadata := map[string]string{
		"handle":       r.decl.name,
		"request":      r.decl.types[0].String(),
		"response":     r.decl.types[1].String(),
		"content-type": r.codec.ContentType(),
	}
	r.describeTypes(metadata)
	if r.config.Version != "" {
		metadata["version"] = r.config.Version
	}
	if r.config.Doc != "" {
		metadata["doc"] = r.config.Doc
	}
	return &transport.Endpoint{
		Service:     r.in.names.service(r.unit.name),
		Instance:    r.in.id,
		Version:     r.unit.version,
		Description: r.unit.doc,
		Name:        underscored(r.decl.name),
		Metadata:    metadata,
		Stats:       r.stats.snapshot,
	}
}

// maxSchemas bounds the JSON Schemas in the metadata of a module's endpoints, in bytes, and maxSchema
// one of them: a module answers discovery with one message.
const (
	maxSchema  = 8 << 10
	maxSchemas = 128 << 10
)

// describeTypes adds the JSON Schemas of request and reply to the metadata of an endpoint. A schema
// that is too large is left out, and so is one of a codec that cannot describe types.
func (r *receiver) describeTypes(metadata map[string]string) {
	services := 0
	for _, other := range r.unit.receivers {
		if other.replies() {
			services++
		}
	}
	limit := maxSchemas
	if payload := r.in.app.transport.Capabilities().MaxPayload; payload > 0 {
		limit = min(limit, payload/4)
	}
	k := cmp.Or(r.decl.config.Codec, r.in.app.options.codec)
	for i, name := range []string{"request-schema", "response-schema"} {
		schema, err := contract.SchemaOf(k, r.decl.types[i])
		if err != nil || schema == nil {
			continue
		}
		if text := schema.Encoded(); len(text) <= min(maxSchema, limit/(2*services)) {
			metadata[name] = string(text)
		}
	}
}

// stats counts the calls of a service.
type stats struct {
	received, local tally // over the transport, and local

	errors atomic.Uint64
	mu     sync.Mutex
	last   string
}

func (s *stats) record(spent time.Duration, err error) {
	s.received.add(spent)
	if err != nil {
		s.failed(err)
	}
}

func (s *stats) failed(err error) {
	s.errors.Add(1)
	s.mu.Lock()
	s.last = err.Error()
	s.mu.Unlock()
}

func (s *stats) snapshot() transport.EndpointStats {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	received, spent := s.received.sum()
	local, spentLocal := s.local.sum()
	return transport.EndpointStats{
		Requests:       received + local,
		Errors:         s.errors.Load(),
		LastError:      last,
		ProcessingTime: spent + spentLocal,
		Data:           map[string]uint64{"local_requests": local},
	}
}

// tally counts calls and the time they took. Both are in one word, so that a call costs
// one addition. The word is emptied long before it is full.
type tally struct {
	word atomic.Uint64 // the count above tallyTime bits, nanoseconds below

	mu    sync.Mutex
	count uint64
	spent time.Duration
}

// A call that takes longer than tallyLong is not counted in the word. tallyMany of the
// others fill half of the word.
const (
	tallyTime = 44
	tallyLong = 1 << 30 // nanoseconds
	tallyOne  = 1 << tallyTime
	tallyMany = 1 << (tallyTime - 30 - 1)
	tallyFull = tallyMany << tallyTime
)

func (t *tally) add(spent time.Duration) {
	if uint64(spent) >= tallyLong || t.word.Add(tallyOne|uint64(spent)) >= tallyFull {
		t.move(spent)
	}
}

// move empties the word, and counts a call that was too long for it.
func (t *tally) move(spent time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.empty(); uint64(spent) >= tallyLong {
		t.count++
		t.spent += spent
	}
}

// empty empties the word. The mutex is held.
func (t *tally) empty() {
	word := t.word.Swap(0)
	t.count += word >> tallyTime
	t.spent += time.Duration(word & (1<<tallyTime - 1))
}

// sum returns the number of calls and the time that they took together.
func (t *tally) sum() (uint64, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.empty()
	return t.count, t.spent
}
