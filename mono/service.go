package mono

import (
	"context"
	"reflect"
	"slices"
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
