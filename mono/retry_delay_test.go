package mono_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// delayedKinds declares a stored handle of each kind, whose Backoff is longer than any test.
func delayedKinds(name string, attempts int) map[string]limitedKind {
	never, limit := mono.Backoff(mono.Constant(1000*time.Hour)), mono.MaxAttempts(attempts)
	queue, stream := mono.NewQueue[int](name+".queue", never, limit), mono.NewStream[int](name+".stream", never, limit)
	event := mono.NewEvent[int](name+".event", never, limit, mono.Durable())
	return map[string]limitedKind{
		"queue":  {everyHandle{queue.Enqueue, func(s *mono.Scope, fn mono.Sink[int]) { queue.Handle(s, fn) }}, queue.DeadLetters},
		"stream": {everyHandle{stream.Append, func(s *mono.Scope, fn mono.Sink[int]) { stream.Handle(s, fn) }}, stream.DeadLetters},
		"event":  {everyHandle{event.Publish, func(s *mono.Scope, fn mono.Sink[int]) { event.Handle(s, fn) }}, event.DeadLetters},
	}
}

// busyFor is a service that is busy at its first call, and asks to wait.
func busyFor(s mono.Service[int, int], wait time.Duration) mono.Module {
	var once sync.Once
	return module("busy", func(sc *mono.Scope) {
		s.Handle(sc, func(_ context.Context, n int) (_ int, err error) {
			once.Do(func() { err = mono.RetryAfter(wait, mono.Errorf(mono.ResourceExhausted, "busy")) })
			return n, err
		})
	})
}

// A stored message whose handler returns the error of a call waits as long as the called service
// has asked, instead of the Backoff, whether the call was local or not. The attempt counts.
func TestStoredMessageWaitsForTheServiceThatItCalls(t *testing.T) {
	t.Parallel()
	for kind, h := range delayedKinds("delay.called", 2) {
		for _, opts := range [][]mono.AppOption{nil, {mono.NoLocalCalls()}} {
			t.Run(fmt.Sprint(kind, len(opts)), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					busy := mono.NewService[int, int]("delay.busy")
					began, attempts := time.Now(), make(chan string, 10)
					app := newApp(t, opts...)
					app.Add(busyFor(busy, 90*time.Second), module("worker", func(s *mono.Scope) {
						call := busy.Client(s)
						h.handle(s, func(ctx context.Context, n int) error {
							attempts <- fmt.Sprint(mono.CallFrom(ctx).Attempt(), " ", time.Since(began))
							if _, err := call(ctx, n); err != nil {
								return fmt.Errorf("asking: %w", err)
							}
							return nil
						})
					}))
					begin(t, app)
					if err := h.send(t.Context(), app, 7); err != nil {
						t.Fatal(err)
					}
					if got := []string{<-attempts, <-attempts}; !slices.Equal(got, []string{"1 0s", "2 1m30s"}) {
						t.Errorf("attempts %q", got)
					}
				})
			})
		}
	}
}

// The last attempt is the last, whatever time its error carries.
func TestRetryDelayDoesNotAddAttempts(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		for _, h := range delayedKinds("delay.last", 2) {
			app := b.start(t, module("worker", func(s *mono.Scope) {
				h.handle(s, func(context.Context, int) error { return mono.RetryAfter(10*time.Millisecond, errors.New("busy")) })
			}))
			if err := h.send(t.Context(), app, 7); err != nil {
				t.Fatal(err)
			}
			if l := awaitDeadLetters(t, h.deadLetters(app), 1)[0]; l.Attempts != 2 || l.Reason != mono.ReasonAttempts {
				t.Errorf("got %+v", l)
			}
		}
	})
}

// Later messages of a key wait for the one that waits. Those of another key do not.
func TestRetryDelayKeepsTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("delay.keys", mono.Partitions(1), mono.Backoff(mono.Constant(1000*time.Hour))).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		var tr trace
		done := make(chan struct{}, 10)
		app := b.start(t, module("worker", func(sc *mono.Scope) {
			s.Handle(sc, func(ctx context.Context, j job) error {
				if j.N == 1 && mono.CallFrom(ctx).Attempt() == 1 {
					return mono.RetryAfter(300*time.Millisecond, errors.New("busy"))
				}
				tr.add(fmt.Sprint(j.Key, j.N))
				done <- struct{}{}
				return nil
			}, mono.Concurrency(4))
		}))
		for _, j := range []job{{N: 1, Key: "a"}, {N: 2, Key: "a"}, {N: 3, Key: "b"}, {N: 4, Key: "a"}} {
			if err := s.Append(t.Context(), app, j); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			<-done
		}
		if got := tr.all(); !slices.Equal(got, []string{"b3", "a1", "a2", "a4"}) {
			t.Errorf("handled in the order %q", got)
		}
	})
}

// A time that is not a number of milliseconds is ignored, and a long one is a day.
func TestRetryDelayOfAForeignProvider(t *testing.T) {
	t.Parallel()
	s := mono.NewService[int, int]("delay.foreign")
	day := 24 * time.Hour
	onBackends(t, func(t *testing.T, b backend) {
		tr := b.connect()
		header := make(chan string, 1)
		sub, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "services.delay.foreign", Group: "q"}, transport.Serial(func(m *transport.Message) {
			reply := &transport.Message{Subject: m.Reply}
			reply.Header.SetError(&mono.Error{Code: mono.ResourceExhausted, Outcome: mono.OutcomeAnswered, Message: "busy"})
			reply.Header.Set("Mono-Retry-After-Ms", <-header)
			if err := tr.Publish(t.Context(), reply); err != nil {
				t.Error(err)
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sub.Drain(context.Background()) })
		app := b.app(t, module("caller", func(sc *mono.Scope) { sc.Use(s) }))
		app.Remote(s)
		begin(t, app)
		for text, want := range map[string]time.Duration{
			"0": 0, "1": time.Millisecond, "1500": 1500 * time.Millisecond, "86400001": day, "9223372036854775807": day, "99999999999999999999999": day,
			"": -1, "-1": -1, "+1": -1, "1.5": -1, "1s": -1, "soon": -1, "0x10": -1,
		} {
			header <- text
			_, err := s.Call(t.Context(), app, 1)
			d, ok := mono.RetryDelay(err)
			if !ok {
				d = -1
			}
			if d != want || mono.CodeOf(err) != mono.ResourceExhausted || !mono.IsHandlerError(err) {
				t.Errorf("%q: got %v, %v: want %v", text, d, err, want)
			}
		}
	})
}

// RetryDelay returns false for an error without a time.
func TestRetryDelayOfOtherErrors(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, errors.New("x"), mono.ErrResourceExhausted, mono.Permanent(nil)} {
		if d, ok := mono.RetryDelay(err); d != 0 || ok {
			t.Errorf("%v: got %v, %v", err, d, ok)
		}
	}
	if d, _ := mono.RetryDelay(mono.RetryAfter(1<<62, nil)); d != 365*24*time.Hour {
		t.Errorf("got %v, want a year", d)
	}
}
