package mono

import (
	"context"

	"gomono.dev/internal/lazy"
	"gomono.dev/transport"
)

// outbound is an outgoing message.
type outbound struct {
	message transport.Message
	limited *lazy.Context // of a call, if it has a limit of its own
	fresh   bool          // limited has just begun
}

// A payload and its outgoing message are one piece of memory, with room for the fields that mono
// sets if the message has them.
type (
	bareParcel[T any] struct {
		outbound
		payload T
	}
	parcel[T any] struct {
		bareParcel[T]
		fields [4]transport.Field
	}
	request[Req, Resp any] struct {
		parcel[Req]
		limit    lazy.Context
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

// boundSender returns a function that sends with options of type O. It looks up the
// Scope of b at each send, unless b is the Scope that Bind got.
func boundSender[T, O any](b Binder, d *declaration, sent sending) func(context.Context, T, ...O) error {
	bound := bind(b, d)
	return func(ctx context.Context, v T, opts ...O) error {
		s := bound
		if s == nil {
			var err error
			if s, err = b.Scope().sender(d); err != nil {
				return err
			}
		}
		if len(opts) == 0 {
			return postBy(ctx, s, &sent, v)
		}
		derived := derive(sent, opts)
		return postBy(ctx, s, &derived, v)
	}
}

// ignoreOptions returns a handler in the form of a bound sender. what is the name of the
// calling function.
func ignoreOptions[O, T any](what string, fn Sink[T]) func(context.Context, T, ...O) error {
	if fn == nil {
		panic("mono: " + what + ": the handler is nil: want a function")
	}
	return func(ctx context.Context, v T, _ ...O) error { return fn(ctx, v) }
}

func postBy[T any](ctx context.Context, s *sender, sent *sending, v T) error {
	p := takeParcel[T](s)
	p.payload = v
	err := s.prepare(ctx, sent, &p.outbound, &p.payload, nil)
	if s.reuses {
		*p = bareParcel[T]{}
		s.parcels.Put(p)
	}
	return err
}

func takeParcel[T any](s *sender) *bareParcel[T] {
	if s.reuses {
		if p, ok := s.parcels.Get().(*bareParcel[T]); ok {
			return p
		}
		return new(bareParcel[T])
	}
	p := new(parcel[T])
	p.message.Header = p.fields[:0]
	return &p.bareParcel
}

// ask sends a request and returns its reply.
func ask[Req, Resp any](ctx context.Context, s *sender, sent *sending, req Req) (Resp, error) {
	r := new(request[Req, Resp])
	r.payload, r.limited, r.message.Header = req, &r.limit, r.fields[:0]
	if err := s.prepare(ctx, sent, &r.outbound, &r.payload, &r.response); err != nil {
		var none Resp
		return none, err
	}
	return r.response, nil
}
