package mono

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"gomono.dev/transport"
)

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
	from := transport.ReadConfig{Start: c.From.start, Filter: in.names.patterns(d, c), Follow: c.Follow}
	for stored, err := range log.Read(ctx, from) {
		if err != nil {
			yield(Message[T]{}, about(d.String(), err))
			return
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
	k, err := known.of(stored.Header, known.own(d))
	if err == nil {
		err = decode(&stored.Message, k, &m.Value)
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
