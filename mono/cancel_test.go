package mono_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
)

// cancelFails fails the test unless a Cancel fails with a code and changes nothing.
func cancelFails(t testing.TB, q mono.Queue[job], app *mono.App, id string, code mono.Code) {
	t.Helper()
	if err := q.Cancel(t.Context(), app, id); mono.CodeOf(err) != code || mono.OutcomeOf(err) != mono.OutcomeNotDone {
		t.Errorf("cancel %s: got %v, want %s", id, err, code)
	}
}

// Cancel removes delayed jobs, and jobs that wait in all groups. A job that a worker of one group
// has received stays.
func TestCancel(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("cancel.jobs", mono.Groups("a", "b"))
	onBackends(t, func(t *testing.T, b backend) {
		got, finish := make(chan int, 10), make(chan bool)
		take := func(_ context.Context, j job) error { got <- j.N; <-finish; return nil }
		app := b.start(t, module("m", func(s *mono.Scope) { s.Use(q) }))
		delayed, err := q.With(mono.Delay(time.Hour)).EnqueueStored(t.Context(), app, job{N: 1})
		if err != nil {
			t.Fatal(err)
		}
		for n, id := range []string{"one", "two", "three"} {
			if err := q.With(mono.DedupID(id)).Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{delayed.ID, "two"} {
			if err := q.Cancel(t.Context(), app, id); err != nil {
				t.Errorf("cancel %s: %v", id, err)
			}
			cancelFails(t, q, app, id, mono.NotFound)
		}
		cancelFails(t, q, app, "four", mono.NotFound)
		cancelFails(t, q, app, "", mono.InvalidArgument)
		stored, err := q.With(mono.DedupID("two")).EnqueueStored(t.Context(), app, job{N: 1})
		if err != nil || !stored.Duplicate {
			t.Errorf("a cancelled job is sent again: %+v, %v", stored, err)
		}
		workers := b.start(t, module("m", func(s *mono.Scope) { q.Handle(s, take, mono.Group("a")) }))
		if n := next(t, got); n != 0 {
			t.Errorf("handled %d", n)
		}
		cancelFails(t, q, workers, "one", mono.FailedPrecondition)
		finish <- true
		if n := next(t, got); n != 2 {
			t.Errorf("handled %d", n)
		}
		cancelFails(t, q, workers, "one", mono.FailedPrecondition) // it still waits in b
		finish <- true
		both := b.start(t, module("m", func(s *mono.Scope) { q.Handle(s, take, mono.Group("b")) }))
		for _, want := range []int{0, 2} {
			if n := next(t, got); n != want {
				t.Errorf("b handled %d, want %d", n, want)
			}
			finish <- true
		}
		settled(t, q, both)
		cancelFails(t, q, both, "one", mono.NotFound)
	})
}

// What is not stored cannot be cancelled.
func TestCancelOfANonPersistentJob(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("cancel.direct", mono.NonPersistent())
	app := mono.New(inprocBackend(t)(), quiet(t)).Add(module("m", func(s *mono.Scope) { s.Use(q) }))
	begin(t, app)
	cancelFails(t, q, app, "one", mono.FailedPrecondition)
}

// A job is handled by all groups, or was cancelled with nil and is handled by none, whatever happens
// at the same time: workers, other calls of Cancel, delays that end, and pauses.
func TestCancelledOrHandled(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		groups := []string{"a", "b"}
		q := mono.NewQueue[job]("cancel.races", mono.Groups(groups...), mono.MaxAttempts(2), mono.Backoff(mono.Constant(time.Millisecond)))
		var mu sync.Mutex
		handled := make(map[string]map[int]int)
		workers := module("m", func(s *mono.Scope) {
			for _, group := range groups {
				handled[group] = make(map[int]int)
				q.Handle(s, func(_ context.Context, j job) error {
					mu.Lock()
					defer mu.Unlock()
					handled[group][j.N]++
					return nil
				}, mono.Group(group), mono.Concurrency(4))
			}
		})
		app := b.start(t, workers)
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			type sent struct {
				n       int
				cancels int
			}
			var all []sent
			for range rapid.IntRange(1, 8).Draw(r, "jobs") {
				all = append(all, sent{n, rapid.IntRange(0, 2).Draw(r, "cancels")})
				n++
			}
			if rapid.Bool().Draw(r, "paused") {
				err := mono.PauseGroup(t.Context(), app, q, groups[n%2], time.Now().Add(50*time.Millisecond))
				if err != nil && mono.CodeOf(err) != mono.InvalidArgument { // the machine may have stalled for that long
					r.Fatal(err)
				}
			}
			cancelled := make(map[int]int)
			var wait sync.WaitGroup
			for _, one := range all {
				id := fmt.Sprint("job ", one.n)
				if err := q.With(mono.DedupID(id)).Enqueue(t.Context(), app, job{N: one.n}); err != nil {
					r.Fatal(err)
				}
				for range one.cancels {
					wait.Go(func() {
						err := q.Cancel(t.Context(), app, id)
						mu.Lock()
						defer mu.Unlock()
						switch mono.CodeOf(err) {
						case mono.NotFound, mono.FailedPrecondition:
						default:
							if cancelled[one.n]++; err != nil {
								t.Errorf("cancel: %v", err)
							}
						}
					})
				}
			}
			wait.Wait()
			realtime.Until(t, "the queue is empty", func() bool {
				s, err := q.Stats(t.Context(), app)
				return err == nil && s.Messages == 0
			})
			mu.Lock()
			defer mu.Unlock()
			for _, one := range all {
				want := 1
				if cancelled[one.n] > 0 {
					want = 0
				}
				for _, group := range groups {
					if handled[group][one.n] != want || cancelled[one.n] > 1 {
						r.Errorf("job %d: cancelled %d times, and handled %d times by %s", one.n, cancelled[one.n], handled[group][one.n], group)
					}
				}
			}
		})
	})
}

// The permissions that Cancel needs are named.
func TestCancelIsDenied(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("cancel.denied")
	for _, subject := range []string{"$JS.API.STREAM.MSG.GET.queues_cancel_denied", "$JS.API.STREAM.MSG.DELETE.queues_cancel_denied", "$JS.API.CONSUMER.PAUSE.queues_cancel_denied.workers"} {
		tr, _ := limited(t, fmt.Sprintf(`publish: { deny: %q }`, subject))
		app := mono.New(tr, quiet(t)).Add(module("m", func(s *mono.Scope) { s.Use(q) }))
		begin(t, app)
		if err := q.With(mono.DedupID("one")).Enqueue(t.Context(), app, job{}); err != nil {
			t.Fatal(err)
		}
		err := q.Cancel(t.Context(), app, "one")
		if mono.CodeOf(err) != mono.PermissionDenied || !strings.Contains(err.Error(), subject) {
			t.Errorf("got %v, want permission_denied with %s", err, subject)
		}
		if strings.Contains(subject, ".GET.") {
			continue // Stats needs it, too
		}
		if s, err := q.Stats(t.Context(), app); err != nil || s.Messages != 1 || slices.ContainsFunc(s.Groups, func(g mono.GroupStats) bool { return !g.PausedUntil.IsZero() }) {
			t.Errorf("afterwards: %+v, %v", s, err)
		}
	}
}

// No group stays paused when the Cancels of several processes have returned.
func TestCancelInTwoProcessesResumesTheGroups(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("cancel.together", mono.Groups("a", "b"))
	onBackends(t, func(t *testing.T, b backend) {
		const each = 15
		starts(t, b.release(t, 1, func(s *mono.Scope) { q.Handle(s, nothing, mono.Group("a")); q.Handle(s, nothing, mono.Group("b")) }))()
		var all sync.WaitGroup
		apps := []*mono.App{b.start(t, module("m", func(s *mono.Scope) { s.Use(q) })), b.start(t, module("m", func(s *mono.Scope) { s.Use(q) }))}
		for i, app := range apps {
			for n := range each {
				if err := q.With(mono.DedupID(fmt.Sprint(i, "-", n))).Enqueue(t.Context(), app, job{N: n}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, app := range apps {
			all.Go(func() {
				for n := range each {
					if err := q.Cancel(t.Context(), app, fmt.Sprint(i, "-", n)); err != nil && mono.CodeOf(err) != mono.Aborted {
						t.Errorf("cancel %d-%d: %v", i, n, err)
					}
				}
			})
		}
		all.Wait()
		stats, err := q.Stats(t.Context(), apps[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range stats.Groups {
			if !g.PausedUntil.IsZero() {
				t.Errorf("the group %s is paused until %v", g.Name, g.PausedUntil)
			}
		}
		if stats.Messages != 0 {
			t.Errorf("%d jobs are left", stats.Messages)
		}
	})
}
