package mono

import (
	"context"

	"gomono.dev/transport"
)

// outbound is an outgoing message, with room for its header.
type outbound struct {
	message transport.Message
	fields  [4]transport.Field
	limited *limitedContext // of a call, if it has a limit of its own
	fresh   bool            // limited has just begun
}

// A payload and its outgoing message are one piece of memory.
type (
	parcel[T any] struct {
		outbound
		payload T
	}
	request[Req, Resp any] struct {
		parcel[Req]
		limit    limitedContext
		response Resp
	}
)

// post sends a message that has no reply.
func post[T any](ctx context.Context, b Binder, d *declaration, sent *sending, v T) error {
	s, err := b.Scope().sender(d)
	if err != nil {
		return err
	}
	return postBy(ctx, s, sent, v)
}

func postBy[T any](ctx context.Context, s *sender, sent *sending, v T) error {
	p := &parcel[T]{payload: v}
	return s.send(ctx, sent, &p.outbound, &p.payload, nil)
}

// ask sends a request and returns its reply.
func ask[Req, Resp any](ctx context.Context, s *sender, sent *sending, req Req) (Resp, error) {
	r := new(request[Req, Resp])
	r.payload, r.limited = req, &r.limit
	if err := s.send(ctx, sent, &r.outbound, &r.payload, &r.response); err != nil {
		var none Resp
		return none, err
	}
	return r.response, nil
}
