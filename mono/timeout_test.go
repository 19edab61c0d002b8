package mono_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// limitedKind is a stored handle of one kind, whose handlers have a Timeout.
type limitedKind struct {
	everyHandle
	deadLetters func(mono.Binder) mono.DeadLetters[int]
}

// limitedKinds declares a stored handle of each kind. The queue and the stream have their
// Timeout from the declaration, the event and the batch from the handler.
func limitedKinds(name string, limit time.Duration) map[string]limitedKind {
	again, attempts, timeout := mono.Backoff(mono.Constant(0)), mono.MaxAttempts(2), mono.Timeout(limit)
	queue, stream := mono.NewQueue[int](name+".queue", again, attempts, timeout), mono.NewStream[int](name+".stream", again, attempts, timeout)
	batch, event := mono.NewStream[int](name+".batch", again, attempts, mono.Timeout(time.Hour)), mono.NewEvent[int](name+".event", again, attempts, mono.Durable())
	return map[string]limitedKind{
		"queue":  {everyHandle{queue.Enqueue, func(s *mono.Scope, fn mono.Sink[int]) { queue.Handle(s, fn) }}, queue.DeadLetters},
		"stream": {everyHandle{stream.Append, func(s *mono.Scope, fn mono.Sink[int]) { stream.Handle(s, fn) }}, stream.DeadLetters},
		"event":  {everyHandle{event.Publish, func(s *mono.Scope, fn mono.Sink[int]) { event.Handle(s, fn, timeout) }}, event.DeadLetters},
		"batch": {everyHandle{batch.Append, func(s *mono.Scope, fn mono.Sink[int]) {
			batch.HandleBatch(s, func(ctx context.Context, all []mono.Message[int]) error { return fn(ctx, all[0].Value) }, mono.BatchSize(1), timeout)
		}}, batch.DeadLetters},
	}
}

// An attempt that exceeds its Timeout has failed, whatever its handler returns. Permanent
// and RetryAfter keep their effect.
func TestTimeoutOfAnAttempt(t *testing.T) {
	t.Parallel()
	ends := []struct {
		err      func(context.Context) error
		attempts int
		reason   mono.Reason
		text     string
	}{
		{context.Context.Err, 2, mono.ReasonAttempts, "exceeded its Timeout of 50ms: context deadline exceeded"},
		{func(context.Context) error { return nil }, 2, mono.ReasonAttempts, "exceeded its Timeout of 50ms"},
		{func(context.Context) error { return mono.Errorf(mono.NotFound, "no account") }, 2, mono.ReasonAttempts, "not_found: no account"},
		{func(context.Context) error { return mono.RetryAfter(time.Millisecond, nil) }, 2, mono.ReasonAttempts, "another attempt"},
		{func(context.Context) error { return mono.HandBack(errors.New("half done")) }, 2, mono.ReasonAttempts, "half done"},
		{func(context.Context) error { return mono.Permanent(errors.New("never")) }, 1, mono.ReasonPermanent, "never"},
		{func(context.Context) error { panic("late") }, 2, mono.ReasonAttempts, "exceeded its Timeout of 50ms"},
	}
	onBackends(t, func(t *testing.T, b backend) {
		for kind, h := range limitedKinds("timeout", 50*time.Millisecond) {
			app := b.start(t, module("worker", func(s *mono.Scope) {
				h.handle(s, func(ctx context.Context, n int) error {
					if n == len(ends) {
						return nil
					}
					<-ctx.Done()
					return ends[n].err(ctx)
				})
			}))
			for n := range len(ends) + 1 {
				if err := h.send(t.Context(), app, n); err != nil {
					t.Fatal(err)
				}
			}
			all := awaitDeadLetters(t, h.deadLetters(app), len(ends))
			if len(all) != len(ends) {
				t.Errorf("%s: %d dead letters, want %d", kind, len(all), len(ends))
			}
			for _, l := range all {
				n, err := l.Value()
				if err != nil {
					t.Fatal(err)
				}
				want := ends[n]
				if l.Code != mono.DeadlineExceeded || l.Attempts != want.attempts || l.Reason != want.reason || !strings.Contains(l.Error, want.text) || !strings.Contains(l.Error, "timeout."+kind) {
					t.Errorf("%s %d: got %+v, want %+v", kind, n, l, want)
				}
			}
		}
	})
}

// The context of an attempt ends exactly at the limit. A handler that ignores it keeps its
// message until it returns, beyond AckWait. Then the attempt has failed.
func TestTimeoutOfAHandlerThatIgnoresIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := backend{"inproc", inprocBackend(t)}
		q := mono.NewQueue[int]("timeout.ignored", mono.Timeout(time.Minute), mono.AckWait(time.Second), mono.Backoff(mono.Constant(3*time.Second)))
		var retried []mono.MessageRetried
		begins := make(chan time.Time, 10)
		work := module("worker", func(s *mono.Scope) {
			q.Handle(s, func(ctx context.Context, _ int) error {
				began := time.Now()
				begins <- began
				if deadline, ok := ctx.Deadline(); !ok || !deadline.Equal(began.Add(time.Minute)) {
					t.Errorf("the deadline is %v, want 1m0s after %v", deadline, began)
				}
				if mono.CallFrom(ctx).Attempt() == 3 {
					return nil
				}
				<-ctx.Done()
				if took := time.Since(began); took != time.Minute || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					t.Errorf("the context ended with %v after %v", ctx.Err(), took)
				}
				<-time.After(9 * time.Minute)
				return nil
			})
		})
		app, other := b.app(t, work), b.app(t, work)
		for _, a := range []*mono.App{app, other} {
			a.Observe(mono.ObserverFunc(func(o mono.Observation) {
				if o, ok := o.(mono.MessageRetried); ok {
					retried = append(retried, o)
				}
			}))
			begin(t, a)
		}
		if err := q.Enqueue(t.Context(), app, 1); err != nil {
			t.Fatal(err)
		}
		first := <-begins
		for attempt := 2; attempt <= 3; attempt++ {
			if got, want := (<-begins).Sub(first), time.Duration(attempt-1)*(10*time.Minute+3*time.Second); got != want {
				t.Errorf("attempt %d began after %v, want %v", attempt, got, want)
			}
		}
		sleep(time.Hour)
		none(t, begins)
		if len(retried) != 2 || mono.CodeOf(retried[0].Err) != mono.DeadlineExceeded || retried[1].Attempt != 2 {
			t.Errorf("got %+v", retried)
		}
	})
}

// The limit applies to each attempt by itself, not to the wait for a free handler or for
// the next attempt.
func TestTimeoutCountsOnlyTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := mono.NewQueue[int]("timeout.each", mono.Timeout(time.Minute), mono.Backoff(mono.Constant(time.Hour)))
		done := make(chan int, 20)
		app := newApp(t)
		app.Add(module("worker", func(s *mono.Scope) {
			q.Handle(s, func(ctx context.Context, n int) error {
				<-time.After(50 * time.Second)
				if mono.CallFrom(ctx).Attempt() < 3 {
					return errors.New("once more")
				}
				done <- n
				return nil
			})
		}))
		begin(t, app)
		for n := range 10 {
			if err := q.Enqueue(t.Context(), app, n); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			<-done
		}
	})
}

// A batch that exceeds its Timeout has failed for each of its messages, also for those
// that PerMessage names as done.
func TestTimeoutOfABatch(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("timeout.per-message", mono.MaxAttempts(1))
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t, module("batches", func(sc *mono.Scope) {
			s.HandleBatch(sc, func(ctx context.Context, batch []mono.Message[job]) error {
				if len(batch) != 3 {
					t.Errorf("a batch of %d messages", len(batch))
				}
				<-ctx.Done()
				return mono.PerMessage(nil, mono.Permanent(errors.New("never")), errors.New("late"))
			}, mono.BatchSize(3), mono.BatchWait(time.Minute), mono.Timeout(50*time.Millisecond))
		}))
		for n := range 3 {
			if err := s.Append(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		want := map[uint64]mono.Reason{1: mono.ReasonAttempts, 2: mono.ReasonPermanent, 3: mono.ReasonAttempts}
		for _, l := range awaitDeadLetters(t, s.DeadLetters(app), 3) {
			if l.Reason != want[l.Sequence] || l.Code != mono.DeadlineExceeded || l.Attempts != 1 || !strings.Contains(l.Error, "exceeded its Timeout of 50ms") {
				t.Errorf("got %+v", l)
			}
		}
	})
}

// A stop that cuts off an attempt before its limit is no attempt, and neither is one that
// the handler hands back. An attempt that had exceeded its limit before counts.
func TestTimeoutAndStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limit  time.Duration
		result error
		counts bool
	}{
		{"cut off before the limit", time.Hour, errors.New("cut off"), false},
		{"the limit came first", time.Second, errors.New("cut off"), true},
		{"the limit came first, and the handler reports success", time.Second, nil, true},
		{"handed back after the limit", time.Second, mono.HandBack(errors.New("half done")), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := backend{"inproc", inprocBackend(t)}
				q := mono.NewQueue[int]("timeout.stop", mono.MaxAttempts(1), mono.Timeout(c.limit))
				began := make(chan bool, 1)
				app := b.app(t, module("worker", func(s *mono.Scope) {
					s.Use(q)
					q.Handle(s, func(context.Context, int) error {
						began <- true
						<-time.After(25 * time.Second)
						return c.result
					})
				}))
				if err := app.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := q.Enqueue(t.Context(), app, 1); err != nil {
					t.Fatal(err)
				}
				<-began
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second-time.Millisecond) // shorter than StopTimeout
				defer cancel()
				if err := app.Stop(ctx); !errors.Is(err, mono.ErrDeadlineExceeded) {
					t.Errorf("Stop: %v", err)
				}
				attempts := make(chan int, 1)
				later := b.start(t, module("worker", func(s *mono.Scope) {
					q.Handle(s, func(ctx context.Context, _ int) error { attempts <- mono.CallFrom(ctx).Attempt(); return nil })
				}))
				synctest.Wait()
				all := listDeadLetters(t, q.DeadLetters(later), mono.DeadLetterFilter{})
				if !c.counts {
					if len(attempts) != 1 || <-attempts != 1 || len(all) != 0 {
						t.Errorf("got %d attempts, dead letters %+v", len(attempts), all)
					}
					return
				}
				if len(attempts) != 0 || len(all) != 1 || all[0].Reason != mono.ReasonAttempts || all[0].Code != mono.DeadlineExceeded {
					t.Errorf("got %d attempts, dead letters %+v", len(attempts), all)
				}
			})
		})
	}
}

// StuckAfter counts independently of Timeout: it finds a handler that ignores its context.
func TestTimeoutAndStuckAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := mono.NewQueue[int]("timeout.stuck", mono.Timeout(time.Minute), mono.StuckAfter(2*time.Minute))
		app := newApp(t)
		reports := watchStuck(app)
		app.Add(module("worker", func(s *mono.Scope) {
			q.Handle(s, func(ctx context.Context, n int) error {
				<-ctx.Done()
				<-time.After(time.Duration(n) * time.Minute)
				return mono.Permanent(ctx.Err())
			})
		}))
		begin(t, app)
		for n, stuck := range []bool{false, true} {
			if err := q.Enqueue(t.Context(), app, 2*n); err != nil {
				t.Fatal(err)
			}
			sleep(time.Hour)
			if got := len(reports) == 1; got != stuck {
				t.Errorf("a handler that returns %d minutes late: stuck %v, want %v", 2*n, got, stuck)
			}
		}
	})
}

// Timeout needs a call or a stored message, and at least 1 ms.
func TestTimeoutIsValidated(t *testing.T) {
	t.Parallel()
	for want, declare := range map[string]func(){
		"Timeout(0s): want at least 1ms":                                           func() { mono.NewQueue[int]("timeout.none", mono.Timeout(0)) },
		"Timeout(-1s): want at least 1ms":                                          func() { mono.NewStream[int]("timeout.negative", mono.Timeout(-time.Second)) },
		"want Durable with Timeout: an event that is not stored is delivered once": func() { mono.NewEvent[int]("timeout.event", mono.Timeout(time.Second)) },
		"NonPersistent excludes Timeout: its jobs are not stored":                  func() { mono.NewQueue[int]("timeout.queue", mono.NonPersistent(), mono.Timeout(time.Second)) },
	} {
		if got := panicOf(declare); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	e, q := mono.NewEvent[job]("timeout.announced"), mono.NewQueue[job]("timeout.brief", mono.NonPersistent())
	for want, bind := range map[string]func(*mono.Scope){
		"event timeout.announced: is handled at": func(s *mono.Scope) { e.Handle(s, nothing, mono.Timeout(time.Second)) },
		"queue timeout.brief: is handled at":     func(s *mono.Scope) { q.Handle(s, nothing, mono.Timeout(time.Second)) },
		"Timeout(1µs): want at least 1ms":        func(s *mono.Scope) { q.Handle(s, nothing, mono.Timeout(time.Microsecond)) },
	} {
		app := mono.New(inproc.New(inproc.Options{}), quiet(t))
		app.Add(module("worker", bind))
		if err := app.Start(t.Context()); mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
