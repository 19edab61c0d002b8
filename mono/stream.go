package mono

import (
	"context"
	"reflect"
)

// Stream is a history: stored, ordered, and read as often as somebody likes.
//
// A message is appended when it is stored, and kept until MaxAge, MaxMessages,
// MaxBytes or MaxPerKey let it go; without them for good. Each group of consumers
// gets all of them, at least once, and resumes where it stopped.
//
// A group handles messages in order: each when the one before it is done, retries
// included, over all processes. With keys (KeyedBy) that holds within each key,
// and DefaultLanes keys are worked on at once, as far as Concurrency allows.
// Unordered gives that up. One that fails MaxAttempts times, or cannot be read,
// becomes a dead letter, and the next one follows.
//
// Appends do not depend on groups. The deletion of a group in the backend loses its
// position, and only a person knows where to continue. So its receivers stop, and their
// modules are unhealthy, until the App restarts: then the group begins as From says.
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

// Append stores a message at the end. Nil means that it is stored: now, or, with a
// DedupID, by an earlier Append within the DedupWindow. AppendStored returns which.
func (s Stream[T]) Append(ctx context.Context, b Binder, v T) error {
	return post(ctx, b, s.decl, &s.sent, v)
}

// AppendStored is Append, and returns the message's id and position, and whether it is
// a duplicate. The id is set even if an error leaves open whether the message is
// stored: it can be sent again with that DedupID.
func (s Stream[T]) AppendStored(ctx context.Context, b Binder, v T) (Stored, error) {
	return postStored(ctx, b, s.decl, s.sent, v)
}

// AppendAsync is Append without the wait: many can be on their way at once, and
// are stored in the order of the calls. done is called once, when the message is
// stored or is not, soon after, on another goroutine. It must return soon, and must not
// end that goroutine (runtime.Goexit, a test's FailNow), which brings all others theirs.
// AppendAsync blocks while too many are on their way, as long as ctx allows. When
// it returns an error itself, done is not called. Middleware sees the hand-over,
// not the storing.
func (s Stream[T]) AppendAsync(ctx context.Context, b Binder, v T, done func(error)) error {
	s.sent.opts.done = done
	return post(ctx, b, s.decl, &s.sent, v)
}

// AppendAfter stores a message only if last is the sequence of the last message of
// its key, or of the whole stream where it has no key; 0 means that none is kept.
// It returns the sequence of the new one. Aborted means that somebody else was
// faster: read what he wrote, and decide anew.
func (s Stream[T]) AppendAfter(ctx context.Context, b Binder, last uint64, v T) (uint64, error) {
	s.sent.opts.conditional, s.sent.opts.last = true, last
	stored, err := postStored(ctx, b, s.decl, s.sent, v)
	return stored.Sequence, err
}

// Appender returns Append as a function. In Bind, with the module's Scope, it
// also declares that the module appends to the stream.
func (s Stream[T]) Appender(b Binder) Sink[T] {
	sender := bind(b, s.decl)
	if sender == nil {
		return func(ctx context.Context, v T) error { return s.Append(ctx, b, v) }
	}
	return func(ctx context.Context, v T) error { return postBy(ctx, sender, &s.sent, v) }
}

// Handle makes fn a consumer of the stream, in the group that is named after its
// module, or by Group. A new group begins where From says.
func (s Stream[T]) Handle(sc *Scope, fn Sink[T], opts ...StreamHandlerOption) {
	r := receive(sc, s.decl, fn == nil, opts, newTicket[T])
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*T)) }
}
