package natsx

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
)

// Follow implements [driver.Bucket].
func (b *bucket) Follow(ctx context.Context, f driver.Follow, yield func(*driver.Record) bool) error {
	if err := b.persist(ctx, func() error { _, err := b.look(ctx); return err }); err != nil {
		return err
	}
	rd := b.reader(f.Patterns, f.HeadersOnly, yield)
	rd.follow, rd.last = true, f.After
	rd.start.Sequence = f.After + 1
	g := &guard{b: b, rd: rd, caught: time.Now(), notify: f.Current}
	rd.began, rd.current, rd.lapsed = g.began, g.current, g.lapsed
	rd.yield = g.observe(rd.yield)
	return b.explain(rd.run(ctx))
}

// observe notes when the server has more than it has sent.
func (g *guard) observe(yield func(*nats.Msg, *nats.MsgMetadata) bool) func(*nats.Msg, *nats.MsgMetadata) bool {
	return func(msg *nats.Msg, about *nats.MsgMetadata) bool {
		if g.behind.IsZero() && about.NumPending > 0 {
			g.behind = g.rd.quiet
		}
		return yield(msg, about)
	}
}

// lapsed is called when the server may have had no pull to answer since a time. A marker that
// was written since then may be gone, unless that was a short time ago.
func (g *guard) lapsed(since time.Time) error {
	if life := g.b.shape.Load().markerLife; time.Since(since) > life-life/4 {
		return driver.ErrGap
	}
	return nil
}

// guard detects that a Follow may have missed the end of a value. The server marks an end with
// a record, which it keeps for a time. A record that the Follow has not received within that
// time may be gone.
type guard struct {
	b       *bucket
	rd      *reader
	created time.Time                           // of the stream; zero before the first session
	caught  time.Time                           // when all records had been received, or before
	behind  time.Time                           // the same, when the server had more than it had sent; zero if it has no more
	notify  func(revision uint64, lasting bool) // may be nil
}

// began is called when a session has its consumer, and nothing that the server still has can
// be missed.
func (g *guard) began(ctx context.Context) error {
	is, err := g.b.look(ctx)
	if err != nil {
		return err
	}
	shape := g.b.shape.Load()
	first := g.created.IsZero()
	recreated := !first && !is.Created.Equal(g.created)
	g.created = is.Created
	switch last := is.State.LastSeq; {
	case recreated, last < g.rd.last:
		return driver.ErrGap
	case last == g.rd.last, shape.markerLife == forever:
		return nil
	case first && g.rd.last > 0:
		return g.checkStart(ctx, is.TimeStamp)
	case first:
		return nil
	}
	return g.checkTail(ctx, time.Since(g.caught))
}

// checkStart compares the next record with the oldest time of markers that still exist. If it
// is older, or all records are gone, the caller's state may be older than a marker that is
// gone. If it is newer, the state is as new as the caller claims.
func (g *guard) checkStart(ctx context.Context, now time.Time) error {
	next, err := g.b.message(ctx, map[string]any{"seq": g.rd.last + 1, "next_by_subj": g.b.shape.Load().prefix + ">"})
	switch {
	case isNoMessage(err):
		return driver.ErrGap
	case err != nil:
		return err
	}
	return g.checkTail(ctx, now.Sub(next.Time))
}

// checkTail returns ErrGap if a marker may be gone that the Follow has not received for a time.
// Another client's marker with a TTL may be gone sooner than the server's, but not if no record
// is.
func (g *guard) checkTail(ctx context.Context, away time.Duration) error {
	is := g.b.shape.Load()
	switch {
	case away > is.markerLife:
		return driver.ErrGap
	case away <= is.shortestLife:
		return nil
	}
	last := max(g.rd.last, g.rd.passed)
	all, err := g.b.createConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: readerIdle, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: last + 1,
	})
	if err != nil {
		return err
	}
	g.b.release(ctx, all.Name)
	now, err := g.b.look(ctx)
	if err == nil && all.NumPending < now.State.LastSeq-last {
		return driver.ErrGap
	}
	return err
}

// current is called when the server had no more records for this Follow.
func (g *guard) current(nothingWaits bool) error {
	if !g.behind.IsZero() && time.Since(g.behind) > g.b.shape.Load().markerLife {
		return driver.ErrGap
	}
	g.caught, g.behind = g.rd.quiet, time.Time{}
	if nothingWaits && g.notify != nil {
		g.notify(max(g.rd.last, g.rd.passed), false)
	}
	return nil
}
