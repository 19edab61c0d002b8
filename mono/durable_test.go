package mono_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// A handler that is slower than the AckWait and than the idle timeout of a consumer keeps
// its group and its position, for single messages and for batches.
func TestSlowHandlerKeepsItsGroup(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("durable.slow", mono.AckWait(time.Second))
	onBackendsInTime(t, time.Second, func(t testing.TB, b backend) {
		got, batches := make(chan handled, 10), make(chan mono.Message[job], 10)
		slowly := func() { <-time.After(2500 * time.Millisecond) } // the test needs a slow handler
		app := b.start(t, consumer("slow", s, got, func(handled) error {
			slowly()
			return nil
		}), module("batches", func(sc *mono.Scope) {
			s.HandleBatch(sc, func(_ context.Context, batch []mono.Message[job]) error {
				slowly()
				for _, m := range batch {
					batches <- m
				}
				return nil
			}, mono.BatchSize(1))
		}))
		for n := range 3 {
			if err := s.Append(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 3 {
			if h := next(t, got); h.N != n || h.attempt != 1 {
				t.Errorf("got %+v, want %d at attempt 1", h, n)
			}
			if m := next(t, batches); m.Value.N != n || m.Attempt != 1 {
				t.Errorf("got %+v, want %d at attempt 1", m, n)
			}
		}
	})
}

// An undecodable message becomes a dead letter, and the other messages of its batch are
// handled.
func TestUndecodableMessageDoesNotAffectItsBatch(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("durable.batch")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan []mono.Message[job], 10)
		b.within(t, func(app *mono.App) {
			for n := range 10 {
				var err error
				if n == 4 {
					err = mono.Raw(app).Publish(t.Context(), &transport.Message{Subject: "streams.durable.batch", Body: []byte("{")})
				} else {
					err = s.Append(t.Context(), app, job{N: n})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}, module("reader", func(sc *mono.Scope) { s.Reader(sc) }))
		app := b.start(t, module("batches", func(sc *mono.Scope) {
			s.HandleBatch(sc, func(_ context.Context, batch []mono.Message[job]) error { got <- batch; return nil }, mono.BatchSize(10))
		}))
		seen := 0
		for seen < 9 {
			for _, m := range next(t, got) {
				if seen++; m.Attempt != 1 {
					t.Errorf("got %+v", m)
				}
			}
		}
		if l := awaitDeadLetters(t, s.DeadLetters(app), 1); len(l) != 1 || l[0].Reason != mono.ReasonUndecodable || l[0].Sequence != 5 {
			t.Errorf("got %+v", l)
		}
	})
}

// Durable events are separate even if one name is a prefix of the other, and each
// subscriber of an event receives it.
func TestDurableEventsWithSimilarNamesAreSeparate(t *testing.T) {
	t.Parallel()
	e := mono.NewEvent[job]("durable.shared", mono.Durable())
	longer := mono.NewEvent[job]("durable.shared.longer", mono.Durable())
	onBackends(t, func(t *testing.T, b backend) {
		one, two := make(chan job, 10), make(chan job, 10)
		app := b.start(t, listener("one", e, one), listener("two", e, two), listener("both", longer, two))
		if err := e.Publish(t.Context(), app, job{N: 1}); err != nil {
			t.Fatal(err)
		}
		if err := longer.Publish(t.Context(), app, job{N: 2}); err != nil {
			t.Fatal(err)
		}
		if j := next(t, one); j.N != 1 {
			t.Errorf("got %v", j)
		}
		if a, b := next(t, two), next(t, two); a.N+b.N != 3 {
			t.Errorf("got %v and %v", a, b)
		}
		none(t, one)
	})
}

// The position of a group belongs to its name, regardless of the order in which modules
// start.
func TestGroupKeepsItsPositionAfterRestart(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("durable.positions")
	onBackends(t, func(t *testing.T, b backend) {
		first, second := make(chan handled, 10), make(chan handled, 10)
		b.within(t, func(app *mono.App) {
			for n := range 3 {
				if err := s.Append(t.Context(), app, job{N: n}); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				next(t, first)
			}
		}, consumer("first", s, first, succeed))
		b.start(t, consumer("second", s, second, succeed), consumer("first", s, first, succeed))
		for n := range 3 {
			if h := next(t, second); h.N != n {
				t.Errorf("got %+v, want %d", h, n)
			}
		}
		none(t, first)
	})
}

// A job is acknowledged after its handler has returned. A failed job is retried, and so
// is a job whose worker was stopped during the attempt.
func TestJobIsAcknowledgedAfterItsHandler(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("durable.early", mono.Backoff(mono.Constant(time.Millisecond)), mono.AckWait(time.Second))
	onBackendsInTime(t, time.Second, func(t testing.TB, b backend) {
		begun := make(chan handled, 10)
		hung := b.app(t, module("worker", func(s *mono.Scope) {
			q.Handle(s, func(ctx context.Context, j job) error {
				begun <- handled{job: j, attempt: mono.CallFrom(ctx).Attempt()}
				<-ctx.Done()
				return ctx.Err()
			})
		}))
		if err := hung.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := q.Enqueue(t.Context(), hung, job{N: 1}); err != nil {
			t.Fatal(err)
		}
		next(t, begun)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = hung.Stop(over) // no time is left: Stop abandons the handler
		var failed atomic.Bool
		got := make(chan handled, 10)
		b.start(t, worker("worker", q, got, func(handled) error {
			if failed.CompareAndSwap(false, true) {
				return errors.New("once")
			}
			return nil
		}))
		a, z := next(t, got), next(t, got)
		if fmt.Sprint(a.N, a.attempt, z.N, z.attempt) != "1 1 1 2" {
			t.Errorf("got %+v and %+v, want attempts 1 and 2: the stop does not count as an attempt", a, z)
		}
	})
}
