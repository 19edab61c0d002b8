package mono_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"gomono.dev/mono"
)

// verdict is a value of a failure and also an error.
type verdict struct{ Reason string }

func (v verdict) Error() string { return v.Reason }

var (
	judged  = mono.NewFailure[verdict]("test.judged", mono.PermissionDenied)
	precise = mono.NewFailure[float64]("test.precise", mono.Aborted)
	linked  = mono.NewFailure[*shortage]("test.linked", mono.NotFound)
	refused = mono.NewFailure[*verdict]("test.refused", mono.Aborted)
)

// failing is a handler that returns err.
func failing(err error) handler {
	return func(context.Context, question) (reply, error) { return reply{}, err }
}

var serviceErrorCases = []serviceCase{
	{"an error keeps its code and text", "", func(s *caseRun) {
		err := s.fails(failing(mono.Errorf(mono.NotFound, "no %s, 100%% gone\nreally", "öl")))
		s.want(err, mono.NotFound, mono.OutcomeAnswered, "no öl, 100% gone\nreally")
		if !errors.Is(err, mono.ErrNotFound) || !mono.IsHandlerError(err) {
			s.Errorf("got %v, handler error %v", err, mono.IsHandlerError(err))
		}
	}},
	{"an error without a code is unknown, with its text", "", func(s *caseRun) {
		s.want(s.fails(failing(errors.New("plain"))), mono.Unknown, mono.OutcomeAnswered, "plain")
	}},
	{"an unknown code keeps its name", "", func(s *caseRun) {
		s.want(s.fails(failing(mono.Errorf("teapot", "short and stout"))), "teapot", mono.OutcomeAnswered, "stout")
	}},
	{"a code that no header can carry is unknown", "", func(s *caseRun) {
		for _, code := range []mono.Code{"two\nlines", " padded ", mono.Code(strings.Repeat("x", 65))} {
			s.want(s.fails(failing(mono.Errorf(code, "odd"))), mono.Unknown, mono.OutcomeAnswered, "odd")
		}
	}},
	{"a text is cut after 4096 bytes", "", func(s *caseRun) {
		err := s.fails(failing(errors.New(strings.Repeat("ü", 4096))))
		if n := strings.Count(err.Error(), "ü"); n != 2048 {
			s.Errorf("%d of 4096 characters of 2 bytes arrived", n)
		}
	}},
	{"a wrapped code counts, and the text of the wrapping stays", "", func(s *caseRun) {
		err := s.fails(failing(fmt.Errorf("row 5: %w", mono.Errorf(mono.OutOfRange, "too far"))))
		s.want(err, mono.OutOfRange, mono.OutcomeAnswered, "row 5", "too far")
	}},
	{"a sentinel has its code, wherever it comes from", "", func(s *caseRun) {
		err := s.fails(failing(fmt.Errorf("row 5: %w", mono.ErrNotFound)))
		s.want(err, mono.NotFound, mono.OutcomeAnswered, "row 5")
	}},
	{"the cause of an error is not transferred", "", func(s *caseRun) {
		err := s.fails(failing(mono.Errorf(mono.Internal, "wrapped: %w", context.Canceled)))
		s.want(err, mono.Internal, mono.OutcomeAnswered)
		if errors.Is(err, context.Canceled) {
			s.Errorf("the cause was transferred: %v", err)
		}
	}},
	{"an error of a context other than the caller's is an error of the handler", "", func(s *caseRun) {
		err := s.fails(failing(context.DeadlineExceeded))
		s.want(err, mono.DeadlineExceeded, mono.OutcomeAnswered)
		if !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("got %v", err)
		}
	}},
	{"an error of Permanent or RetryAfter keeps its code and text", "", func(s *caseRun) {
		s.want(s.fails(failing(mono.Permanent(mono.Errorf(mono.Aborted, "lost")))), mono.Aborted, mono.OutcomeAnswered, "lost")
		s.want(s.fails(failing(mono.RetryAfter(tick, mono.Errorf(mono.Aborted, "lost")))), mono.Aborted, mono.OutcomeAnswered, "lost")
	}},
	{"an error carries the time to wait", "", func(s *caseRun) {
		busy := mono.Errorf(mono.ResourceExhausted, "busy")
		for _, c := range []struct {
			err  error
			want time.Duration
			ok   bool
		}{
			{busy, 0, false},
			{mono.RetryAfter(0, busy), 0, true},
			{mono.RetryAfter(-time.Hour, busy), 0, true},
			{mono.RetryAfter(1500*time.Millisecond, busy), 1500 * time.Millisecond, true},
			{mono.RetryAfter(1, busy), time.Millisecond, true},
			{mono.RetryAfter(math.MaxInt64, busy), 24 * time.Hour, true},
			{fmt.Errorf("row 5: %w", mono.RetryAfter(time.Second, busy)), time.Second, true},
			{mono.Errorf(mono.Unavailable, "payments: %w", mono.RetryAfter(time.Second, busy)), time.Second, true},
			{errors.Join(busy, mono.RetryAfter(time.Second, busy), mono.RetryAfter(time.Hour, busy)), time.Second, true},
			{mono.RetryAfter(time.Second, mono.RetryAfter(time.Hour, nil)), time.Second, true},
			{mono.RetryAfter(time.Second, short.With(shortage{Left: 3})), time.Second, true},
		} {
			err := s.fails(failing(c.err))
			if d, ok := mono.RetryDelay(err); d != c.want || ok != c.ok {
				s.Errorf("%v: got %v, %v, want %v, %v", c.err, d, ok, c.want, c.ok)
			}
			s.want(err, mono.CodeOf(c.err), mono.OutcomeAnswered)
		}
		err := s.fails(failing(mono.RetryAfter(time.Second, short.With(shortage{Left: 3}))))
		if v, ok := short.Match(err); !ok || v.Left != 3 {
			s.Errorf("the failure is lost: %v, %v", v, err)
		}
	}},
	{"the time to wait passes through a handler that returns the error of its call", "", func(s *caseRun) {
		app := s.start(
			provider(failing(mono.RetryAfter(time.Second, mono.Errorf(mono.ResourceExhausted, "inner")))),
			module("outer", func(sc *mono.Scope) {
				client := ask.Client(sc)
				askPack.Handle(sc, func(ctx context.Context, q question) (reply, error) {
					r, err := client(ctx, q)
					return r, mono.Errorf(mono.Unavailable, "outer: %w", err)
				})
			}))
		_, err := askPack.Call(s.Context(), app, question{})
		if d, ok := mono.RetryDelay(err); d != time.Second || !ok {
			s.Errorf("got %v, %v", d, ok)
		}
		s.want(err, mono.Unavailable, mono.OutcomeAnswered, "outer")
	}},
	{"an error that a handler returns from a call of its own counts as its own", "", func(s *caseRun) {
		app := s.start(
			provider(failing(mono.Errorf(mono.NotFound, "inner"))),
			module("outer", func(sc *mono.Scope) {
				client := ask.Client(sc)
				askPack.Handle(sc, client)
			}))
		_, err := askPack.Call(s.Context(), app, question{})
		s.want(err, mono.NotFound, mono.OutcomeAnswered, "inner")
	}},
	{"a transport error that a handler returns becomes an error of the handler", "", func(s *caseRun) {
		app := s.app()
		app.Remote(ask)
		app.Add(module("outer", func(sc *mono.Scope) {
			client := ask.Client(sc)
			askPack.Handle(sc, client)
		}))
		begin(s.TB, app)
		_, err := askPack.Call(s.Context(), app, question{})
		s.want(err, mono.Unavailable, mono.OutcomeAnswered, "test.ask")
	}},
	{"a reply is dropped if there is an error", "", func(s *caseRun) {
		err := s.fails(func(context.Context, question) (reply, error) {
			return reply{Text: "half done"}, mono.Errorf(mono.Aborted, "no")
		})
		s.want(err, mono.Aborted, mono.OutcomeAnswered)
	}},

	{"a failure keeps its type", "", func(s *caseRun) {
		err := s.fails(failing(fmt.Errorf("while asking: %w", short.With(shortage{Left: 3}))))
		s.want(err, mono.FailedPrecondition, mono.OutcomeAnswered, "while asking")
		got, ok := short.Match(err)
		if !ok || got.Left != 3 || !errors.Is(err, short) || errors.Is(err, other) || !mono.IsHandlerError(err) {
			s.Errorf("got %v, %v, %v", got, ok, err)
		}
		if _, ok := other.Match(err); ok {
			s.Error("it matches another failure")
		}
	}},
	{"a failure without a value has the zero value", "", func(s *caseRun) {
		again := mono.NewFailure[shortage]("test.short", mono.FailedPrecondition)
		for _, returned := range []error{short, again, short.With(shortage{}), mono.Permanent(short), errors.Join(errors.New("while asking"), short), fmt.Errorf("while asking: %w", short)} {
			for _, err := range []error{returned, s.fails(failing(returned))} {
				if got, ok := short.Match(err); !ok || got != (shortage{}) || !errors.Is(err, short) || errors.Is(err, other) || !errors.Is(err, mono.ErrFailedPrecondition) {
					s.Errorf("%v: got %v, %v", err, got, ok)
				}
			}
			s.want(s.fails(failing(returned)), mono.FailedPrecondition, mono.OutcomeAnswered, "test.short")
		}
		err := s.fails(failing(linked))
		if got, ok := linked.Match(err); !ok || got != nil || mono.CodeOf(err) != mono.NotFound {
			s.Errorf("got %v, %v, %v", got, ok, err)
		}
	}},
	{"the text of a failure is the same with the zero value and without a value", "", func(s *caseRun) {
		for _, c := range []struct {
			failure, with error
			text          string
		}{
			{short, short.With(shortage{}), "failed_precondition: test.short"},
			{linked, linked.With(nil), "not_found: test.linked"},
			{judged, judged.With(verdict{}), "permission_denied: test.judged"},
			{refused, refused.With(nil), "aborted: test.refused"},
		} {
			for _, err := range []error{c.failure, c.with, s.fails(failing(c.failure)), s.fails(failing(c.with))} {
				if err.Error() != c.text {
					s.Errorf("the text is %q, want %q", err, c.text)
				}
			}
		}
	}},
	{"each caller has its own copy of a failure's value", "", func(s *caseRun) {
		kept := &shortage{Left: 3}
		app := s.serve(failing(linked.With(kept)))
		for range 2 {
			_, err := ask.Call(s.Context(), app, question{})
			got, ok := linked.Match(err)
			if !ok || got == kept || got.Left != 3 {
				s.Fatalf("got %v, %v, %v", got, ok, err)
			}
			got.Left = 4
		}
	}},
	{"the text of a failure includes a value that is an error", "", func(s *caseRun) {
		err := s.fails(failing(judged.With(verdict{"too young"})))
		s.want(err, mono.PermissionDenied, mono.OutcomeAnswered, "test.judged", "too young")
		if got, ok := judged.Match(err); !ok || got.Reason != "too young" {
			s.Errorf("got %v, %v", got, ok)
		}
	}},
	{"a failure's value that cannot be encoded is an internal error", "", func(s *caseRun) {
		err := s.fails(failing(precise.With(math.NaN())))
		s.want(err, mono.Internal, mono.OutcomeAnswered, "test.precise")
		if errors.Is(err, precise) {
			s.Errorf("it is still the failure: %v", err)
		}
	}},
	{"a failure keeps its type through two services", "", func(s *caseRun) {
		app := s.start(
			module("inner", func(sc *mono.Scope) { ask.Handle(sc, failing(short.With(shortage{Left: 9}))) }),
			module("outer", func(sc *mono.Scope) {
				client := ask.Client(sc)
				askPack.Handle(sc, client)
			}))
		_, err := askPack.Call(s.Context(), app, question{})
		if got, ok := short.Match(err); !ok || got.Left != 9 {
			s.Errorf("got %v, %v, %v", got, ok, err)
		}
	}},
	{"a failure keeps its type in a service of bytes", "", func(s *caseRun) {
		app := s.start(module("provider", func(sc *mono.Scope) {
			askRaw.Handle(sc, func(context.Context, []byte) ([]byte, error) { return nil, short.With(shortage{Left: 4}) })
		}))
		_, err := askRaw.Call(s.Context(), app, []byte("x"))
		if got, ok := short.Match(err); !ok || got.Left != 4 {
			s.Errorf("got %v, %v, %v", got, ok, err)
		}
	}},

	{"a panic is an internal error that does not reveal its value", "", func(s *caseRun) {
		for _, value := range []any{"a secret", errors.New("a secret"), mono.Errorf(mono.NotFound, "a secret"), 7} {
			err := s.fails(func(context.Context, question) (reply, error) { panic(value) })
			s.want(err, mono.Internal, mono.OutcomeAnswered, "panicked")
			if strings.Contains(err.Error(), "secret") || !mono.IsHandlerError(err) {
				s.Errorf("got %v", err)
			}
		}
	}},
	{"a panic is logged with its stack and reported to observers", "", func(s *caseRun) {
		var tr trace
		log := &logBuffer{}
		app := mono.New(s.path.open(s.TB), log.option())
		if s.path.noLocalCalls {
			app = mono.New(s.path.open(s.TB), log.option(), mono.NoLocalCalls())
		}
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			if p, ok := o.(mono.Panicked); ok {
				tr.add(fmt.Sprintf("%s: %v", p.Where, p.Value))
			}
		}))
		app.Add(provider(func(context.Context, question) (reply, error) { panic("a secret") }))
		begin(s.TB, app)
		if _, err := ask.Call(s.Context(), app, question{}); mono.CodeOf(err) != mono.Internal {
			s.Errorf("got %v", err)
		}
		if got := tr.all(); len(got) != 1 || !strings.Contains(got[0], "provider") || !strings.Contains(got[0], "test.ask") || !strings.Contains(got[0], "a secret") {
			s.Errorf("observers received %q", got)
		}
		if text := log.String(); !strings.Contains(text, "service_error_cases_test.go") {
			s.Errorf("no stack in the log: %s", text)
		}
	}},
	{"a provider still serves calls after a panic", "", func(s *caseRun) {
		app := s.serve(func(ctx context.Context, q question) (reply, error) {
			if q.Text == "panic" {
				panic("x")
			}
			return echo(ctx, q)
		}, mono.Concurrency(1))
		for range 3 {
			if _, err := ask.Call(s.Context(), app, question{Text: "panic"}); mono.CodeOf(err) != mono.Internal {
				s.Errorf("got %v", err)
			}
		}
		if got, err := ask.Call(s.Context(), app, question{Text: "x"}); err != nil || got.Text != "x" {
			s.Errorf("got %v, %v", got, err)
		}
	}},

	{"a service without a provider is unavailable at once, and nothing was done", "", func(s *caseRun) {
		app := s.app()
		app.Remote(ask)
		app.Add(module("caller", func(sc *mono.Scope) { ask.Client(sc) }))
		begin(s.TB, app)
		_, err := ask.Call(s.Context(), app, question{})
		s.want(err, mono.Unavailable, mono.OutcomeNotDone, "test.ask")
	}},
	{"an App that has not started has done nothing", "", func(s *caseRun) {
		app := s.app()
		app.Add(provider(echo))
		_, err := ask.Call(s.Context(), app, question{})
		s.want(err, mono.Unavailable, mono.OutcomeNotDone, "test.ask")
	}},
	{"a module that has not declared the service has done nothing", "", func(s *caseRun) {
		var scope *mono.Scope
		s.start(provider(echo), module("stranger", func(sc *mono.Scope) { scope = sc }))
		_, err := ask.Call(s.Context(), scope, question{})
		s.want(err, mono.FailedPrecondition, mono.OutcomeNotDone, "test.ask", "stranger")
	}},
}
