package mono_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// cutOff starts an App whose handler of q waits for the end of its context and returns the
// result of obey. It waits until a job has begun, then stops the App with an ended context.
func cutOff(t *testing.T, b backend, q mono.Queue[job], obey func(context.Context) error) (attempt int, err error) {
	t.Helper()
	begun := make(chan int, 10)
	app := b.app(t, module("worker", func(s *mono.Scope) {
		s.Use(q)
		q.Handle(s, func(ctx context.Context, _ job) error {
			begun <- mono.CallFrom(ctx).Attempt()
			<-ctx.Done()
			return obey(ctx)
		})
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	attempt = next(t, begun)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	return attempt, app.Stop(over)
}

// A stop does not count as an attempt: if handlers return at the end of their context, the
// job is handed back at once, each time with attempt 1. Permanent still ends the job.
func TestStopHandsJobsBack(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("stop.handed-back", mono.MaxAttempts(1), mono.AckWait(time.Hour))
	onBackends(t, func(t *testing.T, b backend) {
		sender := b.start(t, module("sender", func(s *mono.Scope) { s.Use(q) }))
		if err := q.Enqueue(t.Context(), sender, job{N: 1}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			attempt, err := cutOff(t, b, q, func(ctx context.Context) error { return ctx.Err() })
			if attempt != 1 {
				t.Errorf("attempt %d, want 1", attempt)
			}
			if !errors.Is(err, mono.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "1 handlers of queue stop.handed-back were cut off") {
				t.Errorf("Stop: %v", err)
			}
		}
		if _, err := cutOff(t, b, q, func(context.Context) error { return errors.New("the database reports the end of the context") }); err == nil {
			t.Error("Stop does not report the interrupted handler")
		}
		if got := listDeadLetters(t, q.DeadLetters(sender), mono.DeadLetterFilter{}); len(got) > 0 {
			t.Errorf("the stops made dead letters: %+v", got)
		}
		_, _ = cutOff(t, b, q, func(ctx context.Context) error { return mono.Permanent(ctx.Err()) })
		if l := awaitDeadLetters(t, q.DeadLetters(sender), 1)[0]; l.Reason != mono.ReasonPermanent || l.Attempts != 1 {
			t.Errorf("got %+v", l)
		}
	})
}

// The messages of an interrupted batch are also handed back.
func TestStopHandsBatchesBack(t *testing.T) {
	t.Parallel()
	st := mono.NewStream[job]("stop.batch", mono.MaxAttempts(1), mono.AckWait(time.Hour))
	onBackends(t, func(t *testing.T, b backend) {
		attempts := make(chan int, 100)
		start := func(obey bool) *mono.App {
			app := b.app(t, module("worker", func(s *mono.Scope) {
				s.Use(st)
				st.HandleBatch(s, func(ctx context.Context, batch []mono.Message[job]) error {
					for _, m := range batch {
						attempts <- m.Attempt
					}
					if obey {
						<-ctx.Done()
					}
					return ctx.Err()
				}, mono.BatchSize(3), mono.BatchWait(time.Minute))
			}))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			return app
		}
		for round := range 3 {
			app := start(round < 2)
			if round == 0 {
				for n := range 3 {
					if err := st.Append(t.Context(), app, job{N: n}); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 3 {
				if attempt := next(t, attempts); attempt != 1 {
					t.Errorf("attempt %d, want 1", attempt)
				}
			}
			over, cancel := context.WithCancel(t.Context())
			if round < 2 {
				cancel()
			}
			_ = app.Stop(over)
			cancel()
		}
	})
}

// Stopping notifies a running handler that Stop has begun, before its context ends.
func TestStoppingNotifiesHandlers(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("stop.announced")
	onBackends(t, func(t *testing.T, b backend) {
		begun := make(chan bool, 1)
		app := b.app(t, module("worker", func(s *mono.Scope) {
			s.Use(q)
			q.Handle(s, func(ctx context.Context, _ job) error {
				begun <- true
				select {
				case <-mono.CallFrom(ctx).Stopping():
					return ctx.Err() // nil, since time is left
				case <-ctx.Done():
					return errors.New("the context ended first")
				}
			})
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := q.Enqueue(t.Context(), app, job{}); err != nil {
			t.Fatal(err)
		}
		next(t, begun)
		if err := app.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	if mono.CallFrom(t.Context()).Stopping() != nil {
		t.Error("Stopping outside a handler is not nil")
	}
}

// Stop waits for the replies of calls to another process, also for callers outside modules.
func TestStopWaitsForOutgoingCalls(t *testing.T) {
	t.Parallel()
	probe := mono.NewEvent[job]("stop.probe")
	onBackends(t, func(t *testing.T, b backend) {
		const callers = 16
		begun, answer := make(chan bool, callers), make(chan bool)
		b.start(t, provider(func(context.Context, question) (reply, error) {
			begun <- true
			<-answer
			return reply{Text: "late"}, nil
		}))
		app := b.app(t, module("front", func(s *mono.Scope) { s.Use(ask) }))
		app.Remote(ask)
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		var answered atomic.Int64
		for range callers {
			wait.Go(func() {
				if got, err := ask.Call(context.Background(), app, question{}); err != nil || got.Text != "late" {
					t.Errorf("got %v, %v", got, err)
				}
				answered.Add(1)
			})
		}
		for range callers {
			next(t, begun)
		}
		stopped := make(chan error, 1)
		go func() { stopped <- app.Stop(context.Background()) }()
		for probe.Publish(context.Background(), app, job{}) == nil { // until sends are rejected
			runtime.Gosched()
		}
		if answered.Load() > 0 {
			t.Error("a call ended without a reply")
		}
		close(answer)
		if err := next(t, stopped); err != nil {
			t.Errorf("Stop: %v", err)
		}
		wait.Wait()
	})
}

// Appends in the Stop of a module are acknowledged before the transport closes.
func TestStopWaitsForAcknowledgements(t *testing.T) {
	t.Parallel()
	st := mono.NewStream[job]("stop.last-words")
	onBackends(t, func(t *testing.T, b backend) {
		const n = 500
		var mu sync.Mutex
		var got []error
		var scope *mono.Scope
		app := b.app(t, &lifecycle{name: "appender",
			bind: func(s *mono.Scope) error { scope = s; s.Use(st); return nil },
			stop: func(ctx context.Context) error {
				for i := range n {
					err := st.AppendAsync(ctx, scope, job{N: i}, func(err error) {
						mu.Lock()
						defer mu.Unlock()
						got = append(got, err)
					})
					if err != nil {
						return err
					}
				}
				return nil
			}})
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if err := errors.Join(got...); len(got) != n || err != nil {
			t.Errorf("%d of %d acknowledgements, %v", len(got), n, err)
		}
	})
}

// The error of Stop counts the calls that have no reply when its time ends.
func TestStopNamesCallsWithoutAnswers(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		begun, answer := make(chan bool, 1), make(chan bool)
		b.start(t, provider(func(context.Context, question) (reply, error) {
			begun <- true
			<-answer
			return reply{}, nil
		}))
		t.Cleanup(func() { close(answer) })
		app := b.app(t, module("front", func(s *mono.Scope) { s.Use(ask) }))
		app.Remote(ask)
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		called := make(chan error, 1)
		go func() {
			_, err := ask.Call(context.Background(), app, question{})
			called <- err
		}()
		next(t, begun)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := app.Stop(over); !errors.Is(err, mono.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "1 calls and appends have no answer yet") {
			t.Errorf("Stop: %v", err)
		}
		if err := next(t, called); mono.OutcomeOf(err) != mono.OutcomeUnknown {
			t.Errorf("the caller got %v", err)
		}
	})
}

// The error of Stop names a handler that ignores its context once.
func TestStopNamesAStubbornHandlerOnce(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("stop.stubborn")
	onBackends(t, func(t *testing.T, b backend) {
		begun, release := make(chan bool, 1), make(chan bool)
		t.Cleanup(func() { close(release) })
		app := b.app(t, module("worker", func(s *mono.Scope) {
			s.Use(q)
			q.Handle(s, func(context.Context, job) error {
				begun <- true
				<-release
				return nil
			})
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := q.Enqueue(t.Context(), app, job{}); err != nil {
			t.Fatal(err)
		}
		next(t, begun)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		err := app.Stop(over)
		if err == nil || strings.Count(err.Error(), "stop.stubborn") != 1 || !strings.Contains(err.Error(), "1 still run") {
			t.Errorf("Stop: %v", err)
		}
	})
}

// slowReplays is a transport that takes replayed dead letters when it is told to.
type slowReplays struct {
	transport.Transport
	begun, may chan bool
}

type slowReplayLog struct {
	transport.Log
	slowReplays
}

func (s slowReplays) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	l, err := s.Transport.Log(ctx, c)
	return slowReplayLog{l, s}, err
}

func (l slowReplayLog) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	if strings.HasPrefix(o.ID, "replay-") {
		l.begun <- true
		<-l.may
	}
	return l.Log.Append(ctx, m, o)
}

// A replay that has begun is finished before the transport closes. Later ones are
// refused.
func TestStopWaitsForReplays(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("stop.replay", mono.MaxAttempts(1))
	tr := slowReplays{inproc.New(inproc.Options{}), make(chan bool), make(chan bool)}
	app := backend{"inproc", func() transport.Transport { return tr }}.app(t, module("worker", func(s *mono.Scope) {
		s.Use(q)
		q.Handle(s, func(context.Context, job) error { return errors.New("as ever") })
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := q.Enqueue(t.Context(), app, job{}); err != nil {
		t.Fatal(err)
	}
	l := awaitDeadLetters(t, q.DeadLetters(app), 1)[0]
	replayed, stopped := make(chan error, 1), make(chan error, 1)
	go func() { replayed <- q.DeadLetters(app).Replay(t.Context(), l) }()
	next(t, tr.begun)
	go func() { stopped <- app.Stop(t.Context()) }()
	await(t, "replays to be refused", func() bool {
		return mono.CodeOf(q.DeadLetters(app).Discard(t.Context(), l)) == mono.Unavailable
	})
	close(tr.may)
	if err := next(t, replayed); err != nil {
		t.Error(err)
	}
	if err := next(t, stopped); err != nil {
		t.Error(err)
	}
}
