package limit_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/mono/limit"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// instance starts an App with a Window, whose calls are local.
func instance(t testing.TB, tr transport.Transport, w mono.Middleware, opts ...mono.AppOption) *mono.App {
	t.Helper()
	app := mono.New(tr, append([]mono.AppOption{mono.Logger(slog.New(slog.DiscardHandler))}, opts...)...)
	app.Use(w)
	app.Add(echoes())
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Stop(context.Background()) }) // the server may be gone
	return app
}

func callPlace(app *mono.App) error {
	_, err := place.Call(context.Background(), app, 1)
	return err
}

// The instances share a limit, and a place becomes free when its message has left the window.
func TestWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inproc.NewBackend(inproc.Options{})
		one, two := instance(t, b.Connect(), limit.Window("w", 2, time.Minute)), instance(t, b.Connect(), limit.Window("w", 2, time.Minute))
		if err := callPlace(one); err != nil {
			t.Error(err)
		}
		<-time.After(30 * time.Second)
		if err := callPlace(two); err != nil {
			t.Error(err)
		}
		for _, app := range []*mono.App{one, two} {
			err := callPlace(app)
			if wait, ok := mono.RetryDelay(err); mono.CodeOf(err) != mono.ResourceExhausted || mono.OutcomeOf(err) != mono.OutcomeNotDone || !ok || wait < 30*time.Second || wait > 33*time.Second {
				t.Errorf("got %v, to wait %v: want about 30s", err, wait)
			}
		}
		if _, err := other.Call(t.Context(), one, 1); err != nil {
			t.Errorf("another handle: %v", err)
		}
		<-time.After(33 * time.Second)
		if err := callPlace(one); err != nil {
			t.Error(err)
		}
		if mono.CodeOf(callPlace(two)) != mono.ResourceExhausted {
			t.Error("the second message is still in the window")
		}
	})
}

// No window of any instance has more than the limit. An instance that waits as long as it was told
// passes, if no other is faster.
func TestWindowIsNeverExceeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inBubble := struct{ rapid.TB }{t}
		rapid.Check(inBubble, func(r *rapid.T) { windowIsNeverExceeded(t, r) })
	})
}

func windowIsNeverExceeded(t *testing.T, r *rapid.T) {
	n := rapid.IntRange(1, 10).Draw(r, "n")
	per := time.Second + time.Duration(rapid.IntRange(0, 5_000_000_000).Draw(r, "per"))
	b := inproc.NewBackend(inproc.Options{})
	var apps []*mono.App
	for range rapid.IntRange(1, 3).Draw(r, "instances") {
		app := mono.New(b.Connect(), mono.Logger(slog.New(slog.DiscardHandler)))
		app.Use(limit.Window("w", n, per))
		app.Add(echoes())
		if err := app.Start(t.Context()); err != nil {
			r.Fatal(err)
		}
		defer func() { _ = app.Stop(context.Background()) }()
		apps = append(apps, app)
	}
	var mu sync.Mutex
	var passed []time.Time
	call := func(app *mono.App) error {
		err := callPlace(app)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			passed = append(passed, time.Now())
		}
		return err
	}
	for range rapid.IntRange(1, 40).Draw(r, "steps") {
		app := rapid.SampledFrom(apps).Draw(r, "instance")
		switch rapid.IntRange(0, 2).Draw(r, "step") {
		case 0:
			var calls sync.WaitGroup
			for _, app := range apps {
				calls.Go(func() { _ = call(app) })
			}
			calls.Wait()
		case 1:
			err := call(app)
			wait, ok := mono.RetryDelay(err)
			if err == nil {
				continue
			}
			if !ok || wait <= 0 || wait > per+per/10 {
				r.Fatalf("got %v, to wait %v", err, wait)
			}
			<-time.After(wait)
			if err := call(app); err != nil {
				r.Fatalf("after the wait of %v: %v", wait, err)
			}
		case 2:
			<-time.After(time.Duration(rapid.IntRange(0, int(per)).Draw(r, "pause")))
		}
	}
	checkWindows(r, passed, n, per, time.Millisecond)
}

// checkWindows reports a window with too many messages. The times may be off by the tolerance.
func checkWindows(t interface{ Fatalf(string, ...any) }, passed []time.Time, n int, per, tolerance time.Duration) {
	slices.SortFunc(passed, time.Time.Compare)
	for i := n; i < len(passed); i++ {
		if d := passed[i].Sub(passed[i-n]); d < per-tolerance {
			t.Fatalf("%d messages in %v, want at most %d in %v", n+1, d, n, per)
		}
	}
}

// serverOf starts a server, and returns a function that connects to it.
func serverOf(t testing.TB) (connect func() transport.Transport) {
	server, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	return func() transport.Transport {
		tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{server.ClientURL()}, Memory: true, ReconnectWait: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
}

// Over NATS too, no window has more than the limit, while three instances take what they can.
func TestWindowOverNATS(t *testing.T) {
	t.Parallel()
	const n, per, total = 20, time.Second, 70
	connect := serverOf(t)
	var mu sync.Mutex
	var calls sync.WaitGroup
	var began, ended []time.Time
	for range 3 {
		app := instance(t, connect(), limit.Window("w", n, per))
		for range 2 {
			calls.Go(func() {
				for {
					from := time.Now()
					err := callPlace(app)
					to := time.Now()
					mu.Lock()
					if err == nil {
						began, ended = append(began, from), append(ended, to)
					}
					done := len(ended) >= total
					mu.Unlock()
					switch wait, ok := mono.RetryDelay(err); {
					case done:
						return
					case err == nil:
					case !ok || mono.OutcomeOf(err) != mono.OutcomeNotDone:
						t.Error(err)
						return
					default:
						<-time.After(min(wait, 50*time.Millisecond))
					}
				}
			})
		}
	}
	calls.Wait()
	// A message was counted between its begin and its end. So n+1 messages are too many in a window
	// only if the earliest begin and the latest end of them are in one.
	slices.SortFunc(began, time.Time.Compare)
	slices.SortFunc(ended, time.Time.Compare)
	for i := n; i < len(ended); i++ {
		if d := ended[i].Sub(began[i-n]); d < per {
			t.Errorf("%d messages in %v", n+1, d)
		}
	}
	if took := ended[len(ended)-1].Sub(began[0]); took < 3*per {
		t.Errorf("%d messages took %v, want at least %v", total, took, 3*per)
	}
}

// An instance that has just started does not refuse because of what it reads is old.
func TestWindowAfterAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inproc.NewBackend(inproc.Options{})
		one := instance(t, b.Connect(), limit.Window("w", 1, time.Hour))
		if err := callPlace(one); err != nil {
			t.Fatal(err)
		}
		two := instance(t, b.Connect(), limit.Window("w", 1, time.Hour))
		<-time.After(30 * time.Minute)
		err := callPlace(two)
		if wait, _ := mono.RetryDelay(err); mono.CodeOf(err) != mono.ResourceExhausted || wait < 30*time.Minute || wait > 33*time.Minute {
			t.Errorf("got %v, to wait %v: want about 30m", err, wait)
		}
		three := instance(t, b.Connect(), limit.Window("w", 1, time.Hour))
		<-time.After(33*time.Minute - time.Second)
		if err := callPlace(three); err != nil {
			t.Error(err)
		}
	})
}

// Any value of a key is a count, and one that another program has put into the future blocks a key
// for one window at most.
func TestForeignCounts(t *testing.T) {
	t.Parallel()
	future := time.Now().Add(1000 * time.Hour).UnixNano()
	for value, passes := range map[string]bool{
		`{}`: true,
		`{"width":3000000000,"newest":0,"counts":[99],"added":0}`:                                        true,
		`{"width":3000000000,"newest":-9223372036854775808,"counts":[-1,99],"added":-9}`:                 false,
		`{"width":0,"newest":0,"counts":[99],"added":0}`:                                                 false,
		`{"width":1,"newest":0,"counts":[99],"added":0}`:                                                 false,
		`{"added":9223372036854775807,"counts":[9223372036854775807]}`:                                   false,
		fmt.Sprintf(`{"width":3000000000,"newest":%d,"counts":[1,1]}`, future/3_000_000_000):             false,
		`{"width":3000000000,"newest":9223372036854775807,"counts":[` + strings.Repeat("9,", 99) + `9]}`: false,
	} {
		t.Run(value[:min(len(value), 60)], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := inproc.NewBackend(inproc.Options{})
				app := instance(t, b.Connect(), limit.Window("w", 2, time.Minute))
				raw, err := kv.Connect(t.Context(), b.Connect(), kv.NewBucket[[]byte]("limit-w", kv.Existing()))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := raw.Raw().Put(t.Context(), "k/orders.place", []byte(value)); err != nil {
					t.Fatal(err)
				}
				if err := callPlace(app); (err == nil) != passes || err != nil && mono.CodeOf(err) != mono.ResourceExhausted {
					t.Errorf("got %v, want it to pass: %v", err, passes)
				}
				<-time.After(63 * time.Second)
				if err := callPlace(app); err != nil {
					t.Errorf("after the window: %v", err)
				}
			})
		})
	}
}

// Without its bucket a Window refuses calls, or lets them pass. It counts again afterwards, and what it
// has counted before is not lost.
func TestUnreachableBucket(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]bool{"closed": false, "open": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serverAt := func(dir, address string) *embedded.Server {
				server, err := embedded.Start(t.Context(), embedded.Options{Dir: dir, Listen: address, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
				return server
			}
			dir := t.TempDir()
			server := serverAt(dir, "127.0.0.1:0")
			address := strings.TrimPrefix(server.ClientURL(), "nats://")
			tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{server.ClientURL()}, ReconnectWait: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			var opts []limit.WindowOption
			if open {
				opts = append(opts, limit.FailOpen())
			}
			log, text := lines()
			app := instance(t, tr, limit.Window("w", 1, time.Hour, opts...), mono.Logger(log), mono.StopTimeout(time.Second))
			if err := callPlace(app); err != nil {
				t.Fatal(err)
			}
			_ = server.Shutdown(context.Background())
			realtime.Until(t, "the policy", func() bool {
				err := callPlace(app)
				if open {
					return err == nil
				}
				wait, ok := mono.RetryDelay(err)
				return mono.CodeOf(err) == mono.Unavailable && mono.OutcomeOf(err) == mono.OutcomeNotDone && ok && wait == time.Second
			})
			began := time.Now()
			for range 100 {
				err := callPlace(app)
				if (err == nil) != open || err != nil && err.Error() != "unavailable: limit w: the bucket does not answer" {
					t.Errorf("got %v", err) // the address of the server is not for callers
				}
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("100 calls took %v: each asks the bucket", took)
			}
			if s := text(); strings.Count(s, "the bucket does not answer") < 1 || strings.Count(s, "the bucket does not answer") > 3 || !strings.Contains(s, "limit=w") || !strings.Contains(s, "error=\"unavailable: bucket ") {
				t.Errorf("the log has\n%s", s)
			}
			serverAt(dir, address)
			realtime.Until(t, "the count of before", func() bool {
				err := callPlace(app)
				wait, _ := mono.RetryDelay(err)
				return mono.CodeOf(err) == mono.ResourceExhausted && wait > 50*time.Minute
			})
			if s := text(); !strings.Contains(s, "the bucket answers again") {
				t.Errorf("the log has\n%s", s)
			}
		})
	}
}

// Jobs over the limit wait for their turn, and no attempt is lost.
func TestWindowOfJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, got := time.Now(), make(chan time.Duration, 10)
		app := run(t, func(a *mono.App) {
			a.Use(limit.Window("w", 2, time.Minute))
			a.Add(module("worker", func(s *mono.Scope) {
				jobs.Handle(s, func(ctx context.Context, _ int) error {
					if a := mono.CallFrom(ctx).Attempt(); a != 1 {
						t.Errorf("attempt %d", a)
					}
					got <- time.Since(began)
					return nil
				})
			}))
		})
		for n := range 5 {
			if err := jobs.Enqueue(t.Context(), app, n); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 5 {
			if d, from := <-got, time.Duration(i/2)*time.Minute; d < from || d > from+time.Duration(i/2)*3*time.Second {
				t.Errorf("job %d came after %v, want about %v", i, d, from)
			}
		}
	})
}
