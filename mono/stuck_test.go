package mono_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// stuckKinds declares a stored handle of each kind. Handlers get one message at a time, also
// in batches.
func stuckKinds(name string, after time.Duration) map[string]everyHandle {
	again, late := mono.Backoff(mono.Constant(0)), mono.StuckAfter(after)
	queue, stream := mono.NewQueue[int](name+".queue", again, late), mono.NewStream[int](name+".stream", again, late)
	batch, event := mono.NewStream[int](name+".batch", again, late), mono.NewEvent[int](name+".event", again, late, mono.Durable())
	return map[string]everyHandle{
		"queue":  {queue.Enqueue, func(s *mono.Scope, fn mono.Sink[int]) { queue.Handle(s, fn) }},
		"stream": {stream.Append, func(s *mono.Scope, fn mono.Sink[int]) { stream.Handle(s, fn) }},
		"event":  {event.Publish, func(s *mono.Scope, fn mono.Sink[int]) { event.Handle(s, fn) }},
		"batch": {batch.Append, func(s *mono.Scope, fn mono.Sink[int]) {
			batch.HandleBatch(s, func(ctx context.Context, all []mono.Message[int]) error { return fn(ctx, all[0].Value) }, mono.BatchSize(1))
		}},
	}
}

type everyHandle struct {
	send   func(context.Context, mono.Binder, int) error
	handle func(*mono.Scope, mono.Sink[int])
}

// watchStuck returns a channel with the observations of stuck handlers.
func watchStuck(app *mono.App) <-chan mono.HandlerStuck {
	reports := make(chan mono.HandlerStuck, 100)
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if o, ok := o.(mono.HandlerStuck); ok {
			reports <- o
		}
	}))
	return reports
}

// sleep waits in virtual time, then until all goroutines are blocked.
func sleep(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A handler of a stored message that runs longer than StuckAfter is reported once per
// attempt. Its module is unhealthy until it returns.
func TestStuckHandlerIsReported(t *testing.T) {
	t.Parallel()
	for kind, h := range stuckKinds("stuck", mono.DefaultStuckAfter) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				app := newApp(t)
				reports := watchStuck(app)
				release, ids := make(chan error), make(chan string, 10)
				app.Add(module("worker", func(s *mono.Scope) {
					h.handle(s, func(ctx context.Context, n int) error {
						ids <- mono.CallFrom(ctx).ID()
						return <-release
					})
				}))
				begin(t, app)
				if err := h.send(t.Context(), app, 1); err != nil {
					t.Fatal(err)
				}
				id := <-ids
				for attempt := 1; attempt <= 2; attempt++ {
					began := time.Now()
					sleep(mono.DefaultStuckAfter - 1)
					none(t, reports)
					if health := app.Health(t.Context()).Modules["worker"]; !health.Healthy {
						t.Errorf("attempt %d: too early: %+v", attempt, health)
					}
					sleep(1)
					o := <-reports
					if o.Module != "worker" || o.Handle.Name() != "stuck."+kind || o.ID != id || o.Attempt != attempt || !o.Since.Equal(began) || o.Group == "" {
						t.Errorf("attempt %d of %s, since %v: got %+v", attempt, id, began, o)
					}
					sleep(time.Hour)
					none(t, reports)
					health := app.Health(t.Context())
					for _, want := range []string{o.Handle.Name(), id, "has run for 1h5m0s", fmt.Sprintf("attempt %d", attempt), "StuckAfter (5m0s)"} {
						if !strings.Contains(health.Modules["worker"].Message, want) {
							t.Errorf("health does not contain %q: %+v", want, health.Modules["worker"])
						}
					}
					if health.Healthy || health.Modules["worker"].Healthy {
						t.Errorf("healthy: %+v", health)
					}
					release <- errors.New("once more")
					if attempt == 1 {
						<-ids
					}
				}
				<-ids
				release <- nil
				synctest.Wait()
				if health := app.Health(t.Context()); !health.Healthy {
					t.Errorf("after its return: %+v", health)
				}
				none(t, reports)
			})
		})
	}
}

// Only stuck handlers are reported. Handlers that return in time are not, regardless of how
// long their messages wait.
func TestStuckHandlerAmongOthers(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[time.Duration]("stuck.others", mono.Concurrency(5), mono.StuckAfter(time.Hour))
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		reports := watchStuck(app)
		app.Add(module("worker", func(s *mono.Scope) {
			q.Handle(s, func(_ context.Context, d time.Duration) error {
				<-time.After(d)
				return nil
			}, mono.StuckAfter(time.Minute))
		}))
		begin(t, app)
		send := func(d time.Duration) {
			t.Helper()
			if err := q.Enqueue(t.Context(), app, d); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 1000 {
			send(time.Duration(i%59) * time.Second)
		}
		sleep(2 * time.Hour)
		none(t, reports)
		began := time.Now()
		send(90 * time.Second)
		for range 300 {
			send(time.Second)
			sleep(200 * time.Millisecond)
		}
		if o := <-reports; !o.Since.Equal(began) || time.Since(began) != time.Minute {
			t.Errorf("after %v: got %+v", time.Since(began), o)
		}
		sleep(time.Hour)
		none(t, reports)
	})
}

// Health reports a failed check and stuck handlers of a module together.
func TestStuckHandlerAndFailedHealthCheck(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[int]("stuck.check", mono.Concurrency(3))
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		release := make(chan struct{})
		app.Add(&lifecycle{
			name: "worker",
			bind: func(s *mono.Scope) error {
				q.Handle(s, func(context.Context, int) error {
					<-release
					return nil
				})
				return nil
			},
			health: func(ctx context.Context) error {
				mono.ReportDetail(ctx, "answer", 42)
				return errors.New("its own error")
			},
		})
		begin(t, app)
		for n := range 3 {
			if err := q.Enqueue(t.Context(), app, n); err != nil {
				t.Fatal(err)
			}
			sleep(time.Minute)
		}
		sleep(mono.DefaultStuckAfter)
		health := app.Health(t.Context()).Modules["worker"]
		for _, want := range []string{"its own error", "3 of its handlers", "has run for 8m0s"} {
			if !strings.Contains(health.Message, want) {
				t.Errorf("health does not contain %q: %+v", want, health)
			}
		}
		if health.Details["answer"] != 42 {
			t.Errorf("details are lost: %+v", health)
		}
		close(release)
	})
}

// Stuck handlers are also reported in real time, on each backend.
func TestStuckHandlerOnBackends(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		for kind, h := range stuckKinds("stuck-real", 100*time.Millisecond) {
			app := b.app(t)
			reports := watchStuck(app)
			release := make(chan struct{})
			app.Add(module("worker", func(s *mono.Scope) {
				h.handle(s, func(context.Context, int) error {
					<-release
					return nil
				})
			}))
			begin(t, app)
			if err := h.send(t.Context(), app, 1); err != nil {
				t.Fatal(err)
			}
			o := next(t, reports)
			if health := app.Health(t.Context()).Modules["worker"]; health.Healthy || !strings.Contains(health.Message, o.ID) || o.Handle.Name() != "stuck-real."+kind {
				t.Errorf("%s: got %+v, and health %+v", kind, o, health)
			}
			close(release)
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for !app.Health(t.Context()).Healthy {
				<-tick.C
			}
		}
	})
}

// While no handler runs, receivers have no timers: all goroutines of a synctest bubble block.
func TestIdleReceiversHaveNoTimers(t *testing.T) {
	t.Parallel()
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		handles := stuckKinds("stuck-idle", mono.DefaultStuckAfter)
		synctest.Test(t, func(t *testing.T) {
			app := mono.New(inproc.New(inproc.Options{}), mono.Logger(discard))
			app.Add(module("worker", func(s *mono.Scope) {
				for _, h := range handles {
					h.handle(s, func(context.Context, int) error { return nil })
				}
			}))
			if err := app.Start(t.Context()); err != nil {
				t.Error(err)
			}
			for _, h := range handles {
				if err := h.send(t.Context(), app, 1); err != nil {
					t.Error(err)
				}
			}
			<-make(chan int)
		})
	}()
	select {
	case v := <-ended:
		if !strings.Contains(fmt.Sprint(v), "all goroutines in bubble are blocked") {
			t.Errorf("got %v", v)
		}
	case <-time.After(time.Minute):
		t.Error("virtual time does not stop")
	}
}

// A handler that has returned is not stuck, regardless of how long its message takes to settle.
func TestSlowSettlementIsNotReported(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[int]("stuck.settled", mono.StuckAfter(time.Second))
	synctest.Test(t, func(t *testing.T) {
		app := mono.New(slowDeadLetters{inproc.New(inproc.Options{})}, quiet(t))
		reports := watchStuck(app)
		app.Add(module("worker", func(s *mono.Scope) {
			q.Handle(s, func(context.Context, int) error { return mono.Permanent(nil) })
		}))
		begin(t, app)
		if err := q.Enqueue(t.Context(), app, 1); err != nil {
			t.Fatal(err)
		}
		sleep(4 * time.Second)
		if health := app.Health(t.Context()); !health.Healthy {
			t.Errorf("got %+v", health)
		}
		sleep(time.Minute)
		none(t, reports)
		if all := listDeadLetters(t, q.DeadLetters(app), mono.DeadLetterFilter{}); len(all) != 1 {
			t.Errorf("%d dead letters", len(all))
		}
	})
}

// slowDeadLetters is a transport that takes 5 seconds to open a log of dead letters.
type slowDeadLetters struct{ transport.Transport }

func (s slowDeadLetters) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	if strings.HasSuffix(c.Name, "__dead") {
		<-time.After(5 * time.Second)
	}
	return s.Transport.Log(ctx, c)
}

// StuckAfter fits only stored handles and is at least 100 ms.
func TestStuckAfterNeedsStorage(t *testing.T) {
	t.Parallel()
	if got := panicOf(func() { mono.NewQueue[int]("stuck.non-persistent", mono.NonPersistent(), mono.StuckAfter(time.Second)) }); !strings.Contains(got, "NonPersistent excludes") {
		t.Errorf("a non-persistent queue: %q", got)
	}
	if got := panicOf(func() { mono.NewQueue[int]("stuck.soon", mono.StuckAfter(time.Millisecond)) }); !strings.Contains(got, "StuckAfter(1ms): want at least 100ms") {
		t.Errorf("too short: %q", got)
	}
	e := mono.NewEvent[int]("stuck.announced")
	app := newApp(t)
	app.Add(module("subscriber", func(s *mono.Scope) {
		e.Handle(s, func(context.Context, int) error { return nil }, mono.StuckAfter(time.Second))
	}))
	if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "want Durable with StuckAfter") {
		t.Errorf("an event that is not durable: %v", err)
	}
}
