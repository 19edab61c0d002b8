package mono

import (
	"context"
	"fmt"
	"reflect"

	"gomono.dev/transport"
)

// Event is a fact that modules publish and any number of modules may subscribe to.
//
// Delivery is at most once, to one instance of every subscribing module; with
// Broadcast, to every instance. A publisher does not learn which modules received the
// event. Handlers run one event after another, in the order of each publisher, unless
// Concurrency allows more. The error of a handler is logged, and the event is not
// delivered again.
//
// Such an event carries its id and its sender only if its sending side may know the id: if middleware
// runs around the send, [Propagate] has a choose function, or [DedupID] sets the id. Otherwise each
// receiver has another [Call.ID], and [Call.Sender] is "". To correlate events with what led to them,
// use package requestid, which has a choose function.
//
// A Durable event carries both, and is stored before Publish returns. Every subscribing
// module handles it at least once, from the module's first start on. After a failed attempt
// it is tried again as Backoff specifies, while later events continue. After MaxAttempts it
// becomes a dead letter. A Durable event needs a transport that stores messages.
//
// A publisher does not know the groups of a Durable event. If a group is deleted in the
// backend, the processes of its subscriber recreate it, at once if one is running. If
// none is running, the subscriber misses the events published until one starts.
type Event[T any] struct {
	handle
	sent sending
}

// NewEvent declares an event. It panics on a bad name or option.
func NewEvent[T any](name string, opts ...EventOption) Event[T] {
	return Event[T]{handle: handle{declare(KindEvent, name, opts, reflect.TypeFor[T]())}}
}

// KeyedBy returns the event with a key. The result of key becomes the last token of the
// event's subject, so that subscribers can select some Keys. A key must not be empty
// and must not contain dots, white space, "*" or ">". Publishing an event with another
// key fails with InvalidArgument.
func (e Event[T]) KeyedBy(key func(T) string) Event[T] {
	e.decl = keyed(e.decl, key)
	return e
}

// With returns the event with options for the events published through it.
func (e Event[T]) With(opts ...EventSendOption) Event[T] {
	e.sent = derive(e.sent, opts)
	return e
}

// Publish sends the event to the current subscribers. Nil means that the transport has
// accepted it; a durable event is stored then. If the server denies it afterwards, it
// is lost: see SendDenied.
func (e Event[T]) Publish(ctx context.Context, b Binder, v T) error {
	return post(ctx, b, e.decl, &e.sent, v)
}

// Publisher is the type of a bound Event.Publish. The options are those of Event.With,
// for this event:
//
//	err := publish(ctx, placed, mono.Header("Tenant", tenant))
type Publisher[T any] = func(ctx context.Context, v T, opts ...EventSendOption) error

// AsPublisher returns a handler as a Publisher that ignores its options. So a handler
// stands in for an event in a unit test of a module. It panics on a nil handler.
func AsPublisher[T any](fn Sink[T]) Publisher[T] {
	return ignoreOptions[EventSendOption]("AsPublisher", fn)
}

// Publisher returns Publish as a function. In Bind, with the module's Scope, it also
// declares that the module produces the event.
func (e Event[T]) Publisher(b Binder) Publisher[T] {
	return boundSender[T, EventSendOption](b, e.decl, e.sent)
}

// Handle subscribes this module to the event. The instances of the module share its
// events, and so do other receivers with the same Group.
func (e Event[T]) Handle(sc *Scope, fn Sink[T], opts ...EventHandlerOption) {
	r := receive(sc, e.decl, fn == nil, opts, newInbound[T])
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*T)) }
	if r.decl.transient() {
		r.arrive = func(m *transport.Message) transport.Work { return arrive(r, m, fn) }
	}
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
