package mono_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"gomono.dev/mono"
)

// untilDone is a handler that waits for the end of its context.
func untilDone(ctx context.Context, _ question) (reply, error) {
	<-ctx.Done()
	return reply{}, ctx.Err()
}

// remaining is a handler that replies with the time until its deadline, rounded to ten
// seconds, since a request over NATS takes time.
func remaining(ctx context.Context, _ question) (reply, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return reply{Text: "none"}, nil
	}
	return reply{Text: time.Until(deadline).Round(10 * time.Second).String()}, nil
}

// brief starts an App that provides askBrief by fn.
func (s *caseRun) brief(fn handler) *mono.App {
	return s.start(module("provider", func(sc *mono.Scope) { askBrief.Handle(sc, fn) }))
}

var serviceTimeCases = []serviceCase{
	{"the deadline of the caller bounds the handler", "", func(s *caseRun) {
		ctx, cancel := context.WithTimeout(s.Context(), 10*time.Minute)
		defer cancel()
		if got, err := ask.Call(ctx, s.serve(remaining), question{}); err != nil || got.Text != "10m0s" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"a handler without a deadline from its caller has the default timeout", "", func(s *caseRun) {
		if got, err := ask.Call(s.Context(), s.serve(remaining), question{}); err != nil || got.Text != mono.DefaultTimeout.String() {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"an earlier Timeout of the service bounds the handler", "", func(s *caseRun) {
		ctx, cancel := context.WithTimeout(s.Context(), 10*time.Minute)
		defer cancel()
		app := s.start(module("provider", func(sc *mono.Scope) { askMinute.Handle(sc, remaining) }))
		if got, err := askMinute.Call(ctx, app, question{}); err != nil || got.Text != "1m0s" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"an earlier deadline of the caller ends the call", "", func(s *caseRun) {
		app := s.start(module("provider", func(sc *mono.Scope) { askMinute.Handle(sc, untilDone) }))
		began := time.Now()
		ctx, cancel := context.WithTimeout(s.Context(), 4*tick)
		defer cancel()
		_, err := askMinute.Call(ctx, app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeUnknown, "test.ask-minute")
		s.took(began, 4*tick)
	}},
	{"the deadline of a handler bounds the calls it makes", "", func(s *caseRun) {
		app := s.start(provider(remaining), module("outer", func(sc *mono.Scope) {
			client := ask.Client(sc)
			askPack.Handle(sc, client)
		}))
		ctx, cancel := context.WithTimeout(s.Context(), 5*time.Minute)
		defer cancel()
		if got, err := askPack.Call(ctx, app, question{}); err != nil || got.Text != "5m0s" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"the Timeout ends a call whose handler watches its context", "", func(s *caseRun) {
		app := s.brief(untilDone)
		began := time.Now()
		_, err := askBrief.Call(s.Context(), app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeUnknown, "test.ask-brief")
		if !errors.Is(err, context.DeadlineExceeded) || mono.IsHandlerError(err) {
			s.Errorf("got %v, handler error %v", err, mono.IsHandlerError(err))
		}
		s.took(began, 4*tick)
	}},
	{"the context of a handler is done at the deadline", "", func(s *caseRun) {
		saw := make(chan error, 1)
		app := s.brief(func(ctx context.Context, _ question) (reply, error) {
			<-ctx.Done()
			saw <- ctx.Err()
			return reply{}, ctx.Err()
		})
		_, err := askBrief.Call(s.Context(), app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeUnknown)
		if got := next(s, saw); got != context.DeadlineExceeded {
			s.Errorf("the handler saw %v", got)
		}
	}},
	{"Err of a handler's context reports the deadline without Done", "", func(s *caseRun) {
		saw := make(chan error, 1)
		app := s.brief(func(ctx context.Context, _ question) (reply, error) {
			<-time.After(5 * tick)
			saw <- ctx.Err()
			return reply{}, ctx.Err()
		})
		_, err := askBrief.Call(s.Context(), app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeUnknown)
		if got := next(s, saw); got != context.DeadlineExceeded {
			s.Errorf("the handler saw %v", got)
		}
	}},
	{"a caller does not wait for a handler that ignores its context", waits, func(s *caseRun) {
		app := s.brief(func(context.Context, question) (reply, error) {
			<-time.After(20 * tick)
			return reply{Text: "late"}, nil
		})
		began := time.Now()
		got, err := askBrief.Call(s.Context(), app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeUnknown, "test.ask-brief")
		if got.Text != "" {
			s.Errorf("the caller got %v", got)
		}
		want := 4 * tick
		if s.local(waits) {
			want = 20 * tick
		}
		s.took(began, want)
	}},
	{"a reply just before the deadline is a reply", "", func(s *caseRun) {
		wait := tick
		if s.virtual() {
			wait = time.Minute - time.Millisecond
		}
		app := s.serve(func(context.Context, question) (reply, error) {
			<-time.After(wait)
			return reply{Text: "just"}, nil
		})
		ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		if got, err := ask.Call(ctx, app, question{}); err != nil || got.Text != "just" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"a call with an ended context sends nothing", "", func(s *caseRun) {
		app := s.serve(func(context.Context, question) (reply, error) { panic("it was called") })
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		_, err := ask.Call(ctx, app, question{})
		s.want(err, mono.Canceled, mono.OutcomeNotDone, "test.ask")
		if !errors.Is(err, context.Canceled) {
			s.Errorf("got %v", err)
		}
		late, cancel := context.WithTimeout(s.Context(), -1)
		defer cancel()
		_, err = ask.Call(late, app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeNotDone, "test.ask")
	}},
	{"canceling while the handler runs ends the wait", waits, func(s *caseRun) {
		entered, release := make(chan struct{}), make(chan struct{})
		var ended atomic.Bool
		app := s.serve(func(ctx context.Context, _ question) (reply, error) {
			close(entered)
			select {
			case <-ctx.Done():
				ended.Store(ctx.Err() == context.Canceled)
			case <-release:
			}
			return reply{}, nil
		})
		ctx, cancel := context.WithCancel(s.Context())
		go func() {
			<-entered
			cancel()
		}()
		_, err := ask.Call(ctx, app, question{})
		s.want(err, mono.Canceled, mono.OutcomeUnknown, "test.ask")
		if !errors.Is(err, context.Canceled) || ended.Load() != s.local(waits) {
			s.Errorf("got %v; the handler's context ended: %v", err, ended.Load())
		}
		close(release)
	}},
	{"Err of a handler's context reports the caller's cancellation without Done", waits, func(s *caseRun) {
		entered, cancelled, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
		saw := make(chan error, 1)
		local := s.local(waits)
		app := s.serve(func(ctx context.Context, _ question) (reply, error) {
			close(entered)
			<-cancelled
			saw <- ctx.Err()
			if !local {
				<-release
			}
			return reply{}, nil
		})
		ctx, cancel := context.WithCancel(s.Context())
		go func() {
			<-entered
			cancel()
			close(cancelled)
		}()
		_, err := ask.Call(ctx, app, question{})
		s.want(err, mono.Canceled, mono.OutcomeUnknown, "test.ask")
		if got := next(s, saw); (got == context.Canceled) != local {
			s.Errorf("the handler saw %v", got)
		}
		close(release)
	}},
	{"a caller whose context ends while it waits for a free handler gets an unknown outcome", "", func(s *caseRun) {
		release := make(chan struct{})
		entered := make(chan struct{}, 3)
		app := s.serve(func(context.Context, question) (reply, error) {
			entered <- struct{}{}
			<-release
			return reply{}, nil
		}, mono.Concurrency(1))
		first := make(chan error)
		go func() {
			_, err := ask.Call(s.Context(), app, question{})
			first <- err
		}()
		<-entered
		late, cancelLate := context.WithTimeout(s.Context(), 4*tick)
		defer cancelLate()
		began := time.Now()
		_, err := ask.Call(late, app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeUnknown, "test.ask")
		s.took(began, 4*tick)
		ctx, cancel := context.WithCancel(s.Context())
		time.AfterFunc(4*tick, cancel)
		_, err = ask.Call(ctx, app, question{})
		s.want(err, mono.Canceled, mono.OutcomeUnknown, "test.ask")
		close(release)
		if err := <-first; err != nil {
			s.Errorf("the first caller got %v", err)
		}
	}},
	{"a handler's context ends when the handler returns", "", func(s *caseRun) {
		kept := make(chan context.Context, 2)
		app := s.serve(func(ctx context.Context, q question) (reply, error) {
			if q.Text == "used" {
				ctx.Done()
			}
			kept <- ctx
			return reply{}, nil
		})
		for _, text := range []string{"used", "unused"} {
			if _, err := ask.Call(s.Context(), app, question{Text: text}); err != nil {
				s.Fatal(err)
			}
			ctx := <-kept
			<-ctx.Done()
			if ctx.Err() != context.Canceled {
				s.Errorf("%s: the context reports %v", text, ctx.Err())
			}
		}
	}},
	{"a context derived from a handler's context ends with it", "", func(s *caseRun) {
		ended := make(chan error, 1)
		app := s.brief(func(ctx context.Context, _ question) (reply, error) {
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			<-derived.Done()
			ended <- derived.Err()
			return reply{}, derived.Err()
		})
		_, err := askBrief.Call(s.Context(), app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeUnknown)
		if got := next(s, ended); got != context.DeadlineExceeded {
			s.Errorf("the derived context ended with %v", got)
		}
	}},
}
