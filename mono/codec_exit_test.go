package mono_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// exitReply ends the goroutine that encodes it.
type exitReply struct{ N int }

func (exitReply) MarshalJSON() ([]byte, error) { runtime.Goexit(); return nil, nil }

// A reply, or the value of a failure, whose encoding ends the goroutine is an internal
// error at the caller, at once. If that goroutine receives the calls, Health reports it.
func TestEncoderOfAReplyEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	failure := mono.NewFailure[exitReply]("exit.failure", mono.FailedPrecondition)
	for name, answer := range map[string]func() (any, error){
		"reply":   func() (any, error) { return exitReply{1}, nil },
		"failure": func() (any, error) { return nil, failure.With(exitReply{1}) },
	} {
		for _, concurrency := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := backend{"inproc", inprocBackend(t)}
					s := mono.NewService[int, any]("exit", mono.Concurrency(concurrency))
					app := b.app(t, module("m", func(sc *mono.Scope) {
						s.Handle(sc, func(context.Context, int) (any, error) { return answer() })
					}))
					client := b.app(t)
					client.Remote(s)
					begin(t, app)
					begin(t, client)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if _, err := s.Call(ctx, client, 1); mono.CodeOf(err) != mono.Internal {
						t.Errorf("concurrency %d: got %v", concurrency, err)
					}
					if healthy := app.Health(t.Context()).Healthy; healthy != (concurrency > 1) {
						t.Errorf("concurrency %d: healthy is %v", concurrency, healthy)
					}
				})
			})
		}
	}
}

// exitMessage ends the goroutine that decodes an N of 1, and cannot be decoded with 0.
type exitMessage struct{ N int }

func (*exitMessage) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `{"N":0}`:
		return errors.New("undecodable")
	case `{"N":1}`:
		runtime.Goexit()
	}
	return nil
}

// outcomes collects the results of stored messages.
type outcomes struct {
	retried atomic.Int64
	stuck   atomic.Int64
	mu      sync.Mutex
	dead    []string
}

func (o *outcomes) Observe(observation mono.Observation) {
	switch of := observation.(type) {
	case mono.MessageRetried:
		o.retried.Add(1)
	case mono.HandlerStuck:
		o.stuck.Add(1)
	case mono.MessageDeadLettered:
		o.mu.Lock()
		defer o.mu.Unlock()
		o.dead = append(o.dead, of.ID+" "+string(of.Reason))
	}
}

// A message whose decoding ends the goroutine is a dead letter at once. The other
// messages of its batch are handled.
func TestDecoderOfAStoredMessageEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	for _, batches := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := backend{"inproc", inprocBackend(t)}
			s := mono.NewStream[exitMessage]("exit", mono.MaxAttempts(3), mono.Backoff(mono.Constant(0)))
			var handled atomic.Int64
			app := b.app(t, module("m", func(sc *mono.Scope) {
				sc.Use(s)
				if !batches {
					s.Handle(sc, func(context.Context, exitMessage) error { handled.Add(1); return nil }, mono.Unordered(), mono.Concurrency(4))
					return
				}
				s.HandleBatch(sc, func(_ context.Context, all []mono.Message[exitMessage]) error {
					handled.Add(int64(len(all)))
					return nil
				}, mono.BatchSize(4))
			}))
			got := new(outcomes)
			app.Observe(got)
			begin(t, app)
			for i, id := range []string{"good", "undecodable", "exits", "last"} {
				if err := s.With(mono.DedupID(id)).Append(t.Context(), app, exitMessage{[]int{2, 0, 1, 3}[i]}); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(time.Minute)
			synctest.Wait()
			slices.Sort(got.dead)
			want := []string{"exits undecodable", "undecodable undecodable"}
			if !slices.Equal(got.dead, want) || got.retried.Load() != 0 || handled.Load() != 2 {
				t.Errorf("batches %v: dead letters %q, %d retried, %d handled: want %q, 0 and 2", batches, got.dead, got.retried.Load(), handled.Load(), want)
			}
		})
	}
}

// lateDeadLetters is a transport that takes 200 ms to store a dead letter.
type lateDeadLetters struct{ transport.Transport }

func (s lateDeadLetters) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	l, err := s.Transport.Log(ctx, c)
	if err != nil || c.Metadata["mono-dead-letters-of"] == "" {
		return l, err
	}
	return lateLog{l}, nil
}

type lateLog struct{ transport.Log }

func (l lateLog) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	<-time.After(200 * time.Millisecond)
	return l.Log.Append(ctx, m, o)
}

// The time to store the dead letters of a batch does not count as time of its handler,
// neither for Timeout nor for StuckAfter.
func TestDeadLettersOfABatchTakeNoTimeOfItsHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := backend{"inproc", inprocBackend(t)}
		s := mono.NewStream[exitMessage]("slow", mono.Timeout(100*time.Millisecond), mono.StuckAfter(150*time.Millisecond))
		var handled atomic.Int64
		var app *mono.App
		app = mono.New(lateDeadLetters{b.connect()}, quiet(t)).Add(module("m", func(sc *mono.Scope) {
			sc.Use(s)
			s.HandleBatch(sc, func(_ context.Context, all []mono.Message[exitMessage]) error {
				handled.Add(int64(len(all)))
				<-time.After(10 * time.Millisecond)
				if h := app.Health(context.Background()); !h.Healthy {
					t.Errorf("got %+v", h.Modules)
				}
				return nil
			}, mono.BatchSize(2))
		}))
		got := new(outcomes)
		app.Observe(got)
		begin(t, app)
		for n := range 2 {
			if err := s.Append(t.Context(), app, exitMessage{2 * n}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Minute)
		if handled.Load() != 1 || got.retried.Load() != 0 || got.stuck.Load() != 0 || len(got.dead) != 1 {
			t.Errorf("%d handled, %d retried, %d stuck, dead letters %q: want 1, 0, 0 and one", handled.Load(), got.retried.Load(), got.stuck.Load(), got.dead)
		}
	})
}

// A start that fails before its receivers are compiled can be stopped in no time.
func TestStopOfAFailedStartWithoutTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := backend{"inproc", inprocBackend(t)}
		s, missing := mono.NewService[int, int]("short"), mono.NewService[int, int]("missing")
		app := mono.New(b.connect(), quiet(t), mono.StopTimeout(time.Nanosecond)).Add(module("m", func(sc *mono.Scope) {
			missing.Client(sc)
			s.Handle(sc, func(context.Context, int) (int, error) { return 1, nil })
		}))
		if err := app.Start(t.Context()); err == nil {
			t.Error("the App has started")
		}
		synctest.Wait()
	})
}
