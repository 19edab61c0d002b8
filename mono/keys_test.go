package mono_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// typed is a job that a worker of a group has handled.
type typed struct {
	group string
	n     int
	key   string
}

// workers makes a worker of each group with its Keys.
func workers(q mono.Queue[job], got chan<- typed, keys map[string][]string) func(*mono.Scope) {
	return func(s *mono.Scope) {
		for group, keys := range keys {
			opts := []mono.QueueHandlerOption{mono.Group(group)}
			if len(keys) > 0 {
				opts = append(opts, mono.Keys(keys...))
			}
			q.Handle(s, func(_ context.Context, j job) error {
				got <- typed{group, j.N, j.Key}
				return nil
			}, opts...)
		}
	}
}

// handles fails the test unless workers handle jobs, each once and in any order.
func handles(t testing.TB, got <-chan typed, want ...typed) {
	t.Helper()
	var all []typed
	for range want {
		all = append(all, next(t, got))
	}
	order := func(a, b typed) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	slices.SortFunc(all, order)
	if slices.SortFunc(want, order); !slices.Equal(all, want) {
		t.Errorf("handled %v, want %v", all, want)
	}
}

// settled waits until no job of a queue is left, and returns its Stats.
func settled(t testing.TB, q mono.Queue[job], app *mono.App) (s mono.Stats) {
	t.Helper()
	realtime.Until(t, "no job is left", func() bool {
		var err error
		if s, err = q.Stats(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		return s.Messages == 0 && s.Delayed == 0
	})
	return s
}

// A worker with Keys gets the jobs of its keys, however they are sent.
func TestQueueKeys(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("keys.jobs", mono.Groups("email", "image", "report")).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan typed, 10)
		app := b.start(t, module("m", workers(q, got, map[string][]string{"email": {"welcome", "digest"}, "image": {"resize"}, "report": {"monthly", "digest"}})))
		if err := q.Enqueue(t.Context(), app, job{1, "welcome"}); err != nil {
			t.Fatal(err)
		}
		if errs := q.EnqueueAll(t.Context(), app, job{2, "resize"}, job{3, "digest"}); errs != nil {
			t.Fatal(errs)
		}
		if err := q.With(mono.Delay(time.Second)).Enqueue(t.Context(), app, job{4, "monthly"}); err != nil {
			t.Fatal(err)
		}
		plain := &transport.Message{Subject: "queues.keys.jobs", Body: []byte(`{"n":5,"key":"resize"}`)}
		if err := mono.Raw(app).Publish(t.Context(), plain); err != nil {
			t.Fatal(err)
		}
		handles(t, got, typed{"email", 1, "welcome"}, typed{"image", 2, "resize"}, typed{"email", 3, "digest"}, typed{"report", 3, "digest"},
			typed{"report", 4, "monthly"}, typed{"image", 5, "resize"})
		settled(t, q, app)
		none(t, got)
		if err := q.Enqueue(t.Context(), app, job{6, "a.b"}); mono.CodeOf(err) != mono.InvalidArgument {
			t.Errorf("an invalid key: %v", err)
		}
	})
}

// A job whose key no group takes becomes one dead letter, which is replayed once a group takes the key.
func TestUnclaimedJobs(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("keys.unclaimed", mono.Groups("a", "b", "c")).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan typed, 10)
		first := b.release(t, 1, workers(q, got, map[string][]string{"a": {"x"}, "b": {"y"}}))
		stop := starts(t, first)
		for n, key := range []string{"x", "z", "z"} {
			if err := q.Enqueue(t.Context(), first, job{n, key}); err != nil {
				t.Fatal(err)
			}
		}
		plain := &transport.Message{Subject: "queues.keys.unclaimed", Body: []byte(`{"n":3,"key":"z"}`)}
		if err := mono.Raw(first).Publish(t.Context(), plain); err != nil {
			t.Fatal(err)
		}
		handles(t, got, typed{"a", 0, "x"})
		realtime.Until(t, "all jobs wait in c, which has no worker", func() bool {
			stats, err := q.Stats(t.Context(), first)
			return err == nil && stats.Messages == 4 && stats.DeadLetters == 0
		})
		stop()
		second := b.release(t, 2, workers(q, got, map[string][]string{"a": {"x"}, "b": {"y"}, "c": {"y"}}))
		stop = starts(t, second)
		if stats := settled(t, q, second); stats.DeadLetters != 3 {
			t.Errorf("want 3 dead letters: %+v", stats)
		}
		none(t, got)
		all := awaitDeadLetters(t, q.DeadLetters(second), 3)
		for i, l := range all {
			if l.Group != "" || l.Key != "z" || l.Reason != mono.ReasonUnclaimed || l.Code != mono.FailedPrecondition || !strings.Contains(l.Error, `"z"`) {
				t.Errorf("dead letter %d is %+v", i, l)
			}
		}
		if err := q.DeadLetters(second).Replay(t.Context(), all[0]); mono.CodeOf(err) != mono.FailedPrecondition {
			t.Errorf("replay of an unclaimed job: %v", err)
		}
		stop()
		third := b.release(t, 3, workers(q, got, map[string][]string{"a": {"x", "z"}, "b": {"z"}, "c": {"y"}}))
		stop = starts(t, third)
		defer stop()
		if n, err := q.DeadLetters(third).ReplayAll(t.Context(), mono.DeadLetterFilter{Reason: mono.ReasonUnclaimed}); n != 3 || err != nil {
			t.Errorf("replayed %d, %v", n, err)
		}
		handles(t, got, typed{"a", 1, "z"}, typed{"b", 1, "z"}, typed{"a", 2, "z"}, typed{"b", 2, "z"}, typed{"a", 3, "z"}, typed{"b", 3, "z"})
		settled(t, q, third)
		none(t, got)
	})
}

// The dead letter of a group is replayed to that group only, also if it has given up the key.
func TestReplayOfAKeyGivenUp(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("keys.replayed", mono.Groups("a", "b"), mono.MaxAttempts(1)).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan typed, 10)
		first := b.release(t, 1, func(s *mono.Scope) {
			q.Handle(s, func(context.Context, job) error { return errors.New("fails") }, mono.Group("a"), mono.Keys("x"))
			workers(q, got, map[string][]string{"b": {"y"}})(s)
		})
		stop := starts(t, first)
		if err := q.Enqueue(t.Context(), first, job{1, "x"}); err != nil {
			t.Fatal(err)
		}
		awaitDeadLetters(t, q.DeadLetters(first), 1)
		settled(t, q, first) // b has passed over it
		stop()
		second := b.release(t, 2, workers(q, got, map[string][]string{"a": {"y"}, "b": {"x"}}))
		defer starts(t, second)()
		if n, err := q.DeadLetters(second).ReplayAll(t.Context(), mono.DeadLetterFilter{Key: "x"}); n != 1 || err != nil {
			t.Errorf("replayed %d, %v", n, err)
		}
		handles(t, got, typed{"a", 1, "x"})
		settled(t, q, second)
		none(t, got)
	})
}

// Releases of a queue with and without a key run beside each other, and after a roll-back. Every
// job is handled by each group that takes it.
func TestReleasesOfAQueueWithAndWithoutAKey(t *testing.T) {
	t.Parallel()
	plain := mono.NewQueue[job]("keys.releases", mono.Groups("a", "b"))
	keyed := plain.KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan typed, 100)
		all, some := map[string][]string{"a": nil, "b": nil}, map[string][]string{"a": {"x"}, "b": {"y"}}
		n := 0
		send := func(app *mono.App, q mono.Queue[job]) {
			t.Helper()
			for _, key := range []string{"x", "y"} {
				if err := q.Enqueue(t.Context(), app, job{n, key}); err != nil {
					t.Fatal(err)
				}
				n++
			}
		}
		first := b.release(t, 1, workers(plain, got, all))
		stopFirst := starts(t, first)
		send(first, plain)
		handles(t, got, typed{"a", 0, "x"}, typed{"b", 0, "x"}, typed{"a", 1, "y"}, typed{"b", 1, "y"})
		sender := b.release(t, 1, func(s *mono.Scope) { s.Use(plain) })
		defer starts(t, sender)()
		second := b.release(t, 2, workers(keyed, got, some))
		stopSecond := starts(t, second)
		send(second, keyed)
		send(sender, plain)
		stopFirst()
		send(sender, plain)
		send(second, keyed)
		seen := make(map[int]bool)
		done := func(jobs ...int) {
			t.Helper()
			for slices.ContainsFunc(jobs, func(n int) bool { return !seen[n] }) {
				j := next(t, got) // a worker of the first release takes both keys
				seen[j.n] = seen[j.n] || j.group == "a" == (j.key == "x")
			}
		}
		done(2, 3, 4, 5, 6, 7, 8, 9)
		settled(t, plain, sender)
		stopSecond()
		first = b.release(t, 1, workers(plain, got, all))
		stopFirst = starts(t, first)
		send(sender, plain)
		send(first, plain)
		done(10, 11, 12, 13)
		if stats := settled(t, plain, sender); stats.DeadLetters != 0 {
			t.Errorf("there are dead letters: %+v", stats)
		}
		stopFirst()
	})
}

// The keys of groups change: those of the newest release count for jobs that wait, too. A worker
// of an older release may get them.
func TestChangeTheKeysOfAGroup(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("keys.changed", mono.Groups("a", "b")).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan typed, 10)
		sender := b.release(t, 1, func(s *mono.Scope) { s.Use(q) })
		defer starts(t, sender)()
		for n, key := range []string{"x", "y"} {
			if err := q.Enqueue(t.Context(), sender, job{n, key}); err != nil {
				t.Fatal(err)
			}
		}
		second := b.release(t, 2, workers(q, got, map[string][]string{"a": {"x", "y"}, "b": {"x"}}))
		stop := starts(t, second)
		handles(t, got, typed{"a", 0, "x"}, typed{"a", 1, "y"}, typed{"b", 0, "x"})
		stop()
		first := b.release(t, 1, workers(q, got, map[string][]string{"a": {"x"}, "b": {"x"}}))
		defer starts(t, first)()
		for n, key := range []string{"x", "y"} {
			if err := q.Enqueue(t.Context(), sender, job{n, key}); err != nil {
				t.Fatal(err)
			}
		}
		handles(t, got, typed{"a", 0, "x"}, typed{"a", 1, "y"}, typed{"b", 0, "x"})
		if stats := settled(t, q, sender); stats.DeadLetters != 0 {
			t.Errorf("there are dead letters: %+v", stats)
		}
	})
}

// A NonPersistent queue sends each job to the groups that take its key, and refuses one that none
// takes.
func TestKeysOfANonPersistentQueue(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("keys.direct", mono.Groups("a", "b"), mono.NonPersistent()).KeyedBy(job.key)
	onPaths(t, func(t *testing.T, p path) {
		got := make(chan typed, 10)
		app := p.start(t, module("m", workers(q, got, map[string][]string{"a": {"x", "z"}, "b": {"y", "z"}})))
		for n, key := range []string{"x", "y", "z"} {
			if err := q.Enqueue(t.Context(), app, job{n, key}); err != nil {
				t.Fatal(err)
			}
		}
		handles(t, got, typed{"a", 0, "x"}, typed{"b", 1, "y"}, typed{"a", 2, "z"}, typed{"b", 2, "z"})
		if err := q.Enqueue(t.Context(), app, job{3, "w"}); mono.CodeOf(err) != mono.FailedPrecondition || mono.OutcomeOf(err) != mono.OutcomeNotDone {
			t.Errorf("a key that no group takes: %v", err)
		}
		none(t, got)
	})
}

// Workers of one group need the same Keys, and Keys need a key.
func TestWrongKeysOfAQueue(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("keys.wrong")
	take := func(context.Context, job) error { return nil }
	app := mono.New(inprocBackend(t)(), quiet(t))
	app.Add(module("one", func(s *mono.Scope) { q.KeyedBy(job.key).Handle(s, take, mono.Keys("a")) }))
	app.Add(module("other", func(s *mono.Scope) { q.KeyedBy(job.key).Handle(s, take, mono.Keys("b")) }))
	startRefused(t, app, `is handled in the group "workers" with mono.Keys("b")`, `mono.Keys("a") by module one`, "mono.Groups")
	app = mono.New(inprocBackend(t)(), quiet(t)).Add(module("one", func(s *mono.Scope) { q.Handle(s, take, mono.Keys("a")) }))
	startRefused(t, app, "has no key: declare it with KeyedBy")
}
