package natstest_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/testkit/natstest"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

type job struct {
	N int `json:"n"`
}

var (
	ask   = mono.NewService[job, int]("test.ask")
	jobs  = mono.NewQueue[job]("test.jobs", mono.Backoff(mono.Constant(100*time.Millisecond)))
	done  = mono.NewEvent[job]("test.done")
	trail = mono.NewStream[job]("test.trail").KeyedBy(func(j job) string { return string(rune('a' + j.N)) })
)

var errFirst = errors.New("not at the first attempt")

// module works on jobs, those with odd numbers at the second attempt.
func module() mono.Module {
	return mono.NewModule("worker", func(s *mono.Scope) error {
		double := ask.Client(s)
		s.Use(done, trail)
		trail.Handle(s, func(context.Context, job) error { return nil })
		done.Handle(s, func(context.Context, job) error { return nil })
		jobs.Handle(s, func(ctx context.Context, j job) error {
			if j.N%2 == 1 && mono.CallFrom(ctx).Attempt() == 1 {
				return errFirst
			}
			n, err := double(ctx, j)
			if err != nil {
				return err
			}
			if err := trail.With(mono.DedupID(mono.CallFrom(ctx).ID())).Append(ctx, s, job{n}); err != nil {
				return err
			}
			return done.Publish(ctx, s, job{n})
		})
		return nil
	})
}

// One body runs on every path of messages, including a real server.
func TestEach(t *testing.T) {
	t.Parallel()
	var ways atomic.Int32
	natstest.Each(t, func(t *testing.T, h *testkit.Harness) {
		ways.Add(1)
		h.AddFunc(module)
		testkit.Fake(h, ask, func(_ context.Context, j job) (int, error) { return 2 * j.N, nil })
		h.MustStart()
		for n := range 4 {
			if err := jobs.Enqueue(t.Context(), h, job{n}); err != nil {
				t.Fatal(err)
			}
		}
		h.Advance(2 * time.Second)
		testkit.RequireAppended(t, h, trail, func(j job) bool { return j.N == 6 })
		if n := len(testkit.Appended(h, trail)); n != 4 {
			t.Errorf("%d on the trail, want 4", n)
		}
		attempts := make(map[int]int)
		for _, d := range testkit.Consumed(h, jobs) {
			attempts[d.Value.N] = max(attempts[d.Value.N], d.Attempt)
		}
		if attempts[0] != 1 || attempts[1] != 2 || attempts[3] != 2 {
			t.Errorf("attempts %v", attempts)
		}
		h.Stop()
		h.MustStart()
		if n, err := ask.Call(t.Context(), h, job{21}); n != 42 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	if n := ways.Load(); n != 5 {
		t.Errorf("%d paths, want 5", n)
	}
}

// A cluster keeps each log on three servers, and goes on without one of them.
func TestCluster(t *testing.T) {
	t.Parallel()
	servers := natstest.Cluster(t, 3)
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{servers[0].ClientURL(), servers[1].ClientURL(), servers[2].ClientURL()}})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	log, err := tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := servers[2].Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := realtime.Patient(t)
	for {
		_, err := log.Append(ctx, &transport.Message{Subject: "l"}, transport.AppendOptions{ID: "1"})
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// An App on a new cluster has no findings, before its first start and after it.
func TestPreflightOnACluster(t *testing.T) {
	t.Parallel()
	servers := natstest.Cluster(t, 3)
	for range 2 {
		tr, err := servers[0].Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		provider := mono.NewModule("provider", func(s *mono.Scope) error {
			ask.Handle(s, func(_ context.Context, j job) (int, error) { return j.N, nil })
			return nil
		})
		app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler))).Add(module(), provider)
		realtime.Until(t, "the cluster knows what was made", func() bool {
			findings, err := app.Preflight(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(findings) > 0 {
				t.Log(findings)
			}
			return len(findings) == 0
		})
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
