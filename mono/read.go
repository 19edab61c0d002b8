package mono

import (
	"context"
	"iter"
	"slices"

	"gomono.dev/transport"
)

// ReadOption fits Stream.Read and a Reader.
//
// The options are [Before], [Follow], [From], [Keys] and [Last].
type ReadOption interface {
	apply(*config) error
	forRead()
}

func (option) forRead() {}

// Follow makes a reader wait for later messages, instead of ending.
func Follow() ReadOption {
	return option(func(c *config) error { c.Follow = true; return nil })
}

// Last limits a reader to the last n messages that it would return. With Follow, later
// messages come after them. The reader looks for the first of the n from the end on: it
// reads about twice n messages, and more if many do not match Keys or were removed.
func Last(n uint64) ReadOption {
	return set(n > 0, func(c *config) { c.Last = n }, "Last(%d): want at least 1", n)
}

// Before ends a reader before the message with this sequence. With Last it reads
// backwards, page by page: the next page is before the first message of this one.
func Before(sequence uint64) ReadOption {
	return set(sequence > 0, func(c *config) { c.Before = sequence }, "Before(%d): want at least 1", sequence)
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
	return s.unit.away(d)
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
	reads := streamRead{log, transport.ReadConfig{Start: c.From.start, Follow: c.Follow}, c, in.names.prefix(d)}
	if len(c.Keys) > 0 {
		reads.from.Filter = in.names.patterns(d, c)
	}
	if err := reads.position(ctx); err != nil {
		yield(Message[T]{}, about(d.String(), err))
		return
	}
	for stored, err := range reads.all(ctx) {
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
	switch {
	case len(c.Keys) > 0 && d.key == nil:
		return nil, notDone(InvalidArgument, "it is read with mono.Keys, but has no key: declare it with KeyedBy")
	case c.Last > 0 && c.From != Position{}:
		return nil, notDone(InvalidArgument, "it is read with mono.Last and mono.From, which exclude each other: use one of them")
	case c.Before > 0 && c.Follow:
		return nil, notDone(InvalidArgument, "it is read with mono.Before and mono.Follow, which exclude each other: use one of them")
	}
	for _, key := range c.Keys {
		if err := transport.ValidateToken(key); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// streamRead reads the messages of a stream.
type streamRead struct {
	log    transport.Log
	from   transport.ReadConfig
	config *config
	prefix string
}

// all returns the messages up to Before, without those for one group only.
func (r *streamRead) all(ctx context.Context) iter.Seq2[*transport.Delivery, error] {
	return func(yield func(*transport.Delivery, error) bool) {
		for d, err := range r.log.Read(ctx, r.from) {
			switch {
			case err != nil:
				yield(nil, err)
				return
			case r.config.Before > 0 && d.Sequence >= r.config.Before:
				return
			case forOtherGroup(d.Subject, r.prefix, ""):
			case !yield(d, nil):
				return
			}
		}
	}
}

// position finds the start of the Last messages. It looks at a growing part of the end.
func (r *streamRead) position(ctx context.Context) error {
	n := r.config.Last
	if n == 0 {
		return nil
	}
	info, err := r.log.Info(ctx)
	if err != nil {
		return err
	}
	end := info.Last + 1
	if before := r.config.Before; before > 0 {
		end = min(end, before)
	}
	look := *r
	look.from.Follow = false
	for part := n; ; part *= 4 {
		first, whole := max(info.First, 1), true
		if end > part && end-part > first {
			first, whole = end-part, false
		}
		look.from.Start.Sequence = first
		last, err := look.last(ctx, n, end)
		if err != nil {
			return err
		}
		if uint64(len(last)) == n || whole {
			r.from.Start.Sequence = append(last, end)[0]
			return nil
		}
	}
}

// last returns the sequences of the last n messages below end.
func (r *streamRead) last(ctx context.Context, n, end uint64) (last []uint64, err error) {
	for d, err := range r.all(ctx) {
		if err != nil {
			return nil, err
		}
		if d.Sequence >= end {
			break
		}
		if last = append(last, d.Sequence); uint64(len(last)) > n {
			last = last[1:]
		}
	}
	return last, nil
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
