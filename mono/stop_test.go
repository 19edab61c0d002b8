package mono_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport/natsx/embedded"
)

// Before Stop calls the hook of a module, it waits for running handlers. Their contexts do not
// end, and their callers get the replies.
func TestStopWaitsForHandlers(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tr trace
				entered := make(chan struct{})
				app := p.app(t)
				app.Add(&lifecycle{name: "slow",
					bind: func(s *mono.Scope) error {
						ask.Handle(s, func(ctx context.Context, _ question) (reply, error) {
							close(entered)
							select {
							case <-ctx.Done():
								tr.add("cancelled")
							case <-time.After(1500 * time.Millisecond):
								tr.add("handled")
							}
							return reply{Text: "done"}, nil
						})
						return nil
					},
					stop: func(context.Context) error { tr.add("stopped"); return nil }})
				if err := app.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				called := make(chan error)
				go func() {
					_, err := ask.Call(t.Context(), app, question{})
					tr.add("answered")
					called <- err
				}()
				<-entered
				began := time.Now()
				stopped := make(chan error)
				go func() { stopped <- app.Stop(t.Context()) }()
				if err := <-called; err != nil {
					t.Errorf("the caller got %v", err)
				}
				if err := <-stopped; err != nil {
					t.Error(err)
				}
				got := tr.all()
				if time.Since(began) != 1500*time.Millisecond || slices.Index(got, "handled") != 0 || !slices.Contains(got, "stopped") || !slices.Contains(got, "answered") {
					t.Errorf("took %v: %q", time.Since(began), got)
				}
			})
		})
	}
}

// During DrainDelay the App is stopping and serves as before. The delay is not part of
// StopTimeout, and ends with the context of Stop.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		for _, end := range []time.Duration{time.Minute, 2 * time.Second} {
			t.Run(fmt.Sprint(p.name, " ", end), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					app := p.app(t, mono.DrainDelay(5*time.Second), mono.StopTimeout(time.Second))
					var changed []time.Duration
					began := time.Now()
					app.Observe(mono.ObserverFunc(func(o mono.Observation) {
						if o, ok := o.(mono.StateChanged); ok && o.From == mono.StateRunning {
							changed = append(changed, time.Since(began))
						}
					}))
					var calling atomic.Bool
					app.Add(&lifecycle{name: "provider",
						bind: func(s *mono.Scope) error {
							ask.Handle(s, func(ctx context.Context, q question) (reply, error) {
								select {
								case <-mono.CallFrom(ctx).Stopping():
									t.Error("the handler is told to stop during the delay")
								default:
								}
								return reply{Text: q.Text}, nil
							})
							return nil
						},
						stop: func(context.Context) error {
							if calling.Load() || time.Since(began) != min(end, 5*time.Second) {
								t.Errorf("Stop of the module after %v", time.Since(began))
							}
							return nil
						},
					})
					if err := app.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), end)
					defer cancel()
					stopped := make(chan error)
					go func() { stopped <- app.Stop(ctx) }()
					time.AfterFunc(time.Second, func() {
						calling.Store(true)
						if got, err := ask.Call(context.Background(), app, question{Text: "x"}); err != nil || got.Text != "x" {
							t.Errorf("a call during the delay: %v, %v", got, err)
						}
						calling.Store(false)
						if h := app.Health(context.Background()); h.Healthy || h.Message != "the App is stopping" {
							t.Errorf("%+v", h)
						}
					})
					if err := <-stopped; err != nil && end == time.Minute {
						t.Error(err)
					}
					if len(changed) != 1 || changed[0] != 0 {
						t.Errorf("the state changed after %v", changed)
					}
				})
			})
		}
	}
	defer func() {
		if v := recover(); v != "mono.New: DrainDelay(-1ns): want 0 or more" {
			t.Errorf("got %v", v)
		}
	}()
	newApp(t, mono.DrainDelay(-1))
}

// StopTimeout bounds Stop. The error names the handlers and hooks that exceeded it.
func TestStopTimeoutBoundsStop(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var sawDeadline, lastStopped atomic.Bool
				entered := make(chan struct{})
				app := p.app(t, mono.StopTimeout(time.Second))
				app.Add(
					&lifecycle{name: "first", stop: func(ctx context.Context) error {
						lastStopped.Store(true)
						return nil
					}},
					&lifecycle{name: "stubborn",
						bind: func(s *mono.Scope) error {
							ask.Handle(s, func(context.Context, question) (reply, error) {
								close(entered)
								<-release
								return reply{}, nil
							})
							return nil
						},
						stop: func(ctx context.Context) error {
							_, ok := ctx.Deadline()
							sawDeadline.Store(ok)
							<-release
							return nil
						}})
				if err := app.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				called := make(chan error, 1)
				go func() {
					_, err := ask.Call(context.Background(), app, question{})
					called <- err
				}()
				<-entered
				began := time.Now()
				err := app.Stop(t.Context())
				if took := time.Since(began); took < time.Second || took > 3*time.Second {
					t.Errorf("Stop took %v", took)
				}
				if !errors.Is(err, mono.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "module stubborn") || !strings.Contains(err.Error(), "test.ask") || !strings.Contains(err.Error(), "Stop of module stubborn did not return") {
					t.Errorf("Stop: %v", err)
				}
				if !sawDeadline.Load() || !lastStopped.Load() {
					t.Errorf("deadline seen %v, the others stopped %v", sawDeadline.Load(), lastStopped.Load())
				}
				if p.noLocalCalls {
					// The caller gets an error although the handler never returned.
					if err := <-called; mono.CodeOf(err) != mono.Unavailable || mono.OutcomeOf(err) != mono.OutcomeUnknown {
						t.Errorf("the caller got %v, %v", err, mono.OutcomeOf(err))
					}
				}
				close(release)
				synctest.Wait()
			})
		})
	}
}

// counting is a handler that counts its calls.
func counting(handled *atomic.Int64) handler {
	return func(_ context.Context, q question) (reply, error) {
		handled.Add(1)
		return reply{Text: q.Text}, nil
	}
}

// stopUnderLoad calls through one App from 100 goroutines until the calls are rejected, and
// meanwhile stops another App. Each call gets a reply, or an error with the outcome not done.
func stopUnderLoad(t testing.TB, calling, serving *mono.App, handled *atomic.Int64) {
	t.Helper()
	var replies, refused atomic.Int64
	enough := make(chan struct{})
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			for {
				got, err := ask.Call(context.Background(), calling, question{Text: "x"})
				switch {
				case err == nil && got.Text == "x":
					if replies.Add(1) == 1000 {
						close(enough)
					}
				case mono.CodeOf(err) == mono.Unavailable && mono.OutcomeOf(err) == mono.OutcomeNotDone:
					refused.Add(1)
					return
				default:
					t.Errorf("got %v, %v, outcome %v", got, err, mono.OutcomeOf(err))
					return
				}
			}
		})
	}
	<-enough
	if err := serving.Stop(context.Background()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	wait.Wait()
	if replies.Load() != handled.Load() || refused.Load() != 100 {
		t.Errorf("%d handled, %d replies, %d refused", handled.Load(), replies.Load(), refused.Load())
	}
}

// Stop under load loses no reply of callers on another connection, as of another process.
func TestStopUnderLoadFromAnotherConnection(t *testing.T) {
	t.Parallel()
	server, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	connect := func() *mono.App {
		tr, err := server.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return mono.New(tr, quiet(t))
	}
	var handled atomic.Int64
	serving, calling := connect(), connect()
	serving.Add(provider(counting(&handled), mono.Concurrency(8)))
	if err := serving.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	calling.Remote(ask)
	begin(t, calling)
	stopUnderLoad(t, calling, serving, &handled)
}

// A panic in a Stop is an internal error, and the other modules still stop.
func TestPanicInStop(t *testing.T) {
	t.Parallel()
	var stopped bool
	app := newApp(t)
	app.Add(
		&lifecycle{name: "fine", stop: func(context.Context) error { stopped = true; return nil }},
		&lifecycle{name: "panics", stop: func(context.Context) error { panic("x") }})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := app.Stop(t.Context()); mono.CodeOf(err) != mono.Internal || !strings.Contains(err.Error(), "panics") || !stopped {
		t.Errorf("got %v, the other stopped %v", err, stopped)
	}
}
