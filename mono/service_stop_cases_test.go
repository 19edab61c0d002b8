package mono_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
)

// begun starts an App. The case must stop it.
func (s *caseRun) begun(app *mono.App, modules ...mono.Module) *mono.App {
	app.Add(modules...)
	if err := app.Start(s.Context()); err != nil {
		s.Fatal(err)
	}
	return app
}

// calling calls ask in a new goroutine and returns a channel for the error.
func calling(app *mono.App) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := ask.Call(context.Background(), app, question{})
		ended <- err
	}()
	return ended
}

var serviceStopCases = []serviceCase{
	{"Stop waits for handlers, and their callers get the replies", "", func(s *caseRun) {
		var tr trace
		entered, release := make(chan struct{}), make(chan struct{})
		app := s.begun(s.app(), &lifecycle{name: "slow",
			bind: func(sc *mono.Scope) error {
				ask.Handle(sc, func(ctx context.Context, _ question) (reply, error) {
					close(entered)
					<-release
					tr.add("handled")
					return reply{}, ctx.Err()
				})
				return nil
			},
			stop: func(context.Context) error { tr.add("stopped"); return nil }})
		called := calling(app)
		<-entered
		stopped := make(chan error, 1)
		go func() { stopped <- app.Stop(context.Background()) }()
		time.AfterFunc(tick, func() { close(release) })
		if err := <-called; err != nil {
			s.Errorf("the caller got %v", err)
		}
		if err := <-stopped; err != nil || !slices.Equal(tr.all(), []string{"handled", "stopped"}) {
			s.Errorf("Stop: %v, %q", err, tr.all())
		}
	}},
	{"a call to a stopped App is unavailable, and nothing was done", "", func(s *caseRun) {
		var client handler
		app := s.begun(s.app(), provider(echo), module("caller", func(sc *mono.Scope) { client = ask.Client(sc) }))
		if err := app.Stop(s.Context()); err != nil {
			s.Fatal(err)
		}
		_, err := client(s.Context(), question{})
		s.want(err, mono.Unavailable, mono.OutcomeNotDone, "test.ask")
		_, err = ask.Call(s.Context(), app, question{})
		s.want(err, mono.Unavailable, mono.OutcomeNotDone, "test.ask")
	}},
	{"Stop under load loses no reply, and rejected calls were not done", "", func(s *caseRun) {
		var handled atomic.Int64
		app := s.begun(s.app(), provider(counting(&handled), mono.Concurrency(8)))
		stopUnderLoad(s.TB, app, app, &handled)
	}},
	{"a module can call its dependencies while it stops", "", func(s *caseRun) {
		var inner error
		var dependency handler
		app := s.begun(s.app(),
			&lifecycle{name: "front",
				bind: func(sc *mono.Scope) error { dependency = ask.Client(sc); return nil },
				stop: func(ctx context.Context) error { _, inner = dependency(ctx, question{}); return nil }},
			provider(echo))
		if err := app.Stop(s.Context()); err != nil || inner != nil {
			s.Errorf("Stop: %v, its dependency: %v", err, inner)
		}
	}},
	{"local calls reach a module while it stops", reaches, func(s *caseRun) {
		var own error
		var self handler
		app := s.begun(s.app(), &lifecycle{name: "front",
			bind: func(sc *mono.Scope) error {
				self = ask.Client(sc)
				ask.Handle(sc, echo)
				return nil
			},
			stop: func(ctx context.Context) error { _, own = self(ctx, question{}); return nil }})
		if err := app.Stop(s.Context()); err != nil {
			s.Fatal(err)
		}
		if s.local(reaches) {
			if own != nil {
				s.Errorf("it was rejected: %v", own)
			}
		} else {
			s.want(own, mono.Unavailable, mono.OutcomeNotDone)
		}
		_, err := self(s.Context(), question{})
		s.want(err, mono.Unavailable, mono.OutcomeNotDone, "test.ask")
	}},
	{"Stop waits for calls that arrive while a module stops", reaches, func(s *caseRun) {
		if !s.local(reaches) {
			return // no call arrives
		}
		var ended atomic.Bool
		entered := make(chan struct{})
		var app *mono.App
		var called <-chan error
		app = s.begun(s.app(), &lifecycle{name: "front",
			bind: func(sc *mono.Scope) error {
				ask.Handle(sc, func(context.Context, question) (reply, error) {
					close(entered)
					<-time.After(tick)
					ended.Store(true)
					return reply{}, nil
				})
				return nil
			},
			stop: func(context.Context) error {
				called = calling(app)
				<-entered
				return nil
			}})
		if err := app.Stop(s.Context()); err != nil || !ended.Load() {
			s.Errorf("Stop: %v, the handler had ended: %v", err, ended.Load())
		}
		if err := <-called; err != nil {
			s.Errorf("the caller got %v", err)
		}
	}},
	{"if Stop runs out of time, callers of running handlers get an unknown outcome", waits, func(s *caseRun) {
		const callers = 100
		local := s.local(waits)
		var inside sync.WaitGroup
		inside.Add(callers)
		release := make(chan struct{})
		app := s.begun(s.app(mono.StopTimeout(tick)), provider(func(ctx context.Context, _ question) (reply, error) {
			inside.Done()
			<-ctx.Done()
			if !local {
				<-release // ignores its context
			}
			return reply{}, ctx.Err()
		}))
		var ended []<-chan error
		for range callers {
			ended = append(ended, calling(app))
		}
		inside.Wait()
		if err := app.Stop(context.Background()); !local && !errors.Is(err, mono.ErrDeadlineExceeded) {
			s.Errorf("Stop: %v", err)
		}
		for _, called := range ended {
			s.want(<-called, mono.Unavailable, mono.OutcomeUnknown, "ran out of time")
		}
		close(release)
	}},
	{"if Stop runs out of time, callers that wait for a handler learn that nothing was done", "", func(s *caseRun) {
		const callers = 10
		entered := make(chan struct{}, callers)
		app := s.begun(s.app(mono.StopTimeout(4*tick)), provider(func(ctx context.Context, _ question) (reply, error) {
			entered <- struct{}{}
			<-ctx.Done()
			return reply{}, ctx.Err()
		}, mono.Concurrency(1)))
		var ended []<-chan error
		for range callers {
			ended = append(ended, calling(app))
		}
		if <-entered; s.virtual() {
			synctest.Wait()
		}
		_ = app.Stop(context.Background())
		count := make(map[mono.Outcome]int)
		for _, called := range ended {
			err := <-called
			if count[mono.OutcomeOf(err)]++; mono.CodeOf(err) != mono.Unavailable {
				s.Errorf("a caller got %v", err)
			}
		}
		if count[mono.OutcomeNotDone] != callers-1 || count[mono.OutcomeUnknown] != 1 {
			s.Errorf("got %v", count)
		}
	}},
	{"a handler's context ends when the App runs out of time", "", func(s *caseRun) {
		saw := make(chan error, 1)
		entered := make(chan struct{})
		app := s.begun(s.app(mono.StopTimeout(tick)), provider(func(ctx context.Context, _ question) (reply, error) {
			close(entered)
			<-ctx.Done()
			saw <- ctx.Err()
			return reply{}, nil
		}))
		called := calling(app)
		<-entered
		_ = app.Stop(context.Background())
		if got := next(s, saw); got != context.Canceled {
			s.Errorf("the handler saw %v", got)
		}
		<-called
	}},
}
