package natsx

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

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
	rd.began, rd.current = g.began, g.current
	rd.yield = g.observe(rd.yield)
	return b.explain(rd.run(ctx))
}

// observe notes when the Follow falls behind: the server has more than it has sent, or the
// caller keeps a record for so long that the server may not have been asked for more.
func (g *guard) observe(yield func(*nats.Msg, *nats.MsgMetadata) bool) func(*nats.Msg, *nats.MsgMetadata) bool {
	return func(msg *nats.Msg, about *nats.MsgMetadata) bool {
		begun := time.Now()
		more := yield(msg, about)
		if g.behind.IsZero() && (about.NumPending > 0 || time.Since(begun) > pullExpiry/2) {
			g.behind = begun
		}
		return more
	}
}

// guard detects that a Follow may have missed the end of a value. The server marks an end with
// a record, which it keeps for a time. A record that the Follow has not received within that
// time may be gone.
type guard struct {
	b       *bucket
	rd      *reader
	created time.Time                           // of the stream; zero before the first session
	caught  time.Time                           // when all records had been received
	behind  time.Time                           // when the server had more than it had sent; zero if it has no more
	notify  func(revision uint64, lasting bool) // may be nil
}

// began is called when a session has its consumer, and nothing that the server still has can
// be missed.
func (g *guard) began(ctx context.Context) error {
	is, err := g.b.look(ctx)
	if err != nil {
		return err
	}
	life := g.b.shape.Load().markerLife
	first := g.created.IsZero()
	recreated := !first && !is.Created.Equal(g.created)
	g.created = is.Created
	switch last := is.State.LastSeq; {
	case recreated, last < g.rd.last:
		return driver.ErrGap
	case last == g.rd.last, life == forever:
		return nil
	case !first && time.Since(g.caught) > life:
		return driver.ErrGap
	case first && g.rd.last > 0:
		return g.checkStart(ctx, is.TimeStamp.Add(-life))
	}
	return nil
}

// checkStart compares the next record with the oldest time of markers that still exist. If it
// is older, or all records are gone, the caller's state may be older than a marker that is
// gone. If it is newer, the state is as new as the caller claims.
func (g *guard) checkStart(ctx context.Context, oldest time.Time) error {
	next, err := g.b.message(ctx, map[string]any{"seq": g.rd.last + 1, "next_by_subj": g.b.shape.Load().prefix + ">"})
	switch {
	case isNoMessage(err):
		return driver.ErrGap
	case err != nil:
		return err
	case next.Time.Before(oldest):
		return driver.ErrGap
	}
	return nil
}

// current is called when the server had no more records for this Follow.
func (g *guard) current(nothingWaits bool) error {
	if !g.behind.IsZero() && time.Since(g.behind) > g.b.shape.Load().markerLife {
		return driver.ErrGap
	}
	g.caught, g.behind = time.Now(), time.Time{}
	if nothingWaits && g.notify != nil {
		g.notify(max(g.rd.last, g.rd.passed), false)
	}
	return nil
}
