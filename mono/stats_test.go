package mono_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
)

// Stats count what waits, is in hand, is delayed and is dead, for each group.
func TestStats(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		queue := mono.NewQueue[job]("stats.jobs", mono.Groups("a", "b"), mono.MaxAttempts(1))
		begun, finish := make(chan bool, 10), make(chan bool)
		app := b.start(t, module("m", func(s *mono.Scope) {
			queue.Handle(s, func(_ context.Context, j job) error {
				if j.N == 0 {
					return errors.New("dead")
				}
				begun <- true
				<-finish
				return nil
			}, mono.Group("a"), mono.Concurrency(1))
		}))
		t.Cleanup(func() { close(finish) })
		before := time.Now().Add(-time.Minute) // clocks differ
		for n := range 4 {
			if err := queue.Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		if err := queue.With(mono.Delay(time.Hour)).Enqueue(t.Context(), app, job{N: 9}); err != nil {
			t.Fatal(err)
		}
		next(t, begun)
		awaitDeadLetters(t, queue.DeadLetters(app), 1)
		var s mono.Stats
		realtime.Until(t, "the state of the queue", func() bool {
			var err error
			if s, err = queue.Stats(t.Context(), app); err != nil {
				t.Fatal(err)
			}
			return len(s.Groups) == 2 && s.Groups[0].Waiting+s.Groups[0].InFlight == 3
		})
		if of, err := mono.StatsOf(t.Context(), app, queue); err != nil || of.Messages != s.Messages || len(of.Groups) != 2 {
			t.Errorf("StatsOf: got %+v, %v", of, err)
		}
		if _, err := mono.StatsOf(t.Context(), app, ask); mono.CodeOf(err) != mono.FailedPrecondition {
			t.Errorf("StatsOf a service: got %v", err)
		}
		if s.Messages != 4 || s.Bytes == 0 || s.Delayed != 1 || s.DeadLetters != 1 || s.Oldest.Before(before) {
			t.Errorf("the queue has %+v", s)
		}
		if g := s.Groups[0]; g.Name != "a" || !g.Declared || g.InFlight == 0 || g.Retried != 0 || g.Oldest.Before(before) {
			t.Errorf("a has %+v", g)
		}
		if g := s.Groups[1]; g.Name != "b" || !g.Declared || g.Members != 0 || g.Waiting != 4 || g.InFlight != 0 || !g.Oldest.Equal(s.Oldest) {
			t.Errorf("b has %+v", g)
		}
	})
}

// Streams and durable events have Stats, and what is not stored has none.
func TestStatsOfOtherKinds(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		event, plain := mono.NewEvent[job]("stats.told", mono.Durable()), mono.NewEvent[job]("stats.plain")
		stream := mono.NewStream[job]("stats.kept").KeyedBy(job.key)
		queue := mono.NewQueue[job]("stats.volatile", mono.NonPersistent())
		done := make(chan job, 2)
		app := b.start(t, module("m", func(s *mono.Scope) {
			take := func(_ context.Context, j job) error { done <- j; return nil }
			event.Handle(s, take)
			stream.Handle(s, take)
			s.Use(plain, queue)
		}))
		if err := errors.Join(event.Publish(t.Context(), app, job{}), stream.Append(t.Context(), app, job{Key: "k"})); err != nil {
			t.Fatal(err)
		}
		next(t, done)
		next(t, done)
		realtime.Until(t, "the event is settled", func() bool {
			s, err := event.Stats(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			return s.Messages == 0 && s.Oldest.IsZero() && len(s.Groups) == 1 && s.Groups[0].Name == "m" && s.Groups[0].Oldest.IsZero()
		})
		realtime.Until(t, "the message of the stream is settled", func() bool {
			s, err := stream.Stats(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			return s.Messages == 1 && !s.Oldest.IsZero() && s.Groups[0].InFlight == 0 && s.Groups[0].Members > 0
		})
		_, err := plain.Stats(t.Context(), app)
		_, volatile := queue.Stats(t.Context(), app)
		for _, err := range []error{err, volatile} {
			if mono.CodeOf(err) != mono.FailedPrecondition {
				t.Errorf("got %v", err)
			}
		}
	})
}

// A paused group gets nothing, in any process, until it is resumed.
func TestPauseGroup(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		queue := mono.NewQueue[job]("pause.jobs", mono.Groups("a", "b"))
		a, other := make(chan int, 10), make(chan int, 10)
		works := func(group string, done chan int) mono.Module {
			return module(group, func(s *mono.Scope) {
				queue.Handle(s, func(_ context.Context, j job) error { done <- j.N; return nil }, mono.Group(group))
			})
		}
		b.start(t, works("a", a))
		app := b.start(t, works("b", other))
		if err := mono.PauseGroup(t.Context(), app, queue, "a", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := queue.Enqueue(t.Context(), app, job{N: 1}); err != nil {
			t.Fatal(err)
		}
		next(t, other)
		s, err := queue.Stats(t.Context(), app)
		if err != nil || s.Groups[0].Waiting != 1 || s.Groups[0].PausedUntil.Before(time.Now()) || !s.Groups[1].PausedUntil.IsZero() {
			t.Errorf("got %+v, %v", s, err)
		}
		none(t, a)
		for range 2 {
			if err := mono.ResumeGroup(t.Context(), app, queue, "a"); err != nil {
				t.Fatal(err)
			}
		}
		if n := next(t, a); n != 1 {
			t.Errorf("got %d", n)
		}
		idle := b.app(t)
		defer func() { _ = idle.Stop(context.Background()) }()
		for want, err := range map[mono.Code]error{
			mono.NotFound:           mono.PauseGroup(t.Context(), app, queue, "c", time.Now().Add(time.Hour)),
			mono.InvalidArgument:    mono.PauseGroup(t.Context(), app, queue, "a", time.Now()),
			mono.FailedPrecondition: mono.ResumeGroup(t.Context(), app, mono.NewEvent[job]("pause.plain"), "a"),
			mono.Unavailable:        mono.ResumeGroup(t.Context(), idle, queue, "a"),
		} {
			if mono.CodeOf(err) != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
}
