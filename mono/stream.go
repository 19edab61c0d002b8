package mono

import (
	"context"
	"reflect"
	"time"

	"gomono.dev/transport"
)

// Stream is a stored, ordered sequence of messages that can be read any number of
// times.
//
// A message is appended when it is stored. It is kept until MaxAge, MaxMessages,
// MaxBytes or MaxPerKey removes it; without them it is kept permanently. Each group of
// consumers gets all messages, at least once, and resumes where it stopped.
//
// A group handles messages in order: each one when the one before it is done, retries
// included, over all processes. With keys (KeyedBy) the order holds within each key,
// and the messages of up to DefaultPartitions keys are handled at once, if Concurrency
// allows it. Unordered gives up the order. A message that fails MaxAttempts times, or
// cannot be decoded, becomes a dead letter, and the next one follows.
//
// Appends do not depend on groups. The deletion of a group in the backend loses its
// position, and only a person knows where to continue. So its receivers stop, and their
// modules are unhealthy, until the App restarts: then the group begins as From
// specifies.
//
// A stream needs a transport that stores messages (transport.Capabilities.Logs); on
// another one the App does not start.
type Stream[T any] struct {
	handle
	sent sending
}

// NewStream declares a stream. It panics on a bad name or option.
func NewStream[T any](name string, opts ...StreamOption) Stream[T] {
	return Stream[T]{handle: handle{declare(KindStream, name, opts, reflect.TypeFor[T]())}}
}

// KeyedBy returns the stream with a key, as Event.KeyedBy does. Messages of one key
// keep their order even if handlers run concurrently.
func (s Stream[T]) KeyedBy(key func(T) string) Stream[T] {
	s.decl = keyed(s.decl, key)
	return s
}

// With returns the stream with options for the messages appended through it.
func (s Stream[T]) With(opts ...StreamSendOption) Stream[T] {
	s.sent = derive(s.sent, opts)
	return s
}

// Append stores a message at the end of the stream. Nil means that it is stored: now,
// or, with a DedupID, by an earlier Append within the DedupWindow. AppendStored returns
// which of the two.
func (s Stream[T]) Append(ctx context.Context, b Binder, v T) error {
	return post(ctx, b, s.decl, &s.sent, v)
}

// AppendStored is like Append, and also returns the message's id and position, and
// whether it is a duplicate. The id is set even if the error leaves open whether the
// message is stored: it can be sent again with that DedupID.
func (s Stream[T]) AppendStored(ctx context.Context, b Binder, v T) (Stored, error) {
	return postStored(ctx, b, s.decl, s.sent, v)
}

// AppendAsync is like Append, but does not wait until the message is stored. Many
// messages can be in flight at once; they are stored in the order of the calls.
//
// done is called once, on another goroutine, with nil after the message is stored or
// with the error. It must return soon. It must not end its goroutine (runtime.Goexit, a
// test's FailNow), which calls the done functions of all appends.
//
// AppendAsync blocks while too many messages are in flight, at most until ctx ends. If it
// returns an error itself, done is not called. Middleware runs around the hand-over to
// the transport, not around the storing.
func (s Stream[T]) AppendAsync(ctx context.Context, b Binder, v T, done func(error)) error {
	s.sent.opts.async = &async{done: done}
	return post(ctx, b, s.decl, &s.sent, v)
}

// AppendAll is like Append for many messages, but does not wait for one to be stored
// before it sends the next. The messages are stored in the order of values. It returns
// when all have their result, or ctx ends: nil if all are stored, otherwise one error for
// each value, nil for a message that is stored.
//
// The failure of one message does not keep later ones from being stored. A message whose
// acknowledgement is lost is not sent again, as it would come after later ones: its error
// has OutcomeUnknown. With a DedupID the id of values[i] is "<id>#<i>", so the whole call
// can be repeated within the DedupWindow: each message is stored once, but those that were
// missing come last. Other options apply to each message. Middleware runs for each
// message, around the hand-over to the transport.
func (s Stream[T]) AppendAll(ctx context.Context, b Binder, values ...T) []error {
	return postAll(ctx, b, s.decl, s.sent, values)
}

// AppendAfter stores a message only if last is the sequence of the last message of its
// key, or of the whole stream if it has no key; 0 means that no message is kept. It
// returns the sequence of the new message. Aborted means that another message was
// appended first: read it, and decide again.
func (s Stream[T]) AppendAfter(ctx context.Context, b Binder, last uint64, v T) (uint64, error) {
	s.sent.opts.conditional, s.sent.opts.last = true, last
	stored, err := postStored(ctx, b, s.decl, s.sent, v)
	return stored.Sequence, err
}

// Appender is the type of a bound Stream.Append. The options are those of Stream.With,
// for this message:
//
//	err := appendEntry(ctx, entry, mono.DedupID(entry.ID))
type Appender[T any] = func(ctx context.Context, v T, opts ...StreamSendOption) error

// AsAppender returns a handler as an Appender that ignores its options. So a handler
// stands in for a stream in a unit test of a module. It panics on a nil handler.
func AsAppender[T any](fn Sink[T]) Appender[T] {
	return ignoreOptions[StreamSendOption]("AsAppender", fn)
}

// Appender returns Append as a function. In Bind, with the module's Scope, it
// also declares that the module appends to the stream.
func (s Stream[T]) Appender(b Binder) Appender[T] {
	return boundSender[T, StreamSendOption](b, s.decl, s.sent)
}

// Handle makes fn a consumer of the stream. Its group is named after the module, unless
// Group sets another. A new group begins as From specifies.
func (s Stream[T]) Handle(sc *Scope, fn Sink[T], opts ...StreamHandlerOption) {
	r := receive(sc, s.decl, fn == nil, opts, newInbound[T])
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*T)) }
}

// Message is a stored message with its properties.
type Message[T any] struct {
	Value    T
	ID       string
	Key      string // of a keyed stream
	Sequence uint64 // its position in the stream
	Time     time.Time
	Attempt  int // 0 if it was read
	Header   transport.Header
}
