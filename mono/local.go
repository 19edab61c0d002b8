package mono

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"gomono.dev/codec"
	"gomono.dev/internal/lazy"
	"gomono.dev/mono/internal/copier"
	"gomono.dev/transport"
)

// localCall is the context of a local call's handler, and holds the state of the call.
// It ends with the caller's context, at the call's own deadline, when the App gives up,
// and when the handler returns. It carries none of the caller's values, like a call over
// the transport. The Call is created for the first CallFrom.
type localCall struct {
	lazy.Context
	sender *sender
	began  time.Duration // on the instance's clock
	rare   *rarities
	call   atomic.Pointer[Call]
	text   atomic.Pointer[string] // its id, once somebody has asked for it
}

// rarities holds the parts that most calls do not have.
type rarities struct {
	header     transport.Header // set by the sender
	info       *CallInfo        // of the caller, nil if it has none
	origin     *Call            // the Call of the sending side, if middleware has seen it
	unreadable error            // the error of a request that cannot be decoded
}

// localCallOf is a localCall with its request and its reply, in one piece of memory.
type localCallOf[Req, Resp any] struct {
	localCall
	request Req
	made    Resp
}

// isolatedCall is a localCallOf with the caller's copies of request and reply.
type isolatedCall[Req, Resp any] struct {
	localCallOf[Req, Resp]
	sent     Req
	response Resp
}

// wrappedCall is an isolatedCall with its Call, which middleware needs.
type wrappedCall[Req, Resp any] struct {
	isolatedCall[Req, Resp]
	described Call
}

// localMemory is the memory of a local call.
type localMemory[Req, Resp any] struct {
	call      *localCallOf[Req, Resp]
	sent      *Req  // the caller's request; nil if the handler gets the same value
	response  *Resp // the caller's reply
	described *Call // nil unless middleware needs it
}

// newLocalMemory allocates once what a call of a receiver needs.
func newLocalMemory[Req, Resp any](r *receiver) localMemory[Req, Resp] {
	switch {
	case r.request == nil:
		c := new(localCallOf[Req, Resp])
		return localMemory[Req, Resp]{call: c, response: &c.made}
	case r.plain:
		c := new(isolatedCall[Req, Resp])
		return localMemory[Req, Resp]{call: &c.localCallOf, sent: &c.sent, response: &c.response}
	}
	c := new(wrappedCall[Req, Resp])
	return localMemory[Req, Resp]{call: &c.localCallOf, sent: &c.sent, response: &c.response, described: &c.described}
}

// callLocal calls a service's handler on the caller's goroutine, with the semantics of
// a call over the transport. rare may be nil.
func callLocal[Req, Resp any](ctx context.Context, s *sender, rare *rarities, fn Func[Req, Resp], req Req) (Resp, error) {
	var none Resp
	if err := s.checkLocal(ctx, rare); err != nil {
		return none, err
	}
	m := newLocalMemory[Req, Resp](s.local)
	h := m.call
	if m.sent == nil {
		h.request = req
	} else {
		*m.sent = req
		if err := copier.Copy(s.local.request, &h.request, m.sent); err != nil {
			if rare, err = s.requestNotCopied(rare, err); err != nil {
				return none, err
			}
		}
	}
	h.prepare(ctx, s, rare)
	if m.described != nil {
		h.describe(m.described, &h.request, &h.made)
		h.call.Store(m.described)
	}
	place, err := s.local.gate.enterLocal(h, s.in.ctx)
	if err != nil {
		return none, about(s.decl.String(), err)
	}
	took, err := h.handleWatched(fn, place, m.response)
	if err = h.outcome(took, err); err != nil {
		return none, err
	}
	return *m.response, nil
}

// checkLocal returns an error if a call must not begin.
func (s *sender) checkLocal(ctx context.Context, rare *rarities) error {
	if ctx.Err() != nil {
		return about(s.decl.String(), transport.ContextError(ctx, OutcomeNotDone, "the context ended before anything was sent"))
	}
	if rare != nil {
		if err := checkFields(rare.header); err != nil {
			return about(s.decl.String(), err)
		}
	}
	return nil
}

// handleWatched is handle that reports changes of values passed by reference, if an
// observer asks for that.
func (h *localCallOf[Req, Resp]) handleWatched(fn Func[Req, Resp], place uint64, response *Resp) (took time.Duration, err error) {
	values := h.sender.in.referenced
	if values == nil || h.sender.local.request != nil {
		return h.handle(fn, place, response)
	}
	request := values.keep(&h.localCall, "request", &h.request)
	took, err = h.handle(fn, place, response)
	values.recheck(request)
	values.keep(&h.localCall, "reply", &h.made)
	return took, err
}

// handle runs the handler. It releases the place in the gate however the handler ends.
func (h *localCallOf[Req, Resp]) handle(fn Func[Req, Resp], place uint64, response *Resp) (took time.Duration, err error) {
	r := h.sender.local
	defer h.leave(place, &took, &err)
	switch {
	case h.rare != nil && h.rare.unreadable != nil:
		err = h.rare.unreadable
	case r.plain:
		if h.made, err = fn(h, h.request); err != nil {
			err = tried(err)
		}
	default:
		err = r.wrap(h, h.asCall(&h.request, &h.made))
	}
	err = r.decl.checkReplyHeader(h.call.Load(), err)
	if err == nil && r.response != nil {
		err = h.replyNotCopied(copier.Copy(r.response, response, &h.made))
	}
	return h.record(err), err
}

// Value returns the Call, the values of WithPropagated, and those that package context uses
// internally.
func (h *localCallOf[Req, Resp]) Value(key any) any {
	switch key.(type) {
	case callKey:
		return h.asCall(&h.request, &h.made)
	case propagatedKey:
		if v := propagatedValues(h.Parent()); h.rare == nil && h.sender.in.app.options.propagates(v, h.sender.decl) {
			return v // no header comes before it, so no Call is needed to find it
		}
	}
	return h.Context.Value(key)
}

// prepare records the start of the call.
func (h *localCall) prepare(ctx context.Context, s *sender, rare *rarities) {
	h.sender, h.rare = s, rare
	h.began = s.in.clock.Now()
	h.Begin(&s.localLimits, ctx, h.began+s.callTimeout)
	if rare != nil && rare.origin != nil {
		if before := rare.origin.local; before != nil { // middleware calls again, with the same id
			id := before.id()
			h.text.Store(&id)
		}
		rare.origin.local = h
	}
}

// requestNotCopied handles an error of the copy of a request. If the codec cannot
// encode the request, it is not sent. If the codec cannot decode it, the receiving side
// reports that.
func (s *sender) requestNotCopied(rare *rarities, err error) (*rarities, error) {
	if e, ok := errors.AsType[*copier.EncodeError](err); ok {
		return nil, about(s.decl.String(), notEncoded(s.codec, e.Err))
	}
	if rare == nil {
		rare = &rarities{}
	}
	rare.unreadable = about(s.decl.String(), notDecoded(err))
	return rare, nil
}

// replyNotCopied handles an error of the copy of a reply. If the codec cannot encode
// the reply, that is the handler's bug. If the codec cannot decode it, the caller gets
// the error.
func (h *localCall) replyNotCopied(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*copier.EncodeError](err); ok {
		return h.sender.local.decl.badReply(notEncoded(h.sender.codec, e.Err))
	}
	return &unreadableReply{h.sender.decl.replyNotDecoded(notDecoded(err))}
}

// unreadableReply is the error of a reply that its caller cannot decode. It is not an
// error of the handler.
type unreadableReply struct{ error }

// leave is deferred around the handler. It releases the place however the handler ends,
// and turns a panic into an error. It ends the context first, because goroutines that
// the handler has left running may need that to stop.
func (h *localCall) leave(place uint64, took *time.Duration, err *error) {
	if v := recover(); v != nil {
		h.sender.in.panicked(h.sender.local.where, v)
		*err = h.sender.local.decl.checkReplyHeader(h.call.Load(), panicError(h.sender.local.where))
		*took = h.record(*err)
	}
	h.End()
	h.sender.local.gate.leaveLocal(place)
}

// record counts the call, logs errors that no caller gets, and returns the duration of
// the call.
func (h *localCall) record(err error) time.Duration {
	took := h.sender.in.clock.Now() - h.began
	r := h.sender.local
	r.stats.local.add(took)
	if err != nil {
		h.failed(err)
	}
	return took
}

func (h *localCall) failed(err error) {
	if _, ok := err.(*unreadableReply); !ok {
		h.sender.local.stats.failed(err)
		h.sender.local.logFailure(h.id, err)
	}
}

// outcome returns the caller's error; err is the handler's. If the time of the call was
// over before its handler returned, the result does not depend on err.
func (h *localCall) outcome(took time.Duration, err error) error {
	switch {
	case h.Parent().Err() != nil:
		return about(h.sender.decl.String(), transport.ContextError(h.Parent(), OutcomeUnknown, tookTooLong))
	case h.LateAt(h.began + took):
		e := transport.Errorf(DeadlineExceeded, OutcomeUnknown, tookTooLong)
		e.Err = context.DeadlineExceeded
		return about(h.sender.decl.String(), e)
	case err == nil:
		h.passReplyHeader()
		return nil
	}
	return h.receivedError(err)
}

// receivedError returns the error of a handler as it would arrive over the transport.
func (h *localCall) receivedError(err error) error {
	r := h.sender.local
	if u, ok := err.(*unreadableReply); ok {
		h.passReplyHeader()
		return u.error
	}
	if r.in.ctx.Err() != nil {
		return r.decl.abandoned()
	}
	h.passReplyHeader()
	reply := &transport.Message{}
	outcome := OutcomeAnswered
	if c := h.call.Load(); c != nil {
		outcome = r.refusal(c, err)
	}
	reply.Header, reply.Body = encodeError(err, outcome)
	return replyError(reply, r.in.codecs, r.codec)
}

// passReplyHeader passes the headers of the reply to the caller.
func (h *localCall) passReplyHeader() {
	if h.rare != nil {
		h.rare.info.setReply(h.call.Load().replyHeader())
	}
}

const tookTooLong = "the handler took longer than its caller's deadline allows"

// asCall returns the Call of the handler; request and made point to its payloads. If
// several goroutines call it at once, all get the same Call.
func (h *localCall) asCall(request, made any) *Call {
	if c := h.call.Load(); c != nil {
		return c
	}
	c := new(Call)
	h.describe(c, request, made)
	if !h.call.CompareAndSwap(nil, c) {
		return h.call.Load()
	}
	return c
}

// describe fills the Call of the handler.
func (h *localCall) describe(c *Call, request, made any) {
	r := h.sender.local
	c.at, c.decl, c.sender = r, r.decl, h.sender.module
	c.payload, c.reply, c.local = request, made, h
	if h.rare != nil {
		c.header = h.rare.header
	}
}

// id returns the id of the call, which is the same on both sides. It is made for the first
// that asks for it; several may ask at once.
func (h *localCall) id() string {
	if h.rare != nil && h.rare.origin != nil && h.rare.origin.id != "" {
		return h.rare.origin.id
	}
	if id := h.text.Load(); id != nil {
		return *id
	}
	id := newID()
	if !h.text.CompareAndSwap(nil, &id) {
		return *h.text.Load()
	}
	return id
}

// transportHeader returns the header with the fields that mono would have sent over the
// transport.
func (h *localCall) transportHeader(c *Call) transport.Header {
	header := slices.Clone(c.header)
	header.Add(transport.HeaderID, c.ID())
	if c.sender != "" {
		header.Add(transport.HeaderSender, c.sender)
	}
	if deadline, ok := h.Deadline(); ok {
		header.Add(transport.HeaderTimeout, timeoutText(deadline.Sub(h.sender.in.clock.At(h.began))))
	}
	if contentType := h.sender.local.codec.ContentType(); contentType != codec.JSON.ContentType() {
		header.Set(transport.HeaderContentType, contentType)
	}
	return header
}
