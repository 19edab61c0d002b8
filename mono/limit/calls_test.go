package limit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/mono"
	"gomono.dev/mono/limit"
	"gomono.dev/transport/inproc"
)

var notDone error = &mono.Error{Code: mono.Unavailable, Outcome: mono.OutcomeNotDone, Message: "no instance"}

// failing is a middleware of the sending side, innermost, in place of the transport.
type failing func() error

func (f failing) Selects(_ mono.Handle, side mono.Side, _ bool) bool { return side == mono.SideSender }

func (f failing) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		if err := f(); err != nil {
			return err
		}
		return next(ctx, c)
	}
}

// A circuit opens after failures in a row, lets one call through after its time, and closes after a
// success.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var result error
		asked := 0
		var changes []string
		log, text := lines()
		b := limit.NewBreaker(3, 10*time.Second, limit.OnChange(func(c limit.Change) {
			changes = append(changes, fmt.Sprint(c.Handle.Name(), " ", c.From, " → ", c.To, " ", mono.CodeOf(c.Err)))
		}))
		app := run(t, func(a *mono.App) {
			a.Use(b, failing(func() error { asked++; return result }))
			a.Add(echoes())
		}, mono.Logger(log))
		call := func(err error) error { result = err; return callPlace(app) }
		down := mono.Errorf(mono.Unavailable, "down")
		// Successes, errors of the service, and calls that say nothing do not open it.
		for _, err := range []error{down, down, nil, down, down, &mono.Error{Code: mono.NotFound, Outcome: mono.OutcomeAnswered}, down, down, mono.ErrCanceled} {
			_ = call(err)
		}
		if b.State(place) != limit.StateClosed {
			t.Fatal("it is open")
		}
		_ = call(down)
		if b.State(place) != limit.StateOpen || b.State(other) != limit.StateClosed {
			t.Errorf("place is %s, other %s", b.State(place), b.State(other))
		}
		before := asked
		<-time.After(4 * time.Second)
		err := call(nil)
		if wait, ok := mono.RetryDelay(err); mono.CodeOf(err) != mono.Unavailable || mono.OutcomeOf(err) != mono.OutcomeNotDone || !ok || wait != 6*time.Second || asked != before {
			t.Errorf("got %v, to wait %v, and %d calls", err, wait, asked-before)
		}
		<-time.After(6 * time.Second)
		_ = call(down)
		if b.State(place) != limit.StateOpen {
			t.Error("a failed trial opens it again")
		}
		<-time.After(10 * time.Second)
		_ = call(mono.ErrCanceled) // which decides nothing
		if b.State(place) != limit.StateHalfOpen {
			t.Errorf("it is %s", b.State(place))
		}
		if err := call(nil); err != nil || b.State(place) != limit.StateClosed {
			t.Errorf("got %v, it is %s", err, b.State(place))
		}
		want := []string{
			"orders.place closed → open unavailable", "orders.place open → half-open ", "orders.place half-open → open unavailable",
			"orders.place open → half-open ", "orders.place half-open → closed ",
		}
		if !slices.Equal(changes, want) {
			t.Errorf("got %q", changes)
		}
		if s := text(); strings.Count(s, "limit: circuit open") != 2 || strings.Count(s, "limit: circuit half-open") != 2 || strings.Count(s, "limit: circuit closed") != 1 {
			t.Errorf("the log has\n%s", s)
		}
	})
}

// One call at a time decides. One that panics decides nothing, and one that began before the circuit
// opened does not count.
func TestBreakerTrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := limit.NewBreaker(1, time.Second, limit.Codes(mono.Internal))
		calls := make(chan chan error, 10) // with the results
		app := run(t, func(a *mono.App) {
			a.Use(b, failing(func() error {
				result := make(chan error)
				calls <- result
				err := <-result
				if err == nil {
					panic("no result")
				}
				return err
			}))
			a.Add(echoes())
		})
		begin := func() chan error {
			go func() { _ = callPlace(app) }()
			return <-calls
		}
		end := func(call chan error, err error) { call <- err; synctest.Wait() }
		expect := func(want limit.State) {
			t.Helper()
			if got := b.State(place); got != want {
				t.Errorf("it is %s, want %s", got, want)
			}
		}
		down, answered := mono.Errorf(mono.Internal, "down"), &mono.Error{Code: mono.NotFound, Outcome: mono.OutcomeAnswered}
		first, late, later := begin(), begin(), begin()
		end(first, down)
		expect(limit.StateOpen)
		<-time.After(time.Second)
		trial := begin()
		expect(limit.StateHalfOpen)
		if err := callPlace(app); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("a second trial: %v", err)
		}
		end(late, answered)
		expect(limit.StateHalfOpen)
		end(trial, nil)
		expect(limit.StateHalfOpen)
		end(begin(), answered)
		expect(limit.StateClosed)
		end(later, down)
		expect(limit.StateClosed)
	})
}

// brokenLog is the handler of a log that panics at the lines of this package.
type brokenLog struct{ slog.Handler }

func (h brokenLog) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h brokenLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "limit: ") {
		panic("the log is broken")
	}
	return h.Handler.Handle(ctx, r)
}

// A panic of OnChange or of the log, at any change, neither stops the circuit nor alters a result. It
// is logged once.
func TestBreakerReportsPanic(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]bool{"OnChange": false, "OnChange and log": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, text := lines()
				if broken {
					log = slog.New(brokenLog{log.Handler()})
				}
				var result error
				changes := 0
				b := limit.NewBreaker(1, time.Second, limit.OnChange(func(limit.Change) { changes++; panic("the observer is broken") }))
				app := run(t, func(a *mono.App) {
					a.Use(b, failing(func() error { return result }))
					a.Add(echoes())
				}, mono.Logger(log))
				for i, err := range []error{notDone, notDone, nil} { // opens, half-open and open, half-open and closed
					result = err
					if got := callPlace(app); !errors.Is(got, err) {
						t.Errorf("call %d: got %v, want %v", i, got, err)
					}
					<-time.After(time.Second)
				}
				if b.State(place) != limit.StateClosed || changes != 5 {
					t.Errorf("it is %s after %d changes", b.State(place), changes)
				}
				if n := strings.Count(text(), "limit: panic at the change of a circuit"); !broken && n != changes {
					t.Errorf("the log has %d panics of %d:\n%s", n, changes, text())
				}
			})
		})
	}
}

// Retry repeats what was not done, and nothing else.
func TestRetry(t *testing.T) {
	t.Parallel()
	unknown := mono.Errorf(mono.Unavailable, "connection lost")
	for name, c := range map[string]struct {
		errs  []error // of the attempts; then success
		times string
		code  mono.Code
	}{
		"success":                {nil, "[0s]", ""},
		"not done":               {[]error{notDone}, "[0s 0s]", ""},
		"not done twice":         {[]error{notDone, notDone}, "[0s 0s 0s]", ""},
		"not done three times":   {[]error{notDone, notDone, notDone}, "[0s 0s 0s]", mono.Unavailable},
		"with a time":            {[]error{mono.RetryAfter(7*time.Second, notDone)}, "[0s 7s]", ""},
		"with a time, too long":  {[]error{mono.RetryAfter(20*time.Second, notDone)}, "[0s]", mono.Unavailable},
		"with no time to wait":   {[]error{mono.RetryAfter(0, notDone)}, "[0s 0s]", ""},
		"a limit":                {[]error{&mono.Error{Code: mono.ResourceExhausted, Outcome: mono.OutcomeNotDone}}, "[0s 0s]", ""},
		"unknown":                {[]error{unknown}, "[0s]", mono.Unavailable},
		"unknown, with a time":   {[]error{mono.RetryAfter(time.Second, unknown)}, "[0s]", mono.Unavailable},
		"answered":               {[]error{mono.RetryAfter(time.Second, &mono.Error{Code: mono.Unavailable, Outcome: mono.OutcomeAnswered})}, "[0s]", mono.Unavailable},
		"not done, wrong":        {[]error{&mono.Error{Code: mono.InvalidArgument, Outcome: mono.OutcomeNotDone}}, "[0s]", mono.InvalidArgument},
		"not done, then unknown": {[]error{notDone, unknown}, "[0s 0s]", mono.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, times := time.Now(), []time.Duration(nil)
				app := run(t, func(a *mono.App) {
					a.Use(limit.Retry(limit.Pause(time.Nanosecond, time.Nanosecond)), failing(func() error {
						n := len(times)
						times = append(times, time.Since(began).Round(time.Millisecond))
						if n < len(c.errs) {
							return c.errs[n]
						}
						return nil
					}))
					a.Add(echoes())
				})
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				_, err := place.Call(ctx, app, 1)
				if mono.CodeOf(err) != c.code || fmt.Sprint(times) != c.times {
					t.Errorf("got %v after attempts at %v, want %q, %s", err, times, c.code, c.times)
				}
			})
		})
	}
}

// Without a time in the error, the pauses are random, and their limit doubles.
func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		app := run(t, func(a *mono.App) {
			a.Use(limit.Retry(limit.Attempts(100), limit.Budget(1000, 1), limit.Pause(time.Second, 4*time.Second)), failing(func() error {
				times = append(times, time.Now())
				return notDone
			}))
			a.Add(echoes())
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, _ = place.Call(ctx, app, 1)
		if len(times) != 100 {
			t.Fatalf("%d attempts", len(times))
		}
		var longest time.Duration
		for i := range 99 {
			pause := times[i+1].Sub(times[i])
			if most := min(time.Second<<min(i, 10), 4*time.Second); pause <= 0 || pause > most {
				t.Errorf("pause %d is %v, want at most %v", i, pause, most)
			}
			longest = max(longest, pause)
		}
		if longest < 2*time.Second {
			t.Errorf("the longest of 99 pauses is %v", longest)
		}
	})
}

// Retry waits for the time that a limit of the receiving side gives, local or over the transport.
func TestRetryOfALimit(t *testing.T) {
	t.Parallel()
	for name, opts := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				app := run(t, func(a *mono.App) {
					a.Use(limit.Retry(), limit.Rate(1, time.Second))
					a.Add(echoes())
				}, opts...)
				began := time.Now()
				for i := range 3 {
					if err := callPlace(app); err != nil || time.Since(began) != time.Duration(i)*time.Second {
						t.Errorf("call %d: %v after %v", i, err, time.Since(began))
					}
				}
			})
		})
	}
}

// A Breaker within a Retry sees each attempt, and the Retry waits until the circuit is half-open.
func TestRetryOfABreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failures atomic.Int64
		app := run(t, func(a *mono.App) {
			a.Use(limit.Retry(limit.Attempts(4)), limit.NewBreaker(2, 5*time.Second), failing(func() error {
				if failures.Add(1) <= 2 {
					return notDone
				}
				return nil
			}))
			a.Add(echoes())
		})
		began := time.Now()
		if err := callPlace(app); err != nil || failures.Load() != 3 {
			t.Errorf("got %v, and %d attempts", err, failures.Load())
		}
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A stop of the App ends the wait for the next attempt.
func TestStopEndsRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
		app.Use(limit.Retry(), failing(func() error { return mono.RetryAfter(time.Hour, notDone) }))
		app.Add(echoes())
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		go func() {
			_, err := place.Call(ctx, app, 1)
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, mono.ErrUnavailable) || time.Since(began) > time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// However calls fail, there are at most ratio retries for each success, and half of the budget more.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inBubble := struct{ rapid.TB }{t}
		rapid.Check(inBubble, func(r *rapid.T) {
			tokens, ratio := rapid.IntRange(3, 20).Draw(r, "tokens"), rapid.Float64Range(0.01, 1).Draw(r, "ratio")
			fails := rapid.SliceOfN(rapid.Bool(), 1, 200).Draw(r, "fails")
			attempts, successes := 0, 0
			app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
			app.Use(limit.Retry(limit.Budget(tokens, ratio)), failing(func() error {
				n := attempts
				attempts++
				if fails[n%len(fails)] {
					return notDone
				}
				return nil
			}))
			app.Add(echoes())
			if err := app.Start(t.Context()); err != nil {
				r.Fatal(err)
			}
			defer func() { _ = app.Stop(context.Background()) }()
			for calls := 1; calls <= 200; calls++ {
				if callPlace(app) == nil {
					successes++
				}
				if most := float64(tokens)/2 + ratio*float64(successes); float64(attempts-calls) > most {
					r.Fatalf("%d retries after %d successes, want at most %v", attempts-calls, successes, most)
				}
			}
		})
	})
}
