package mono_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Concurrent calls of Health share one run of each health check.
func TestConcurrentHealthCallsRunOneCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int32
		app := newApp(t)
		app.Add(&lifecycle{name: "slow", health: func(ctx context.Context) error {
			checks.Add(1)
			mono.ReportDetail(ctx, "n", checks.Load())
			<-time.After(time.Second)
			return nil
		}})
		begin(t, app)
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				if h := app.Health(t.Context()); !h.Healthy || h.Modules["slow"].Details["n"] != int32(1) {
					t.Errorf("got %+v", h)
				}
			})
		}
		wait.Wait()
		if checks.Load() != 1 {
			t.Errorf("%d checks ran", checks.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if c := app.Health(ctx).Modules["slow"]; c.Healthy || !strings.Contains(c.Message, "did not wait") {
			t.Errorf("got %+v", c)
		}
		<-time.After(2 * time.Second)
	})
}

// hanging is a resource whose Close does not return.
type hanging chan struct{}

func (h hanging) Close() error { <-h; return nil }

// Stop names a resource whose Close does not return in time.
func TestStopNamesAResourceThatDoesNotClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := mono.NewResource[hanging]("test.hanging")
		value := make(hanging)
		app := newApp(t, mono.StopTimeout(time.Second))
		app.Add(module("m", func(s *mono.Scope) {
			r.Provide(s, func(context.Context) (hanging, error) { return value, nil })
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := app.Stop(t.Context()); !errors.Is(err, mono.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "test.hanging") {
			t.Errorf("Stop: %v", err)
		}
		close(value)
	})
}

// A resource that opens after the start has timed out is closed, and a module that starts
// then is stopped.
func TestStartUndoesLateOpensAndStarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tr trace
		release := make(chan struct{})
		conn := mono.NewResource[*database]("test.late")
		for _, m := range []mono.Module{
			module("opens", func(s *mono.Scope) {
				conn.Provide(s, func(context.Context) (*database, error) { <-release; return &database{trace: &tr}, nil })
			}),
			&lifecycle{name: "starts",
				start: func(context.Context) error { <-release; return nil },
				stop:  func(context.Context) error { tr.add("stop"); return nil }},
		} {
			app := newApp(t, mono.StartTimeout(time.Second))
			app.Add(m)
			if err := app.Start(t.Context()); !errors.Is(err, mono.ErrDeadlineExceeded) {
				t.Errorf("Start: %v", err)
			}
			if err := app.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		close(release)
		synctest.Wait()
		if got := tr.all(); len(got) != 2 {
			t.Errorf("got %q, want a close and a stop", got)
		}
	})
}

// A rollback closes the channels of senders that were never started, so their receivers
// end.
func TestRollbackClosesChannels(t *testing.T) {
	t.Parallel()
	for _, c := range []mono.Channel[int]{numbers, copies} {
		synctest.Test(t, func(t *testing.T) {
			app := newApp(t)
			app.Add(
				&adder{name: "receiver", channel: c},
				&lifecycle{name: "fails", start: func(context.Context) error { return errStart }},
				&counter{name: "sender", channel: c, n: 1})
			began := time.Now()
			if err := app.Start(t.Context()); !errors.Is(err, errStart) || time.Since(began) > time.Second {
				t.Errorf("Start: %v after %v", err, time.Since(began))
			}
			if err := app.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A StartError has the code failed_precondition.
func TestStartErrorHasACode(t *testing.T) {
	t.Parallel()
	if got := mono.CodeOf(&mono.StartError{}); got != mono.FailedPrecondition {
		t.Errorf("a StartError has the code %s", got)
	}
}

// The Scope of a failed start stays unavailable after the next start.
func TestScopeOfAFailedStartIsUnavailable(t *testing.T) {
	t.Parallel()
	var scopes []*mono.Scope
	received := make(chan fact, 1)
	fail := true
	app := newApp(t)
	app.Add(
		module("keeper", func(s *mono.Scope) { scopes = append(scopes, s); s.Use(announced) }),
		listener("listener", announced, received),
		&lifecycle{name: "fails", start: func(context.Context) error {
			if fail {
				return errStart
			}
			return nil
		}})
	if err := app.Start(t.Context()); !errors.Is(err, errStart) {
		t.Fatal(err)
	}
	fail = false
	begin(t, app)
	if err := announced.Publish(t.Context(), scopes[0], fact{N: 1}); mono.CodeOf(err) != mono.Unavailable || mono.OutcomeOf(err) != mono.OutcomeNotDone {
		t.Errorf("the old Scope: %v", err)
	}
	if err := announced.Publish(t.Context(), scopes[1], fact{N: 2}); err != nil {
		t.Error(err)
	}
	if f := <-received; f.N != 2 {
		t.Errorf("received %v", f)
	}
}

// Stop with a context that has ended still stops the App.
func TestStopWithAnEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		app := newApp(t)
		app.Add(provider(echo))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _ = app.Stop(ctx); app.State() != mono.StateStopped {
			t.Fatalf("the App is %s", app.State())
		}
	}
}

// stubborn is a transport whose Close waits for release.
type stubborn struct {
	transport.Transport
	release chan struct{}
}

func (s stubborn) Close(context.Context) error {
	<-s.release
	return s.Transport.Close(context.Background())
}

// Stop returns an error if the transport does not close in time.
func TestStopGivesUpOnATransportThatDoesNotClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		app := mono.New(stubborn{inproc.New(inproc.Options{}), release}, quiet(t), mono.StopTimeout(time.Second))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := app.Stop(t.Context())
		if !errors.Is(err, mono.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "transport") || time.Since(began) > 3*time.Second {
			t.Errorf("Stop: %v after %v", err, time.Since(began))
		}
		close(release)
	})
}

// A nil middleware, or one that panics in Wrap, fails the start and does not end the
// process.
func TestPanicInWrapFailsStart(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mono.Middleware{
		"panics": mono.MiddlewareFunc(func(mono.Next) mono.Next { panic("wrap") }),
		"nil":    mono.MiddlewareFunc(nil),
	} {
		app := newApp(t)
		app.Use(m)
		app.Add(provider(echo))
		if err := app.Start(t.Context()); err == nil || app.State() != mono.StateCreated {
			t.Errorf("%s: %v, state %s", name, err, app.State())
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// slowReplies is a transport that takes 100 ms to publish a reply.
type slowReplies struct{ transport.Transport }

func (s slowReplies) Publish(ctx context.Context, m *transport.Message) error {
	if strings.HasPrefix(m.Subject, "_INBOX.") {
		<-time.After(100 * time.Millisecond)
	}
	return s.Transport.Publish(ctx, m)
}

// Callers whose handlers Stop abandons get an error before the transport closes, if the
// replies take less than the second that is reserved for them.
func TestStopRepliesToAbandonedCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		app := mono.New(slowReplies{inproc.New(inproc.Options{})}, quiet(t), mono.NoLocalCalls(), mono.StopTimeout(time.Second))
		app.Add(provider(func(context.Context, question) (reply, error) { <-release; return reply{}, nil }))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		replies := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := ask.Call(context.Background(), app, question{})
				replies <- err
			}()
		}
		synctest.Wait()
		if err := app.Stop(t.Context()); !errors.Is(err, mono.ErrDeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		for range 3 {
			if err := <-replies; mono.CodeOf(err) != mono.Unavailable || !strings.Contains(err.Error(), "ran out of time") {
				t.Errorf("a caller got %v", err)
			}
		}
		close(release)
	})
}
