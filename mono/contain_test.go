package mono_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// fussy is an error type whose Error method panics on a nil pointer. A nil *fussy in an
// error interface is not nil: a common mistake.
type fussy struct{ text string }

func (f *fussy) Error() string { return f.text }

// An error whose Error method panics counts as a panic of the function that returned it.
func TestPanicInErrorMethodIsContained(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		received := make(chan fact, 1)
		tried := mono.NewQueue[fact]("test.fussy", mono.MaxAttempts(1))
		app := p.app(t)
		app.Add(&lifecycle{name: "listener",
			bind: func(s *mono.Scope) error {
				ask.Handle(s, func(_ context.Context, q question) (reply, error) {
					if q.Text == "coded" {
						return reply{}, (*mono.Error)(nil)
					}
					return reply{}, (*fussy)(nil)
				})
				announced.Handle(s, func(_ context.Context, f fact) error {
					if f.N == 0 {
						return (*fussy)(nil)
					}
					received <- f
					return nil
				})
				tried.Handle(s, func(context.Context, fact) error { return (*fussy)(nil) })
				return nil
			},
			health: func(context.Context) error { return (*fussy)(nil) },
			stop:   func(context.Context) error { return (*fussy)(nil) }})
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "coded"} {
			if _, err := ask.Call(t.Context(), app, question{Text: text}); mono.CodeOf(err) != mono.Internal || !mono.IsHandlerError(err) {
				t.Errorf("%q: %v", text, err)
			}
		}
		for n := range 2 {
			if err := announced.Publish(t.Context(), app, fact{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		<-received
		if err := tried.Enqueue(t.Context(), app, fact{}); err != nil {
			t.Fatal(err)
		}
		awaitDeadLetters(t, tried.DeadLetters(app), 1)
		if c := app.Health(t.Context()).Modules["listener"]; c.Healthy || !strings.Contains(c.Message, "panicked") {
			t.Errorf("health: %+v", c)
		}
		if err := app.Stop(t.Context()); mono.CodeOf(err) != mono.Internal || !strings.Contains(err.Error(), "module listener") {
			t.Errorf("Stop: %v", err)
		}
	})
}

// A handler that calls runtime.Goexit, as FailNow of a test does, has failed: its caller
// gets an error, and its job is retried.
func TestGoexitInHandler(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		jobs := mono.NewQueue[fact]("test.goexit", mono.Backoff(mono.Constant(time.Millisecond)))
		batches := mono.NewStream[fact]("test.goexit-batches", mono.Backoff(mono.Constant(time.Millisecond)))
		done := make(chan int, 1)
		app := p.start(t, module("worker", func(s *mono.Scope) {
			ask.Handle(s, func(context.Context, question) (reply, error) {
				runtime.Goexit()
				return reply{}, nil
			})
			jobs.Handle(s, func(ctx context.Context, _ fact) error {
				if n := mono.CallFrom(ctx).Attempt(); n > 1 {
					done <- n
					return nil
				}
				runtime.Goexit()
				return nil
			}, mono.Concurrency(2))
			batches.HandleBatch(s, func(_ context.Context, batch []mono.Message[fact]) error {
				if n := batch[0].Attempt; n > 1 {
					done <- n
					return nil
				}
				runtime.Goexit()
				return nil
			}, mono.BatchSize(1), mono.Group("batches"))
		}))
		if p.noLocalCalls { // a local call ends with its caller's goroutine
			if _, err := ask.Call(t.Context(), app, question{}); mono.CodeOf(err) != mono.Internal || !mono.IsHandlerError(err) || !strings.Contains(err.Error(), "Goexit") {
				t.Errorf("the caller got %v", err)
			}
		}
		for _, send := range []func(context.Context, mono.Binder, fact) error{jobs.Enqueue, batches.Append} {
			if err := send(t.Context(), app, fact{}); err != nil {
				t.Fatal(err)
			}
			if n := <-done; n != 2 {
				t.Errorf("done at attempt %d", n)
			}
		}
	})
}

// If messages are handled one at a time, Goexit ends the goroutine that receives them,
// and the module becomes unhealthy.
func TestGoexitInSerialHandlerMakesModuleUnhealthy(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t)
		app.Add(module("listener", func(s *mono.Scope) {
			announced.Handle(s, func(context.Context, fact) error { runtime.Goexit(); return nil })
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := announced.Publish(t.Context(), app, fact{}); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		var c mono.HealthResult
		for ; c.Message == ""; <-tick.C {
			c = app.Health(t.Context()).Modules["listener"]
		}
		if c.Healthy || !strings.Contains(c.Message, "event test.announced: nothing is received any more") || !strings.Contains(c.Message, "Goexit") {
			t.Errorf("health: %+v", c)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
}

// The messages that waited for a handler that called Goexit, and all later ones, go to
// other receivers.
func TestGoexitInSerialHandlerReleasesMessages(t *testing.T) {
	t.Parallel()
	asked := mono.NewService[question, reply]("test.serial", mono.Concurrency(1), mono.Timeout(5*time.Second))
	history := mono.NewStream[job]("test.serial-history", mono.Backoff(mono.Constant(time.Millisecond))).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		app := b.app(t, module("worker", func(s *mono.Scope) {
			history.Handle(s, func(context.Context, job) error { runtime.Goexit(); return nil })
		}), module("server", func(s *mono.Scope) {
			asked.Handle(s, func(context.Context, question) (reply, error) { runtime.Goexit(); return reply{}, nil })
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer app.Stop(context.Background()) // reports a call that arrived during the exit
		caller := b.app(t, module("caller", func(s *mono.Scope) { s.Use(asked, history) }))
		caller.Remote(asked)
		begin(t, caller)
		for n := range 40 {
			if err := history.Append(t.Context(), caller, job{N: n, Key: fmt.Sprint(n)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := asked.Call(t.Context(), caller, question{}); !strings.Contains(fmt.Sprint(err), "Goexit") {
			t.Errorf("got %v", err)
		}
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for app.Health(t.Context()).Modules["worker"].Healthy {
			<-tick.C
		}
		got := make(chan handled, 100)
		b.start(t, consumer("worker", history, got, succeed), module("server", func(s *mono.Scope) {
			asked.Handle(s, func(context.Context, question) (reply, error) { return reply{}, nil })
		}))
		for range 40 {
			next(t, got)
		}
		for calls, failed := 0, 0; calls < 20; calls++ {
			if _, err := asked.Call(t.Context(), caller, question{}); err != nil {
				if failed++; failed > 2 { // the first may arrive during the exit
					t.Fatal(err)
				}
				calls = 0
			}
		}
	})
}

// A hook that calls Goexit is named in the error at once.
func TestGoexitInHookIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := func(context.Context) error { runtime.Goexit(); return nil }
		app := newApp(t)
		app.Add(&lifecycle{name: "gone", health: end, stop: end})
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if c := app.Health(t.Context()).Modules["gone"]; c.Healthy || !strings.Contains(c.Message, "Goexit") {
			t.Errorf("health: %+v", c)
		}
		if err := app.Stop(t.Context()); !strings.Contains(err.Error(), "Stop of module gone") || time.Since(began) > 0 {
			t.Errorf("Stop: %v after %v", err, time.Since(began))
		}
		again := newApp(t)
		again.Add(&lifecycle{name: "gone", start: end})
		if err := again.Start(t.Context()); mono.CodeOf(err) != mono.Internal || !strings.Contains(err.Error(), "module gone") || time.Since(began) > 0 {
			t.Errorf("Start: %v after %v", err, time.Since(began))
		}
	})
}

// fragile is a codec that panics on the text "boom".
type fragile struct{}

func (fragile) ContentType() string { return "application/fragile" }

func (fragile) Marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if strings.Contains(string(data), "boom") {
		panic("boom")
	}
	return data, err
}

func (fragile) Unmarshal(data []byte, v any) error {
	if strings.Contains(string(data), "boom") {
		panic("boom")
	}
	return json.Unmarshal(data, v)
}

func (fragile) CheckType(t reflect.Type) error {
	if t.Kind() == reflect.Chan {
		return errors.New("no channels")
	}
	return nil
}

// A panic of a codec or of a key function is an error of the send. A panic during
// decoding is an error reply.
func TestPanicInCodecIsContained(t *testing.T) {
	t.Parallel()
	var _ codec.TypeChecker = fragile{}
	onPaths(t, func(t *testing.T, p path) {
		service := mono.NewService[question, reply]("test.fragile", mono.Codec(fragile{}))
		channels := mono.NewEvent[chan int]("test.fragile-channels", mono.Codec(fragile{}))
		keyless := mono.NewEvent[fact]("test.keyless").KeyedBy(func(fact) string { panic("no key") })
		app := p.start(t, module("provider", func(s *mono.Scope) {
			service.Handle(s, func(_ context.Context, q question) (reply, error) {
				if q.Text == "reply" {
					return reply{Text: "boom"}, nil
				}
				return reply{Text: q.Text}, nil
			})
		}))
		if got, err := service.Call(t.Context(), app, question{Text: "fine"}); err != nil || got.Text != "fine" {
			t.Errorf("got %v, %v", got, err)
		}
		for _, text := range []string{"boom", "reply"} {
			if _, err := service.Call(t.Context(), app, question{Text: text}); err == nil || !strings.Contains(err.Error(), "application/fragile panicked") {
				t.Errorf("%s: %v", text, err)
			}
		}
		m, err := mono.Raw(app).Request(t.Context(), &transport.Message{Subject: "services.test.fragile", Body: []byte(`"boom"`),
			Header: transport.Header{{Name: transport.HeaderContentType, Value: "application/fragile"}}})
		if err != nil || transport.ErrorFromHeader(m.Header) == nil {
			t.Errorf("an undecodable request: %v, %v", m, err)
		}
		if err := keyless.Publish(t.Context(), app, fact{}); mono.CodeOf(err) != mono.Internal || mono.OutcomeOf(err) != mono.OutcomeNotDone {
			t.Errorf("a key function: %v", err)
		}
		again := p.app(t)
		again.Add(module("sender", func(s *mono.Scope) { channels.Publisher(s) }))
		requireProblem(t, problems(t, again), "event test.fragile-channels", "no channels")
	})
}

// untitled is a codec whose ContentType panics.
type untitled struct{ fragile }

func (untitled) ContentType() string { panic("no name") }

// An App does not start if ContentType of a codec panics, and can be stopped.
func TestCodecWithPanickingContentType(t *testing.T) {
	t.Parallel()
	for name, app := range map[string]*mono.App{
		"the App's":  newApp(t, mono.DefaultCodec(untitled{})),
		"a handle's": newApp(t),
	} {
		app.Add(module("provider", func(s *mono.Scope) {
			mono.NewService[question, reply]("test.untitled", mono.Codec(untitled{})).Handle(s, echo)
		}))
		if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "panicked") || app.State() != mono.StateCreated {
			t.Errorf("%s codec: %v, the App is %s", name, err, app.State())
		}
		if err := app.Stop(t.Context()); err != nil || app.State() != mono.StateStopped {
			t.Errorf("%s codec: Stop: %v, the App is %s", name, err, app.State())
		}
	}
}

// Start reports each middleware, observer and module that is nil, unnamed or panics.
func TestStartReportsInvalidMiddlewareObserversAndModules(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	app.Use(nil, mono.MiddlewareFunc(nil))
	app.Observe(nil, mono.ObserverFunc(nil))
	app.Add(nameless{}, provider(echo), mono.NewModule("idle", nil))
	app.Plugin("", provider(echo))
	got := problems(t, app)
	requireProblem(t, got, "a middleware is nil")
	requireProblem(t, got, "an observer is nil")
	requireProblem(t, got, "mono_test.nameless panicked")
	requireProblem(t, got, "module idle", "NewModule: want a bind function")
	requireProblem(t, got, "has no name: give Plugin one")

	app = newApp(t)
	app.Use(mono.MiddlewareFunc(func(mono.Next) mono.Next { return nil }))
	app.Use(wraps{})
	app.Add(provider(echo))
	got = problems(t, app)
	requireProblem(t, got, "MiddlewareFunc returned nil")
	requireProblem(t, got, "mono_test.wraps panicked")
}

type nameless struct{}

func (nameless) Name() string           { panic("no name") }
func (nameless) Bind(*mono.Scope) error { return nil }

type wraps struct{}

func (wraps) Wrap(mono.Next) mono.Next { panic("no wrap") }

// Health can be encoded in JSON even if one of its details cannot.
func TestHealthDetailsThatJSONCannotEncode(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	app.Add(&lifecycle{name: "odd", health: func(ctx context.Context) error {
		mono.ReportDetail(ctx, "channel", make(chan int))
		mono.ReportDetail(ctx, "ratio", math.NaN())
		mono.ReportDetail(ctx, "rows", 5)
		return nil
	}})
	begin(t, app)
	text, err := json.Marshal(app.Health(t.Context()))
	for _, want := range []string{`"rows":5`, "unsupported type: chan int", "NaN", `"healthy":true`} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s, %v", want, text, err)
		}
	}
}
