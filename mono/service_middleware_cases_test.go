package mono_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gomono.dev/mono"
)

// around returns middleware that runs f around each message.
func around(f func(ctx context.Context, c *mono.Call, next mono.Next) error) mono.Middleware {
	return mono.MiddlewareFunc(func(next mono.Next) mono.Next {
		return func(ctx context.Context, c *mono.Call) error { return f(ctx, c, next) }
	})
}

// behind starts an App that provides ask by fn, with middleware.
func (s *caseRun) behind(fn handler, middleware ...mono.Middleware) *mono.App {
	app := s.app()
	app.Use(middleware...)
	app.Add(provider(fn))
	begin(s.TB, app)
	return app
}

var serviceMiddlewareCases = []serviceCase{
	{"the first middleware is outermost on both sides", "", func(s *caseRun) {
		var tr trace
		app := s.behind(echo, recorder("a", &tr), recorder("b", &tr))
		if _, err := ask.Call(s.Context(), app, question{Text: "x"}); err != nil {
			s.Fatal(err)
		}
		want := []string{
			"a sending test.ask", "b sending test.ask",
			"a receiving test.ask", "b receiving test.ask",
			"b receiving {x []} ", "a receiving {x []} ",
			"b sending {x []} ", "a sending {x []} ",
		}
		if got := tr.all(); !slices.Equal(got, want) {
			s.Errorf("got %q, want %q", got, want)
		}
	}},
	{"middleware sees the fields of each side", "", func(s *caseRun) {
		var tr trace
		see := around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			before := fmt.Sprint(c.Side(), " ", c.Module(), " ", c.Sender(), " ", c.Attempt(), " ", c.Size(), " ", c.Payload().(question).Text, " ", c.Reply())
			err := next(ctx, c)
			tr.add(fmt.Sprint(before, " → ", c.Size(), " ", c.Reply().(reply).Text))
			return err
		})
		var client handler
		app := s.app()
		app.Use(see)
		app.Add(provider(echo), module("caller", func(sc *mono.Scope) { client = ask.Client(sc) }))
		begin(s.TB, app)
		if _, err := client(s.Context(), question{Text: "x"}); err != nil {
			s.Fatal(err)
		}
		want := []string{"receiving provider caller 1 12 x <nil> → 12 x", "sending caller caller 0 0 x <nil> → 12 x"}
		if got := tr.all(); !slices.Equal(got, want) {
			s.Errorf("got %q, want %q", got, want)
		}
	}},
	{"a context that middleware derives on the receiving side reaches the handler", "", func(s *caseRun) {
		derive := around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			return next(context.WithValue(ctx, ctxKey{}, c.Side()), c)
		})
		app := s.behind(func(ctx context.Context, _ question) (reply, error) {
			return reply{Text: fmt.Sprint(ctx.Value(ctxKey{}))}, nil
		}, derive)
		if got, err := ask.Call(s.Context(), app, question{}); err != nil || got.Text != "receiving" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"middleware has the call's deadline on both sides", "", func(s *caseRun) {
		var tr trace
		app := s.behind(echo, around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			_, ok := ctx.Deadline()
			tr.add(fmt.Sprint(c.Side(), " ", ok))
			return next(ctx, c)
		}))
		if _, err := ask.Call(s.Context(), app, question{}); err != nil || !slices.Equal(tr.all(), []string{"sending true", "receiving true"}) {
			s.Errorf("got %q, %v", tr.all(), err)
		}
	}},
	{"middleware can reject a call on either side", "", func(s *caseRun) {
		for _, side := range []mono.Side{mono.SideSender, mono.SideReceiver} {
			app := s.behind(func(context.Context, question) (reply, error) { panic("it was called") },
				around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
					if c.Side() == side {
						return mono.Errorf(mono.ResourceExhausted, "slow down")
					}
					return next(ctx, c)
				}))
			_, err := ask.Call(s.Context(), app, question{})
			outcome := mono.OutcomeUnknown
			if side == mono.SideReceiver {
				outcome = mono.OutcomeAnswered
			}
			s.want(err, mono.ResourceExhausted, outcome, "slow down")
		}
	}},
	{"a call that middleware of the receiving side refuses is not done, if its error says so", "", func(s *caseRun) {
		refused := &mono.Error{Code: mono.ResourceExhausted, Outcome: mono.OutcomeNotDone, Message: "slow down"}
		app := s.behind(func(context.Context, question) (reply, error) { panic("it was called") },
			around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
				if c.Side() == mono.SideReceiver {
					return mono.RetryAfter(3*tick, refused)
				}
				return next(ctx, c)
			}))
		_, err := ask.Call(s.Context(), app, question{})
		s.want(err, mono.ResourceExhausted, mono.OutcomeNotDone, "slow down")
		if d, ok := mono.RetryDelay(err); d != 3*tick || !ok {
			s.Errorf("the delay is %v, %v: want %v", d, ok, 3*tick)
		}
		app = s.behind(failing(refused), around(func(ctx context.Context, c *mono.Call, next mono.Next) error { return next(ctx, c) }))
		_, err = ask.Call(s.Context(), app, question{})
		s.want(err, mono.ResourceExhausted, mono.OutcomeAnswered, "slow down")
	}},
	{"middleware can turn an error into success and success into an error", "", func(s *caseRun) {
		app := s.behind(failing(mono.Errorf(mono.NotFound, "no")), around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			err := next(ctx, c)
			if c.Side() == mono.SideReceiver {
				return nil
			}
			return err
		}))
		if got, err := ask.Call(s.Context(), app, question{}); err != nil || got.Text != "" {
			s.Errorf("got %v, %v", got, err)
		}
		app = s.behind(echo, around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			if err := next(ctx, c); err != nil || c.Side() == mono.SideSender {
				return err
			}
			return mono.Errorf(mono.DataLoss, "gone")
		}))
		got, err := ask.Call(s.Context(), app, question{Text: "x"})
		if s.want(err, mono.DataLoss, mono.OutcomeAnswered, "gone"); got.Text != "" {
			s.Errorf("got %v", got)
		}
	}},
	{"middleware that calls next twice makes two calls", "", func(s *caseRun) {
		var c crowd
		var ids trace
		app := s.behind(c.handle(reporting(func(c *mono.Call) string { ids.add(c.ID()); return c.ID() })), around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			if c.Side() == mono.SideSender {
				if err := next(ctx, c); err != nil {
					return err
				}
			}
			return next(ctx, c)
		}))
		if _, err := ask.Call(s.Context(), app, question{}); err != nil || len(ids.all()) != 2 || len(slices.Compact(ids.all())) != 1 {
			s.Errorf("ids %q, %v", ids.all(), err)
		}
	}},
	{"middleware that sends again gets only the reply of the last call", "", func(s *caseRun) {
		count := mono.NewService[question, map[string]int]("test.count")
		fails := errors.New("the third call fails")
		calls := 0
		var saw trace
		app := s.app()
		app.Use(around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			if c.Side() == mono.SideReceiver {
				return next(ctx, c)
			}
			for range 2 {
				if err := next(ctx, c); err != nil {
					return err
				}
				saw.add(fmt.Sprint(c.Reply()))
			}
			err := next(ctx, c)
			saw.add(fmt.Sprint(c.Reply(), " ", mono.CodeOf(err)))
			return nil
		}))
		app.Add(module("counter", func(sc *mono.Scope) {
			count.Handle(sc, func(context.Context, question) (map[string]int, error) {
				if calls++; calls == 3 {
					return nil, fails
				}
				return map[string]int{fmt.Sprint("call ", calls): calls}, nil
			})
		}))
		begin(s.TB, app)
		got, err := count.Call(s.Context(), app, question{})
		if err != nil || len(got) != 0 {
			s.Errorf("got %v, %v", got, err)
		}
		if want := []string{"map[call 1:1]", "map[call 2:2]", "<nil> unknown"}; !slices.Equal(saw.all(), want) {
			s.Errorf("middleware saw %q, want %q", saw.all(), want)
		}
	}},
	{"middleware on the receiving side sees a panic as the error of the caller", "", func(s *caseRun) {
		var saw trace
		app := s.behind(func(context.Context, question) (reply, error) { panic("x") }, around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			err := next(ctx, c)
			saw.add(fmt.Sprint(c.Side(), " ", mono.CodeOf(err), " ", c.Reply()))
			return err
		}))
		_, err := ask.Call(s.Context(), app, question{})
		s.want(err, mono.Internal, mono.OutcomeAnswered)
		if want := []string{"receiving internal <nil>", "sending internal <nil>"}; !slices.Equal(saw.all(), want) {
			s.Errorf("middleware saw %q", saw.all())
		}
	}},
	{"a panic of middleware is contained on either side", "", func(s *caseRun) {
		for _, side := range []mono.Side{mono.SideSender, mono.SideReceiver} {
			app := s.behind(echo, around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
				if c.Side() == side {
					panic("middleware")
				}
				return next(ctx, c)
			}))
			if _, err := ask.Call(s.Context(), app, question{}); mono.CodeOf(err) != mono.Internal || mono.IsHandlerError(err) != (side == mono.SideReceiver) {
				s.Errorf("panic while %s: %v, handler error %v", side, err, mono.IsHandlerError(err))
			}
		}
	}},
	{"middleware does not see a call with an invalid header", "", func(s *caseRun) {
		app := s.behind(echo, around(func(context.Context, *mono.Call, mono.Next) error { panic("it was called") }))
		_, err := ask.With(mono.Header("bad name", "x")).Call(s.Context(), app, question{})
		s.want(err, mono.InvalidArgument, mono.OutcomeNotDone)
	}},
}
