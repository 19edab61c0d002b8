package mono_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// A job waits for a worker that starts later, also after all Apps have restarted.
func TestQueueKeepsJobsForLaterWorkers(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.later")
	onBackends(t, func(t *testing.T, b backend) {
		b.within(t, func(app *mono.App) {
			for n := range 10 {
				if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
					t.Fatal(err)
				}
			}
		})
		got := make(chan handled, 10)
		b.start(t, worker("late", q, got, succeed))
		for n := range 10 {
			if h := next(t, got); h.N != n || h.attempt != 1 {
				t.Errorf("got %+v, want job %d at attempt 1", h, n)
			}
		}
	})
}

// Queue names never collide with the names that a backend uses for the delayed jobs and
// dead letters of another queue.
func TestQueuesWithSimilarNamesAreSeparate(t *testing.T) {
	t.Parallel()
	var all []mono.Queue[job]
	for _, name := range []string{"queue.alike", "queue.alike.delayed", "queue.alike.later", "queue.alike.dead"} {
		all = append(all, mono.NewQueue[job](name, mono.MaxPending(10)))
	}
	onBackends(t, func(t *testing.T, b backend) {
		got := make([]chan handled, len(all))
		var modules []mono.Module
		for i, q := range all {
			got[i] = make(chan handled, 10)
			modules = append(modules, worker(fmt.Sprint("worker-", i), q, got[i], func(h handled) error {
				if h.N < 0 {
					return mono.Permanent(errors.New("no"))
				}
				return nil
			}))
		}
		app := b.start(t, modules...)
		for i, q := range all {
			for n, send := range map[int]mono.Queue[job]{i: q, 10 + i: q.With(mono.Delay(10 * time.Millisecond)), -1: q} {
				if err := send.Enqueue(t.Context(), app, job{N: n}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, q := range all {
			seen := make(map[int]bool)
			for range 3 {
				seen[next(t, got[i]).N] = true
			}
			if !seen[i] || !seen[10+i] || !seen[-1] {
				t.Errorf("%s got %v", q.Name(), seen)
			}
			awaitDeadLetters(t, q.DeadLetters(app), 1)
		}
	})
}

// Each group receives every job, and the workers of a group share them.
func TestQueueGroups(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.groups", mono.Groups("mail", "audit"))
	onBackends(t, func(t *testing.T, b backend) {
		mail, audit := make(chan handled, 100), make(chan handled, 100)
		app := b.start(t, worker("mail", q, mail, succeed), worker("mail-too", q, mail, succeed, mono.Group("mail")), worker("audit", q, audit, succeed))
		for n := range 20 {
			if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []chan handled{mail, audit} {
			seen := make(map[int]bool)
			for range 20 {
				seen[next(t, c).N] = true
			}
			if len(seen) != 20 {
				t.Errorf("a group got %d different jobs, want 20", len(seen))
			}
			none(t, c)
		}
	})
}

// The error of a worker decides between success, retry and dead letter.
func TestQueueOutcomes(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.outcomes", mono.MaxAttempts(3), mono.Backoff(mono.Constant(10*time.Millisecond)))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 100)
		app := b.start(t, worker("worker", q, got, func(h handled) error {
			switch h.N {
			case 1:
				return errors.New("always")
			case 2:
				return mono.Permanent(mono.Errorf(mono.DataLoss, "hopeless"))
			case 3:
				if h.attempt < 3 {
					return mono.RetryAfter(20*time.Millisecond, errors.New("soon"))
				}
			case 4:
				panic("at the handler")
			}
			return nil
		}))
		attempts := make(map[int][]int)
		ids := make(map[int]map[string]bool)
		for n := range 5 {
			if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
			ids[n] = make(map[string]bool)
		}
		for range 1 + 3 + 1 + 3 { // the panic is not sent to the channel
			h := next(t, got)
			attempts[h.N] = append(attempts[h.N], h.attempt)
			ids[h.N][h.id] = true
		}
		for n, want := range map[int]string{0: "[1]", 1: "[1 2 3]", 2: "[1]", 3: "[1 2 3]"} {
			if fmt.Sprint(attempts[n]) != want || len(ids[n]) != 1 {
				t.Errorf("job %d had the attempts %v under %d ids, want %s under one", n, attempts[n], len(ids[n]), want)
			}
		}
		reasons := make(map[int]string)
		for _, l := range awaitDeadLetters(t, q.DeadLetters(app), 3) {
			v, err := l.Value()
			if err != nil {
				t.Fatal(err)
			}
			reasons[v.N] = fmt.Sprint(l.Reason, " ", l.Attempts, " ", l.Code)
			if l.Group != mono.DefaultGroup || l.ID == "" || l.Stored.IsZero() || l.DeadLettered.Before(l.Stored) || l.Sequence != uint64(v.N+1) {
				t.Errorf("the dead letter is %+v", l)
			}
		}
		if want := map[int]string{1: "attempts 3 unknown", 2: "permanent 1 data_loss", 4: "attempts 3 internal"}; fmt.Sprint(reasons) != fmt.Sprint(want) {
			t.Errorf("the dead letters are %v, want %v", reasons, want)
		}
	})
}

// A delayed job is not handled before its time. A time in the past means now.
func TestQueueDelay(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.delay")
	onBackends(t, func(t *testing.T, b backend) {
		type arrival struct {
			n  int
			at time.Time
		}
		got := make(chan arrival, 10)
		app := b.start(t, module("worker", func(s *mono.Scope) {
			q.Handle(s, func(ctx context.Context, j job) error {
				got <- arrival{j.N, time.Now()}
				return nil
			})
		}))
		past := []mono.Queue[job]{q.With(mono.Delay(-time.Hour)), q.With(mono.At(time.Now().Add(-time.Hour))), q.With(mono.At(time.Time{}))}
		for n, q := range past {
			if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range past {
			if a := next(t, got); a.n != n {
				t.Errorf("got %d at once, want %d", a.n, n)
			}
		}
		due := time.Now().Add(1100 * time.Millisecond)
		if err := q.With(mono.At(due)).Enqueue(t.Context(), app, job{N: 7}); err != nil {
			t.Fatal(err)
		}
		if a := next(t, got); a.n != 7 || a.at.Before(due) {
			t.Errorf("got %d, handled %v early", a.n, due.Sub(a.at))
		}
	})
}

// In memory, a delay and the wait between attempts are exact.
func TestQueueDelayIsExactInMemory(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.exact", mono.Backoff(mono.Waits(5*time.Minute, time.Millisecond)), mono.MaxAttempts(4))
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got := make(chan string, 10)
		app := newApp(t)
		app.Add(module("worker", func(s *mono.Scope) {
			q.Handle(s, func(ctx context.Context, j job) error {
				got <- fmt.Sprint(j.N, " ", time.Since(began))
				if j.N == 1 && mono.CallFrom(ctx).Attempt() == 3 {
					return mono.RetryAfter(7*time.Second, errors.New("soon"))
				}
				if j.N == 1 && mono.CallFrom(ctx).Attempt() < 3 {
					return errors.New("again")
				}
				return nil
			}, mono.Concurrency(4))
		}))
		begin(t, app)
		for n, delay := range []time.Duration{time.Millisecond, time.Second, 1501 * time.Millisecond, 90 * time.Minute} {
			if err := q.With(mono.Delay(delay)).Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"0 1ms", "1 1s", "2 1.501s", "1 5m1s", "1 5m1.001s", "1 5m8.001s", "3 1h30m0s"} {
			if a := <-got; a != want {
				t.Errorf("got %s, want %s", a, want)
			}
		}
	})
}

// A time or delay that reaches the year 2262 or later is an invalid argument.
func TestQueueRejectsTimeTooFarAhead(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.far")
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t)
		for _, q := range []mono.Queue[job]{q.With(mono.At(time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC))), q.With(mono.Delay(math.MaxInt64))} {
			if err := q.Enqueue(t.Context(), app, job{}); mono.CodeOf(err) != mono.InvalidArgument || !strings.Contains(err.Error(), "want a time before 2262") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// A queue stores one job per id within the DedupWindow, delayed or not.
func TestQueueDedupID(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.dedup")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, succeed))
		for n := range 3 {
			if err := q.With(mono.DedupID("one")).Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 3 {
			if err := q.With(mono.DedupID("two"), mono.Delay(300*time.Millisecond)).Enqueue(t.Context(), app, job{N: 10 + n}); err != nil {
				t.Fatal(err)
			}
		}
		if h := next(t, got); h.N != 0 || h.id != "one" {
			t.Errorf("got %+v", h)
		}
		if h := next(t, got); h.N != 10 || h.id != "two" {
			t.Errorf("got %+v", h)
		}
		if err := q.Enqueue(t.Context(), app, job{N: 99}); err != nil {
			t.Fatal(err)
		}
		if h := next(t, got); h.N != 99 {
			t.Errorf("got %+v, want the last job", h)
		}
	})
}

// A send to a full queue fails with resource_exhausted until there is room.
func TestQueueMaxPending(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.full", mono.MaxPending(3))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		b.within(t, func(app *mono.App) {
			for n := range 3 {
				if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
					t.Fatal(err)
				}
			}
			err := q.Enqueue(t.Context(), app, job{N: 3})
			if mono.CodeOf(err) != mono.ResourceExhausted || mono.OutcomeOf(err) != mono.OutcomeNotDone ||
				!strings.Contains(err.Error(), "queue.full") || !strings.Contains(err.Error(), "wait until there is room, or raise the bound") {
				t.Errorf("got %v", err)
			}
		})
		app := b.start(t, worker("worker", q, got, succeed))
		for n := range 3 {
			if h := next(t, got); h.N != n {
				t.Errorf("got %+v, want %d", h, n)
			}
		}
		for mono.CodeOf(q.Enqueue(t.Context(), app, job{N: 4})) == mono.ResourceExhausted { // until the last acknowledgement has arrived
		}
		if h := next(t, got); h.N != 4 {
			t.Errorf("got %+v", h)
		}
	})
}

// A delayed send to a queue with MaxDelayed delayed jobs fails with resource_exhausted.
// Jobs without a delay are still accepted.
func TestQueueMaxDelayed(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.later-full", mono.MaxDelayed(2))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, succeed))
		later := q.With(mono.Delay(time.Hour))
		for n := range 2 {
			if err := later.Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		err := later.Enqueue(t.Context(), app, job{N: 2})
		if mono.CodeOf(err) != mono.ResourceExhausted || mono.OutcomeOf(err) != mono.OutcomeNotDone ||
			!strings.Contains(err.Error(), "queue.later-full") || !strings.Contains(err.Error(), "MaxDelayed") || !strings.Contains(err.Error(), "or raise") {
			t.Errorf("got %v", err)
		}
		if err := q.Enqueue(t.Context(), app, job{N: 3}); err != nil {
			t.Errorf("a job for now: %v", err)
		}
		if h := next(t, got); h.N != 3 {
			t.Errorf("got %+v", h)
		}
	})
}

// Jobs that wait for their next attempt do not delay other jobs.
func TestQueueBackoffDelaysNoOtherJob(t *testing.T) {
	t.Parallel()
	const failing = 2000
	q := mono.NewQueue[job]("queue.backoff", mono.Backoff(mono.Constant(time.Hour)))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, failing)
		app := b.start(t, worker("worker", q, got, func(h handled) error {
			if h.N < failing {
				return errors.New("later")
			}
			return nil
		}))
		for n := range failing {
			if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for range failing {
			next(t, got)
		}
		if err := q.Enqueue(t.Context(), app, job{N: failing}); err != nil {
			t.Fatal(err)
		}
		if h := next(t, got); h.N != failing { // without the wait of an hour
			t.Errorf("got %+v, want the fresh job", h)
		}
	})
}

// Stop lets running handlers finish. The other jobs wait for the next App.
func TestQueueStopLosesNothing(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.stop")
	onBackends(t, func(t *testing.T, b backend) {
		begun, finish := make(chan handled, 10), make(chan struct{})
		app := b.app(t, module("worker", func(s *mono.Scope) {
			q.Handle(s, func(ctx context.Context, j job) error {
				begun <- handled{job: j}
				<-finish
				return nil
			})
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n := range 5 {
			if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[int]bool{next(t, begun).N: true}
		stopped := make(chan error)
		go func() { stopped <- app.Stop(context.Background()) }()
		close(finish)
		if err := next(t, stopped); err != nil {
			t.Fatal(err)
		}
		for range len(begun) {
			seen[(<-begun).N] = true
		}
		got := make(chan handled, 10)
		b.start(t, worker("worker", q, got, succeed))
		for len(seen) < 5 {
			h := next(t, got)
			if seen[h.N] {
				t.Errorf("job %d was handled twice", h.N)
			}
			seen[h.N] = true
		}
	})
}

// A plain message on the subject of a queue is a job, with one id for all its attempts.
func TestQueueAcceptsPlainMessages(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("queue.plain", mono.Backoff(mono.Constant(time.Millisecond)))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, func(h handled) error {
			if h.attempt == 1 {
				return errors.New("once")
			}
			return nil
		}))
		ids := make(map[string]bool)
		for n := range 2 {
			if err := mono.Raw(app).Publish(t.Context(), &transport.Message{Subject: "queues.queue.plain", Body: fmt.Appendf(nil, `{"n":%d}`, n)}); err != nil {
				t.Fatal(err)
			}
			first, second := next(t, got), next(t, got)
			if first.N != n || first.attempt != 1 || second.N != n || second.attempt != 2 || first.id != second.id {
				t.Errorf("got %+v and %+v", first, second)
			}
			ids[first.id] = true
		}
		if len(ids) != 2 || ids[""] {
			t.Errorf("the ids are %v, want two", ids)
		}
	})
}

// Start reports workers whose group does not exist or is handled twice.
func TestQueueStartErrors(t *testing.T) {
	t.Parallel()
	grouped := mono.NewQueue[job]("queue.grouped", mono.Groups("a", "b"))
	single := mono.NewQueue[job]("queue.single")
	for want, modules := range map[string][]mono.Module{
		`declares the groups ["a" "b"]`:       {worker("c", grouped, nil, succeed)},
		`declares the groups ["workers"]`:     {worker("c", single, nil, succeed, mono.Group("c"))},
		`is handled twice with the group "a"`: {module("a", func(s *mono.Scope) { grouped.Handle(s, nothing); grouped.Handle(s, nothing) })},
	} {
		app := backend{connect: inprocBackend(t)}.app(t, modules...)
		if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		_ = app.Stop(context.Background())
	}
}

func nothing(context.Context, job) error { return nil }
