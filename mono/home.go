package mono

import (
	"context"
	"errors"
	"time"

	"gomono.dev/mono/internal/copier"
	"gomono.dev/transport"
)

// homeCall is one call that does not leave the process: the context of its handler
// and what the handler gets and makes, in one piece of memory.
type homeCall[Req, Resp any] struct {
	homeContext
	request Req
	made    Resp
}

// isolatedCall is a homeCall with what the caller sent, and what it gets.
type isolatedCall[Req, Resp any] struct {
	homeCall[Req, Resp]
	sent     Req
	response Resp
}

// callHome calls a service's handler on the caller's goroutine, with the meaning
// that the call would have over the wire. rare is nil where there is nothing to say.
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

// handle runs the handler, and gives its place back however that ends.
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

// Value knows the Call, and what package context needs to find its own kind.
func (h *homeCall[Req, Resp]) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return h.asCall(&h.request, &h.made)
	}
	return h.homeContext.Value(key)
}

// begin notes when the call began.
func (h *homeContext) begin(ctx context.Context, s *sender, rare *rarities) {
	h.caller, h.sender, h.rare = ctx, s, rare
	h.began = s.in.clock.now()
	if rare != nil && rare.origin != nil {
		rare.origin.home = h
	}
}

// notCrossed looks at why a request could not be copied. What its codec cannot
// encode is not sent; what it cannot decode is for the receiving side to find.
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

// replied looks at how the reply was copied. What its codec cannot encode is the
// handler's bug; what it cannot decode is for the caller to find.
func (h *homeContext) replied(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*copier.EncodeError](err); ok {
		return h.sender.home.badReply(notEncoded(h.sender.codec, e.Err))
	}
	return &unread{about("reply of "+h.sender.decl.String(), notDecoded(err))}
}

// unread says that there is a reply, which its caller cannot read. It is no error
// of the handler.
type unread struct{ error }

// leave is deferred around the handler: it gives the place back however the handler
// ends, and a panic is its error. The context ends first: what the handler has left
// running may need it to stop.
func (h *homeContext) leave(place uint64, took *time.Duration, err *error) {
	if v := recover(); v != nil {
		h.sender.in.panicked(h.sender.home.where, v)
		*err = panicError(h.sender.home.where)
		*took = h.record(*err)
	}
	h.returned()
	h.sender.home.gate.leaveHome(place)
}

// record counts the call, logs what nobody else would hear of, and returns how
// long it took.
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

// outcome is the error that the caller gets; err is the handler's. What a call comes
// to whose time was over before its handler returned does not depend on that.
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

// verdict is how the error of a handler arrives.
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

const tookTooLong = "the handler took longer than its caller had time"
