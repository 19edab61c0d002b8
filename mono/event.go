package mono

import (
	"context"
	"fmt"
	"reflect"
)

// Event is a fact that one module tells and any number may hear.
//
// Delivery is at most once, to one instance of every subscribing module;
// Broadcast reaches every instance. A publisher does not learn who heard.
// Handlers run one event after another, in the order of each publisher's
// publishing, unless Concurrency says otherwise. The error of a handler is
// logged; nobody tries again.
//
// A Durable event is stored before its publisher goes on, and handled at least
// once by every subscribing module from that module's first start on: one that
// fails is tried again as Backoff says, while later ones go on, and becomes a dead
// letter after MaxAttempts. It needs a transport that stores.
//
// A publisher does not know the groups of a Durable event. If a group is deleted in the
// backend, the processes of its subscriber recreate it, at once if one is running. If
// none is, the subscriber misses the events published until one starts.
type Event[T any] struct {
	decl *declaration
	sent sending
}

// NewEvent declares an event. It panics on a bad name or option.
func NewEvent[T any](name string, opts ...EventOption) Event[T] {
	return Event[T]{decl: declare(KindEvent, name, opts, reflect.TypeFor[T]())}
}

// KeyedBy returns the event with a key: what key returns becomes the last token
// of its subject, so that subscribers can ask for some Keys only. A key is not
// empty and has neither dots, white space, "*" nor ">"; another one is an
// InvalidArgument when the event is published.
func (e Event[T]) KeyedBy(key func(T) string) Event[T] {
	e.decl = keyed(e.decl, key)
	return e
}

// Name returns the name of the event.
func (e Event[T]) Name() string { return e.decl.name }

// Kind returns KindEvent.
func (e Event[T]) Kind() Kind { return KindEvent }

func (e Event[T]) declared() *declaration { return e.decl }

// With returns the event with options for what is published through it.
func (e Event[T]) With(opts ...EventSendOption) Event[T] {
	for _, o := range opts {
		e.sent = e.sent.with(o)
	}
	return e
}

// Publish tells the event to whoever listens now. Nil means that the transport
// has taken it; of a durable event, that it is stored. If the server denies it
// afterwards, it is lost: see SendDenied.
func (e Event[T]) Publish(ctx context.Context, b Binder, v T) error {
	return post(ctx, b, e.decl, &e.sent, v)
}

// Publisher returns Publish as a function. In Bind, with the module's Scope, it
// also declares that the module emits the event.
func (e Event[T]) Publisher(b Binder) Sink[T] {
	sender := bind(b, e.decl)
	if sender == nil {
		return func(ctx context.Context, v T) error { return e.Publish(ctx, b, v) }
	}
	return func(ctx context.Context, v T) error { return postBy(ctx, sender, &e.sent, v) }
}

// Handle lets this module hear the event. Instances of the module share what
// they hear; so do other receivers with the same Group.
func (e Event[T]) Handle(sc *Scope, fn Sink[T], opts ...EventHandlerOption) {
	r := receive(sc, e.decl, fn == nil, opts, newTicket[T])
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*T)) }
}

// keyed returns d with a key function.
func keyed[T any](d *declaration, key func(T) string) *declaration {
	if key == nil {
		panic(fmt.Sprintf("mono: %s %q declared at %s: KeyedBy: want a function, got nil", d.kind, d.name, d.place))
	}
	c := *d
	c.config.Keyed = true
	c.key = func(payload any) string { return key(*payload.(*T)) }
	return &c
}
