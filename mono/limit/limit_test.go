package limit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/limit"
	"gomono.dev/transport/inproc"
)

var (
	place = mono.NewService[int, int]("orders.place")
	other = mono.NewService[int, int]("orders.other")
	jobs  = mono.NewQueue[int]("orders.jobs", mono.Backoff(mono.Constant(1000*time.Hour)))
	moved = mono.NewEvent[int]("orders.moved")
)

// run starts an App in memory. It is stopped when the test ends.
func run(t testing.TB, setup func(*mono.App), opts ...mono.AppOption) *mono.App {
	t.Helper()
	app := mono.New(inproc.New(inproc.Options{}), append([]mono.AppOption{mono.Logger(slog.New(slog.DiscardHandler))}, opts...)...)
	setup(app)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return app
}

func module(name string, bind func(*mono.Scope)) mono.Module {
	return mono.NewModule(name, func(s *mono.Scope) error {
		bind(s)
		return nil
	})
}

// echoes provides place and other, which return their request.
func echoes() mono.Module {
	return module("orders", func(s *mono.Scope) {
		for _, service := range []mono.Service[int, int]{place, other} {
			service.Handle(s, func(_ context.Context, n int) (int, error) { return n, nil })
		}
	})
}

// wantRefused reports an error that is not that of a call over a limit.
func wantRefused(t testing.TB, err error, wait time.Duration) {
	t.Helper()
	d, ok := mono.RetryDelay(err)
	if mono.CodeOf(err) != mono.ResourceExhausted || mono.OutcomeOf(err) != mono.OutcomeNotDone || !ok || d != wait {
		t.Errorf("got %v, %v, to wait %v, %v: want resource_exhausted, not done, to wait %v", err, mono.OutcomeOf(err), d, ok, wait)
	}
}

// ways are the ways of a call to its service.
var ways = map[string][]mono.AppOption{"local": nil, "transport": {mono.NoLocalCalls()}}

// Calls over the rate are refused with the time to wait, and pass after that time.
func TestRate(t *testing.T) {
	t.Parallel()
	for name, opts := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				app := run(t, func(a *mono.App) {
					a.Use(limit.Rate(10, time.Second, limit.Burst(2)))
					a.Add(echoes())
				}, opts...)
				call := func(s mono.Service[int, int]) error {
					_, err := s.Call(t.Context(), app, 1)
					return err
				}
				if err := errors.Join(call(place), call(place), call(other)); err != nil {
					t.Error(err)
				}
				wantRefused(t, call(place), 100*time.Millisecond)
				wantRefused(t, call(place), 100*time.Millisecond) // a refused call takes nothing
				if err := call(other); err != nil {
					t.Errorf("another handle: %v", err)
				}
				<-time.After(100 * time.Millisecond)
				if err := call(place); err != nil {
					t.Error(err)
				}
				wantRefused(t, call(place), 100*time.Millisecond)
			})
		})
	}
}

// By decides who shares a limit, and For which handles have one.
func TestByAndFor(t *testing.T) {
	t.Parallel()
	tenant := func(c *mono.Call) string { return c.Header("Tenant") }
	for name, c := range map[string]struct {
		option limit.RateOption
		want   string // of place by a, place by a, place by b, other by a, and with another tenant place by a
	}{
		"handle":            {limit.By(limit.Handle), "pass refused refused pass refused"},
		"caller":            {limit.By(limit.Caller), "pass refused pass refused refused"},
		"handle and caller": {limit.By(limit.Handle, limit.Caller), "pass refused pass pass refused"},
		"header":            {limit.By(limit.Header("Tenant")), "pass refused refused refused pass"},
		"function":          {limit.By(tenant, limit.Caller), "pass refused pass refused pass"},
		"long":              {limit.By(func(c *mono.Call) string { return strings.Repeat("x", 1000) + tenant(c) }), "pass refused refused refused pass"},
		"for":               {limit.For(place), "pass refused refused pass refused"},
		"for none":          {limit.For(jobs), "pass pass pass pass pass"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var scopes [2]*mono.Scope
				use := func(name string, i int) mono.Module {
					return module(name, func(s *mono.Scope) {
						s.Use(place, other)
						scopes[i] = s
					})
				}
				run(t, func(a *mono.App) {
					a.Use(limit.Rate(1, time.Hour, c.option))
					a.Add(echoes(), use("a", 0), use("b", 1))
				})
				a, b := scopes[0], scopes[1]
				call := func(s mono.Service[int, int], by mono.Binder, tenant string) string {
					if _, err := s.With(mono.Header("Tenant", tenant)).Call(t.Context(), by, 1); err != nil {
						return "refused"
					}
					return "pass"
				}
				got := strings.Join([]string{call(place, a, "x"), call(place, a, "x"), call(place, b, "x"), call(other, a, "x"), call(place, a, "y")}, " ")
				if got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

// Parts that differ make keys that differ, whatever is in them.
func TestPartsAreSeparated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := run(t, func(a *mono.App) {
			a.Use(limit.Rate(1, time.Hour, limit.By(limit.Header("A"), limit.Header("B"))))
			a.Add(echoes())
		})
		for _, h := range [][2]string{{"x/y", "z"}, {"x", "y/z"}, {"x%2Fy", "z"}, {"x", "y%2Fz"}} {
			if _, err := place.With(mono.Header("A", h[0]), mono.Header("B", h[1])).Call(t.Context(), app, 1); err != nil {
				t.Errorf("%q: %v", h, err)
			}
		}
	})
}

// Jobs and events over the rate wait for their turn, and no attempt is lost.
func TestMessagesWait(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(context.Context, mono.Binder, int) error{"job": jobs.Enqueue, "event": moved.Publish} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, got := time.Now(), make(chan string, 10)
				app := run(t, func(a *mono.App) {
					a.Use(limit.Rate(1, time.Minute))
					a.Add(module("worker", func(s *mono.Scope) {
						note := func(ctx context.Context, _ int) error {
							got <- fmt.Sprint(time.Since(began), " ", mono.CallFrom(ctx).Attempt())
							return nil
						}
						jobs.Handle(s, note)
						moved.Handle(s, note)
					}))
				})
				for n := range 3 {
					if err := send(t.Context(), app, n); err != nil {
						t.Fatal(err)
					}
				}
				for _, want := range []string{"0s 1", "1m0s 1", "2m0s 1"} {
					if g := <-got; g != want {
						t.Errorf("got %s, want %s", g, want)
					}
				}
			})
		})
	}
}

// A batch takes as many tokens as it has messages.
func TestBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := mono.NewStream[int]("orders.ledger")
		began, got := time.Now(), make(chan string, 10)
		app := run(t, func(a *mono.App) {
			a.Use(limit.Rate(1, time.Second, limit.Burst(4)))
			a.Add(module("report", func(s *mono.Scope) {
				ledger.HandleBatch(s, func(_ context.Context, all []mono.Message[int]) error {
					got <- fmt.Sprint(len(all), " ", time.Since(began))
					return nil
				}, mono.BatchSize(10), mono.BatchWait(100*time.Millisecond))
			}))
		})
		for n := range 10 {
			if err := ledger.Append(t.Context(), app, n); err != nil {
				t.Fatal(err)
			}
		}
		if g := <-got; g != "10 6s" { // full at once, and 6 tokens later
			t.Errorf("got %s", g)
		}
	})
}

// A message whose Timeout is before its turn fails at once, and comes again when it is.
func TestTimeoutBeforeTheTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := mono.NewQueue[int]("orders.timed", mono.Timeout(time.Second), mono.Backoff(mono.Constant(1000*time.Hour)))
		began, got := time.Now(), make(chan string, 10)
		app := run(t, func(a *mono.App) {
			a.Use(limit.Rate(1, time.Minute))
			a.Add(module("worker", func(s *mono.Scope) {
				q.Handle(s, func(ctx context.Context, _ int) error {
					got <- fmt.Sprint(time.Since(began), " ", mono.CallFrom(ctx).Attempt())
					return nil
				})
			}))
		})
		for n := range 2 {
			if err := q.Enqueue(t.Context(), app, n); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := <-got, <-got; a != "0s 1" || b != "1m0s 2" {
			t.Errorf("got %s, %s", a, b)
		}
	})
}

// A job that waits for its turn when the App stops is handed back, and the stop does not wait.
func TestStopWhileWaiting(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]func() mono.Middleware{
		"rate":        func() mono.Middleware { return limit.Rate(1, time.Hour) },
		"concurrency": func() mono.Middleware { return limit.Concurrency(1) },
		"window":      func() mono.Middleware { return limit.Window("stop", 1, time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				backend := inproc.NewBackend(inproc.Options{})
				attempts := make(chan int, 10)
				start := func(middleware ...mono.Middleware) *mono.App {
					app := mono.New(backend.Connect(), mono.Logger(slog.New(slog.DiscardHandler)))
					app.Use(middleware...)
					app.Add(module("worker", func(s *mono.Scope) {
						jobs.Handle(s, func(ctx context.Context, n int) error {
							attempts <- mono.CallFrom(ctx).Attempt()
							if n == 0 && len(middleware) > 0 {
								<-mono.CallFrom(ctx).Stopping()
							}
							return nil
						}, mono.Concurrency(2))
					}))
					if err := app.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					return app
				}
				app := start(m())
				for n := range 2 {
					if err := jobs.Enqueue(t.Context(), app, n); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				began := time.Now()
				if err := app.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("the stop took %v", took)
				}
				app = start()
				if first, second := <-attempts, <-attempts; first != 1 || second != 1 {
					t.Errorf("attempts %d and %d, want the first of both", first, second)
				}
				if err := app.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// One caller cannot take all handlers, and a call over the limit does not wait.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	for name, opts := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				var a, b mono.Func[int, int]
				run(t, func(app *mono.App) {
					app.Use(limit.Concurrency(2, limit.By(limit.Caller)))
					app.Add(module("orders", func(s *mono.Scope) {
						place.Handle(s, func(_ context.Context, n int) (int, error) {
							<-end
							if n == 13 {
								panic("unlucky")
							}
							return n, nil
						})
					}), module("a", func(s *mono.Scope) { a = place.Client(s) }), module("b", func(s *mono.Scope) { b = place.Client(s) }))
				}, opts...)
				var calls sync.WaitGroup
				calls.Go(func() { _, _ = a(t.Context(), 1) })
				calls.Go(func() { _, _ = a(t.Context(), 13) })
				synctest.Wait()
				_, err := a(t.Context(), 3)
				if _, ok := mono.RetryDelay(err); mono.CodeOf(err) != mono.ResourceExhausted || mono.OutcomeOf(err) != mono.OutcomeNotDone || ok {
					t.Errorf("over the limit: got %v", err)
				}
				calls.Go(func() {
					if _, err := b(t.Context(), 4); err != nil {
						t.Errorf("another caller: %v", err)
					}
				})
				synctest.Wait()
				close(end)
				calls.Wait()
				if _, err := a(t.Context(), 5); err != nil {
					t.Errorf("after the others: %v", err)
				}
			})
		})
	}
}

// Jobs over the limit wait for a place.
func TestConcurrencyOfJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most, done := 0, 0, make(chan struct{}, 10)
		app := run(t, func(app *mono.App) {
			app.Use(limit.Concurrency(2))
			app.Add(module("worker", func(s *mono.Scope) {
				jobs.Handle(s, func(context.Context, int) error {
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					<-time.After(time.Second)
					mu.Lock()
					running--
					mu.Unlock()
					done <- struct{}{}
					return nil
				}, mono.Concurrency(10))
			}))
		})
		for n := range 6 {
			if err := jobs.Enqueue(t.Context(), app, n); err != nil {
				t.Fatal(err)
			}
		}
		for range 6 {
			<-done
		}
		if most != 2 {
			t.Errorf("%d jobs at once, want 2", most)
		}
	})
}

// Mistakes in the program's text are panics.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]func(){
		"limit.Rate(0, 1s): want both":          func() { limit.Rate(0, time.Second) },
		"limit.Rate(1, 0s)":                     func() { limit.Rate(1, 0) },
		"limit.Rate: an option is nil":          func() { limit.Rate(1, 1, nil) },
		"limit.Burst(0)":                        func() { limit.Burst(0) },
		"limit.MaxKeys(0)":                      func() { limit.MaxKeys(0) },
		"limit.By: want at least one":           func() { limit.By() },
		"limit.By: a Part is nil":               func() { limit.By(nil) },
		"limit.For: want at least one":          func() { limit.For() },
		"limit.For: want":                       func() { limit.For(nil) },
		"limit.Concurrency(0)":                  func() { limit.Concurrency(0) },
		`limit.Window("x", 0, 1m0s)`:            func() { limit.Window("x", 0, time.Minute) },
		`limit.Window("x", 1, 999ms)`:           func() { limit.Window("x", 1, 999*time.Millisecond) },
		`kv.NewBucket("limit-A b")`:             func() { limit.Window("A b", 1, time.Minute) },
		"limit.NewBreaker(0, 1s)":               func() { limit.NewBreaker(0, time.Second) },
		"limit.Codes: want at least one":        func() { limit.Codes() },
		"limit.OnChange(nil)":                   func() { limit.OnChange(nil) },
		"limit.Attempts(0)":                     func() { limit.Attempts(0) },
		"limit.Budget(2, 0.1): want at least 3": func() { limit.Budget(2, 0.1) },
		"limit.Budget(10, 2)":                   func() { limit.Budget(10, 2) },
		"limit.Pause(0s, 1s)":                   func() { limit.Pause(0, time.Second) },
	} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); !strings.Contains(v, want) {
					t.Errorf("got %s, want %s", v, want)
				}
			}()
			f()
		}()
	}
}

// lines returns a logger, and a function with what it has logged.
func lines() (*slog.Logger, func() string) {
	var mu sync.Mutex
	var text strings.Builder
	w := writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	})
	return slog.New(slog.NewTextHandler(w, nil)), func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

var _ io.Writer = writer(nil)
