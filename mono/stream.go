package mono

import (
	"context"
	"reflect"
)

// Stream is a history: stored, ordered, and read as often as somebody likes.
//
// A message is appended when it is stored. Each group of consumers gets all of
// them, at least once, and resumes where it stopped.
//
// It needs a transport that stores (transport.Capabilities.Logs); on another one
// the App does not start.
type Stream[T any] struct {
	decl *declaration
	sent sending
}

// NewStream declares a stream. It panics on a bad name or option.
func NewStream[T any](name string, opts ...StreamOption) Stream[T] {
	return Stream[T]{decl: declare(KindStream, name, opts, reflect.TypeFor[T]())}
}

// KeyedBy returns the stream with a key, as Event.KeyedBy does. Messages of one
// key keep their order although handlers run concurrently.
func (s Stream[T]) KeyedBy(key func(T) string) Stream[T] {
	s.decl = keyed(s.decl, key)
	return s
}

// Name returns the name of the stream.
func (s Stream[T]) Name() string { return s.decl.name }

// Kind returns KindStream.
func (s Stream[T]) Kind() Kind { return KindStream }

func (s Stream[T]) declared() *declaration { return s.decl }

// With returns the stream with options for what is appended through it.
func (s Stream[T]) With(opts ...StreamSendOption) Stream[T] {
	for _, o := range opts {
		s.sent = s.sent.with(o)
	}
	return s
}

// Append stores a message at the end. Nil means that it is stored.
func (s Stream[T]) Append(ctx context.Context, b Binder, v T) error {
	return b.Scope().send(ctx, s.decl, &s.sent, &v, nil)
}

// Appender returns Append as a function. In Bind, with the module's Scope, it
// also declares that the module appends to the stream.
func (s Stream[T]) Appender(b Binder) Sink[T] {
	sender := bind(b, s.decl)
	if sender == nil {
		return func(ctx context.Context, v T) error { return s.Append(ctx, b, v) }
	}
	return func(ctx context.Context, v T) error { return sender.send(ctx, &s.sent, &v, nil) }
}

// Handle makes fn a consumer of the stream.
func (s Stream[T]) Handle(sc *Scope, fn Sink[T], opts ...StreamHandlerOption) {
	r := receive(sc, s.decl, fn == nil, opts, func() any { return new(T) })
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*T)) }
}
