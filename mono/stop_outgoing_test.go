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

// cutOff starts an App whose handler of q waits for the end of its context and returns
// the result of obey. It waits for a job to begin, and stops the App without time.
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

// As many stops as there are attempts, and more, make no dead letter of a job whose
// handlers obey: the job is handed back at once, and at its first attempt each time.
// Drop still counts.
func TestStopIsNoVerdict(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("stop.verdict", mono.MaxAttempts(1), mono.AckWait(time.Hour))
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
			if !errors.Is(err, mono.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "1 handlers of queue stop.verdict were cut off") {
				t.Errorf("Stop: %v", err)
			}
		}
		if _, err := cutOff(t, b, q, func(context.Context) error { return errors.New("the database reports the end of the context") }); err == nil {
			t.Error("Stop does not say that it cut off a handler")
		}
		if got := letters(t, q.DeadLetters(sender), mono.LetterFilter{}); len(got) > 0 {
			t.Errorf("the stops made dead letters: %+v", got)
		}
		_, _ = cutOff(t, b, q, func(ctx context.Context) error { return mono.Drop(ctx.Err()) })
		if l := awaitLetters(t, q.DeadLetters(sender), 1)[0]; l.Reason != mono.ReasonDropped || l.Attempts != 1 {
			t.Errorf("got %+v", l)
		}
	})
}

// The messages of an interrupted batch are handed back, too.
func TestStopIsNoVerdictAboutABatch(t *testing.T) {
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

// A handler that takes long can learn that a stop has begun, before its time is over.
func TestStoppingTellsHandlers(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("stop.told")
	onBackends(t, func(t *testing.T, b backend) {
		begun := make(chan bool, 1)
		app := b.app(t, module("worker", func(s *mono.Scope) {
			s.Use(q)
			q.Handle(s, func(ctx context.Context, _ job) error {
				begun <- true
				select {
				case <-mono.CallFrom(ctx).Stopping():
					return ctx.Err() // nil: there is time
				case <-ctx.Done():
					return errors.New("its time was over first")
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
		t.Error("outside a handler something stops")
	}
}

// Calls to another process that wait when the App stops get their answers, also for
// callers outside modules.
func TestStopWaitsForCallsOnTheirWay(t *testing.T) {
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
		for probe.Publish(context.Background(), app, job{}) == nil { // until sends are refused
			runtime.Gosched()
		}
		if answered.Load() > 0 {
			t.Error("a call has ended without an answer")
		}
		close(answer)
		if err := next(t, stopped); err != nil {
			t.Errorf("Stop: %v", err)
		}
		wait.Wait()
	})
}

// The appends of a module's Stop are acknowledged before the transport closes.
func TestStopWaitsForAcknowledgements(t *testing.T) {
	t.Parallel()
	st := mono.NewStream[job]("stop.last-words")
	onBackends(t, func(t *testing.T, b backend) {
		const n = 500
		var mu sync.Mutex
		var got []error
		var scope *mono.Scope
		app := b.app(t, &lifecycle{name: "talker",
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

// Calls without an answer at the end of the time to stop are named in the error.
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

// A handler that does not obey is named once.
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
	tr := slowReplays{inproc.New(nil), make(chan bool), make(chan bool)}
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
	l := awaitLetters(t, q.DeadLetters(app), 1)[0]
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
