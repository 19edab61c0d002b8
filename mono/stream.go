package mono

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
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

// ReadOption fits Stream.Read and a Reader.
//
// The options are [Follow], [From] and [Keys].
type ReadOption interface {
	apply(*config) error
	forRead()
}

func (option) forRead() {}

// Position is a point in a stream. Its zero value is the beginning.
type Position struct{ start transport.Start }

// Beginning returns the position of the oldest kept message.
func Beginning() Position { return Position{} }

// End returns the position after the last message: only messages appended from now on
// follow.
func End() Position { return Position{transport.Start{New: true}} }

// AtSequence returns the position of the message with this sequence, or of the first
// one after it.
func AtSequence(n uint64) Position { return Position{transport.Start{Sequence: n}} }

// AtTime returns the position of the first message that was stored at this time or
// later.
func AtTime(t time.Time) Position { return Position{transport.Start{Time: t}} }

// LastPerKey returns the position of the last message of each key, in the order of
// their sequences. The messages after them follow.
func LastPerKey() Position { return Position{transport.Start{LastPerSubject: true}} }

// String describes the position.
func (p Position) String() string {
	switch {
	case p.start.New:
		return "end"
	case p.start.Sequence > 0:
		return fmt.Sprintf("sequence %d", p.start.Sequence)
	case !p.start.Time.IsZero():
		return "time " + p.start.Time.Format(time.RFC3339Nano)
	case p.start.LastPerSubject:
		return "last per key"
	}
	return "beginning"
}

// From sets where a reader or a new group of consumers begins, by default at the
// beginning. An existing group always continues where it stopped.
func From(p Position) interface {
	StreamHandlerOption
	BatchHandlerOption
	ReadOption
} {
	return option(func(c *config) error { c.From = p; return nil })
}

// Follow makes a reader wait for later messages, instead of ending.
func Follow() ReadOption {
	return option(func(c *config) error { c.Follow = true; return nil })
}

// Reader is the type of a bound Stream.Read.
type Reader[T any] = func(ctx context.Context, opts ...ReadOption) iter.Seq2[Message[T], error]

// Read returns the messages of the stream in order. It does not make the caller a
// consumer, and changes nothing. It returns the messages that exist when it begins, and
// with Follow also later ones until ctx ends. Keys limits it to some keys.
//
// A message that cannot be decoded is returned with its sequence and its error; the
// next one follows. Any other error ends the iteration.
func (s Stream[T]) Read(ctx context.Context, b Binder, opts ...ReadOption) iter.Seq2[Message[T], error] {
	return func(yield func(Message[T], error) bool) {
		sc := b.Scope()
		if err := sc.mayRead(s.decl); err != nil {
			yield(Message[T]{}, err)
			return
		}
		read[T](ctx, sc.in, s.decl, opts, yield)
	}
}

// Reader returns Read as a function. In Bind, with the module's Scope, it also
// declares that the module reads the stream.
func (s Stream[T]) Reader(b Binder) Reader[T] {
	if sc, ok := b.(*Scope); ok && sc.unit != nil {
		sc.declare("a reader", s.decl)
		sc.unit.reads = append(sc.unit.reads, s.decl)
	}
	return func(ctx context.Context, opts ...ReadOption) iter.Seq2[Message[T], error] {
		return s.Read(ctx, b, opts...)
	}
}

// mayRead returns an error if a stream cannot be read through a Scope.
func (s *Scope) mayRead(d *declaration) error {
	switch {
	case s.in == nil:
		return notDone(Unavailable, "%s: the App has not been started", d)
	case s.in.ended.Load():
		return notDone(Unavailable, "%s: the App has stopped", d)
	case s.unit != nil && !slices.ContainsFunc(s.unit.messages, d.same):
		return notDone(FailedPrecondition, "module %s reads %s, which it has not declared: ask for a Reader in Bind", s.unit.name, d)
	}
	return nil
}

func read[T any](ctx context.Context, in *instance, d *declaration, opts []ReadOption, yield func(Message[T], error) bool) {
	kept := in.logs.of(d)
	c, err := readConfig(d, opts)
	var log transport.Log
	if err == nil {
		log, err = kept.log(ctx)
	}
	if err != nil {
		yield(Message[T]{}, about(d.String(), err))
		return
	}
	ctx, cancel := mergeDone(ctx, in.ctx)
	defer cancel()
	from := transport.ReadConfig{Start: c.From.start, Follow: c.Follow}
	if len(c.Keys) > 0 {
		from.Filter = in.names.patterns(d, c)
	}
	prefix := in.names.prefix(d)
	for stored, err := range log.Read(ctx, from) {
		if err != nil {
			yield(Message[T]{}, about(d.String(), err))
			return
		}
		if forOtherGroup(stored.Subject, prefix, "") {
			continue
		}
		if !yield(open[T](in.codecs, d, kept.idOf(stored), stored)) {
			return
		}
	}
}

func readConfig(d *declaration, opts []ReadOption) (*config, error) {
	c := d.config
	for _, o := range opts {
		if err := applyTo(&c, o); err != nil {
			return nil, notDone(InvalidArgument, "%w", err)
		}
	}
	if len(c.Keys) > 0 && d.key == nil {
		return nil, notDone(InvalidArgument, "it is read with mono.Keys, but has no key: declare it with KeyedBy")
	}
	for _, key := range c.Keys {
		if err := transport.ValidateToken(key); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// open decodes a stored message.
func open[T any](known *codecs, d *declaration, id string, stored *transport.Delivery) (Message[T], error) {
	m := Message[T]{
		ID: id, Key: keyOf(stored.Subject),
		Sequence: stored.Sequence, Time: stored.Stored, Header: stored.Header,
	}
	k, err := known.ofMessage(stored.Header, d, known.own(d))
	if err == nil {
		err = decodePayload(&stored.Message, k, &m.Value)
	}
	if err != nil {
		return m, about(d.String(), Errorf(CodeOf(err), "message %d: %w", stored.Sequence, err))
	}
	return m, nil
}

// mergeDone returns a context that ends with either of two.
func mergeDone(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
