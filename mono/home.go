package mono

import (
	"context"
	"errors"
	"time"

	"gomono.dev/mono/internal/copier"
	"gomono.dev/transport"
)

// homeCall is one local call: the context of its handler, its request and its reply, in
// one piece of memory.
type homeCall[Req, Resp any] struct {
	homeContext
	request Req
	made    Resp
}

// isolatedCall is a homeCall with the caller's copies of request and reply.
type isolatedCall[Req, Resp any] struct {
	homeCall[Req, Resp]
	sent     Req
	response Resp
}

// callHome calls a service's handler on the caller's goroutine, with the semantics of a
// call over the transport. rare may be nil.
func callHome[Req, Resp any](ctx context.Context, s *sender, rare *rarities, fn Func[Req, Resp], req Req) (Resp, error) {
	var none Resp
	if ctx.Err() != nil {
		return none, about(s.decl.String(), transport.ContextError(ctx, OutcomeNotDone, "the context ended before anything was sent"))
	}
	var h *homeCall[Req, Resp]
	var response *Resp
	plan := s.home.request
	if plan == nil {
		h = &homeCall[Req, Resp]{request: req}
		response = &h.made
	} else {
		isolated := &isolatedCall[Req, Resp]{sent: req}
		h, response = &isolated.homeCall, &isolated.response
		if err := copier.Copy(plan, &h.request, &isolated.sent); err != nil {
			if rare, err = s.notCrossed(rare, err); err != nil {
				return none, err
			}
		}
	}
	h.begin(ctx, s, rare)
	place, err := s.home.gate.enterHome(h, s.in.ctx)
	if err != nil {
		return none, about(s.decl.String(), err)
	}
	var watched *sharedValue
	if s.in.shared != nil && plan == nil {
		watched = s.in.shared.keep(&h.homeContext, "request", &h.request)
	}
	took, err := h.handle(fn, place, response)
	if watched != nil {
		s.in.shared.look(watched)
		s.in.shared.keep(&h.homeContext, "reply", &h.made)
	}
	if err = h.outcome(took, err); err != nil {
		return none, err
	}
	return *response, nil
}

// handle runs the handler. It releases the place in the gate however the handler ends.
func (h *homeCall[Req, Resp]) handle(fn Func[Req, Resp], place uint64, response *Resp) (took time.Duration, err error) {
	r := h.sender.home
	defer h.leave(place, &took, &err)
	switch {
	case h.rare != nil && h.rare.unreadable != nil:
		err = h.rare.unreadable
	case r.plain:
		if h.made, err = fn(h, h.request); err != nil {
			err = tried(err)
		}
	default:
		err = r.around(h, h.asCall(&h.request, &h.made))
	}
	if err == nil && r.response != nil {
		err = h.replied(copier.Copy(r.response, response, &h.made))
	}
	return h.record(err), err
}

// Value returns the Call, and the values that package context uses internally.
func (h *homeCall[Req, Resp]) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return h.asCall(&h.request, &h.made)
	}
	return h.homeContext.Value(key)
}

// begin records the start of the call.
func (h *homeContext) begin(ctx context.Context, s *sender, rare *rarities) {
	h.caller, h.sender, h.rare = ctx, s, rare
	h.began = s.in.clock.now()
	if rare != nil && rare.origin != nil {
		rare.origin.home = h
	}
}

// notCrossed handles an error of the copy of a request. If the codec cannot encode the
// request, it is not sent. If the codec cannot decode it, the receiving side reports
// that.
func (s *sender) notCrossed(rare *rarities, err error) (*rarities, error) {
	if e, ok := errors.AsType[*copier.EncodeError](err); ok {
		return nil, about(s.decl.String(), notEncoded(s.codec, e.Err))
	}
	if rare == nil {
		rare = &rarities{}
	}
	rare.unreadable = about(s.decl.String(), notDecoded(err))
	return rare, nil
}

// replied handles an error of the copy of a reply. If the codec cannot encode the
// reply, that is the handler's bug. If the codec cannot decode it, the caller gets the
// error.
func (h *homeContext) replied(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*copier.EncodeError](err); ok {
		return h.sender.home.badReply(notEncoded(h.sender.codec, e.Err))
	}
	return &unread{about("reply of "+h.sender.decl.String(), notDecoded(err))}
}

// unread is the error of a reply that its caller cannot decode. It is not an error of
// the handler.
type unread struct{ error }

// leave is deferred around the handler. It releases the place however the handler ends,
// and turns a panic into an error. It ends the context first, because goroutines that
// the handler has left running may need that to stop.
func (h *homeContext) leave(place uint64, took *time.Duration, err *error) {
	if v := recover(); v != nil {
		h.sender.in.panicked(h.sender.home.where, v)
		*err = panicError(h.sender.home.where)
		*took = h.record(*err)
	}
	h.returned()
	h.sender.home.gate.leaveHome(place)
}

// record counts the call, logs errors that no caller gets, and returns the duration of
// the call.
func (h *homeContext) record(err error) time.Duration {
	took := h.sender.in.clock.now() - h.began
	r := h.sender.home
	r.stats.home.add(took)
	if err != nil {
		h.failed(err)
	}
	return took
}

func (h *homeContext) failed(err error) {
	if _, ok := err.(*unread); !ok {
		h.sender.home.stats.failed(err)
		h.sender.home.failed(h.id, err)
	}
}

// outcome returns the caller's error; err is the handler's. If the time of the call was
// over before its handler returned, the result does not depend on err.
func (h *homeContext) outcome(took time.Duration, err error) error {
	switch {
	case h.caller.Err() != nil:
		return about(h.sender.decl.String(), transport.ContextError(h.caller, OutcomeUnknown, tookTooLong))
	case h.late(took):
		e := transport.Errorf(DeadlineExceeded, OutcomeUnknown, tookTooLong)
		e.Err = context.DeadlineExceeded
		return about(h.sender.decl.String(), e)
	case err == nil:
		return nil
	}
	return h.verdict(err)
}

// verdict returns the error of a handler as it would arrive over the transport.
func (h *homeContext) verdict(err error) error {
	r := h.sender.home
	if u, ok := err.(*unread); ok {
		return u.error
	}
	if r.in.ctx.Err() != nil {
		return r.abandoned()
	}
	reply := &transport.Message{}
	reply.Header, reply.Body = answer(err, r.codec)
	return verdict(reply, r.in.codecs, r.codec)
}

const tookTooLong = "the handler took longer than its caller's deadline allows"
