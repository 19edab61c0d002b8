package mono_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

type ctxKey struct{}

// reporting is a handler that replies with a text about its Call.
func reporting(describe func(c *mono.Call) string) handler {
	return func(ctx context.Context, _ question) (reply, error) {
		return reply{Text: describe(mono.CallFrom(ctx))}, nil
	}
}

// wantReport checks the text that describe returns in the handler of a call.
func (s *caseRun) wantReport(describe func(c *mono.Call) string, want string) {
	s.Helper()
	got, err := ask.With(mono.Header("Tenant", "t1"), mono.Header("Tag", "a"), mono.Header("Tag", "b"), mono.Header("tag", "c")).Call(s.Context(), s.serve(reporting(describe)), question{})
	if err != nil || got.Text != want {
		s.Errorf("got %q, %v, want %q", got.Text, err, want)
	}
}

var serviceMetadataCases = []serviceCase{
	{"headers reach the handler", "", func(s *caseRun) {
		s.wantReport(func(c *mono.Call) string {
			return fmt.Sprint(c.Header("Tenant"), c.HeaderValues("Tag"), c.HeaderValues("tag"), c.Header("None") == "", len(c.HeaderValues("None")))
		}, "t1[a b] [c] true 0")
	}},
	{"handle, module, group, side and attempt are known", "", func(s *caseRun) {
		s.wantReport(func(c *mono.Call) string {
			return fmt.Sprint(c.Handle().Name(), " ", c.Handle().Kind(), " ", c.Module(), " ", c.Group(), " ", c.Side(), " ", c.Attempt())
		}, "test.ask service provider provider receiving 1")
	}},
	{"fields of stored or keyed messages are empty", "", func(s *caseRun) {
		s.wantReport(func(c *mono.Call) string {
			return fmt.Sprint(c.Sequence(), c.FencingToken(), c.Time().IsZero(), c.Key() == "", c.Reply())
		}, "0 0 true true <nil>")
	}},
	{"the sender is empty for a call outside a module", "", func(s *caseRun) {
		s.wantReport(func(c *mono.Call) string { return "<" + c.Sender() + ">" }, "<>")
	}},
	{"payload and size are those of the request", "", func(s *caseRun) {
		app := s.serve(reporting(func(c *mono.Call) string { return fmt.Sprint(c.Payload().(question).Text, c.Size()) }))
		got, err := ask.Call(s.Context(), app, question{Text: "xyz"})
		if want := fmt.Sprint("xyz", len(`{"text":"xyz"}`)); err != nil || got.Text != want {
			s.Errorf("got %q, %v, want %q", got.Text, err, want)
		}
	}},
	{"mono's own headers can be read", "", func(s *caseRun) {
		s.wantReport(func(c *mono.Call) string {
			return fmt.Sprint(c.Header(transport.HeaderID) == c.ID(), len(c.HeaderValues(transport.HeaderID)), c.Header(transport.HeaderTimeout) != "", c.Header(transport.HeaderContentType) == "")
		}, "true 1 true true")
	}},
	{"an id has 32 digits, and no two calls have the same", "", func(s *caseRun) {
		app := s.serve(reporting((*mono.Call).ID))
		seen := make(map[string]bool)
		for range 20 {
			got, err := ask.Call(s.Context(), app, question{})
			if err != nil || len(got.Text) != 32 || strings.Trim(got.Text, "0123456789abcdef") != "" || seen[got.Text] {
				s.Fatalf("got %q, %v", got.Text, err)
			}
			seen[got.Text] = true
		}
	}},
	{"an id is the same on both sides, however early it is read", "", func(s *caseRun) {
		for _, early := range []bool{true, false} {
			var tr trace
			app := s.app()
			app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
				return func(ctx context.Context, c *mono.Call) error {
					if early {
						tr.add(c.ID())
					}
					err := next(ctx, c)
					tr.add(c.ID())
					return err
				}
			}))
			app.Add(provider(reporting(func(c *mono.Call) string { tr.add(c.ID()); return c.ID() })))
			begin(s.TB, app)
			got, err := ask.Call(s.Context(), app, question{})
			if ids := slices.Compact(tr.all()); err != nil || len(ids) != 1 || ids[0] != got.Text {
				s.Errorf("early %v: ids %q, %v", early, ids, err)
			}
		}
	}},
	{"CallFrom works in goroutines of a handler", "", func(s *caseRun) {
		app := s.serve(func(ctx context.Context, _ question) (reply, error) {
			var wait sync.WaitGroup
			calls := make([]*mono.Call, 8)
			for i := range calls {
				wait.Go(func() { calls[i] = mono.CallFrom(ctx) })
			}
			wait.Wait()
			if len(slices.Compact(calls)) != 1 {
				return reply{}, mono.Errorf(mono.Internal, "a context has several Calls")
			}
			return reply{Text: calls[0].Handle().Name()}, nil
		})
		if got, err := ask.Call(s.Context(), app, question{}); err != nil || got.Text != "test.ask" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"CallFrom works with a derived context", "", func(s *caseRun) {
		app := s.serve(func(ctx context.Context, _ question) (reply, error) {
			ctx, cancel := context.WithTimeout(context.WithValue(ctx, ctxKey{}, "own"), tick)
			defer cancel()
			return reply{Text: fmt.Sprint(mono.CallFrom(ctx).Handle().Name(), ctx.Value(ctxKey{}))}, nil
		})
		if got, err := ask.Call(s.Context(), app, question{}); err != nil || got.Text != "test.ask own" && got.Text != "test.askown" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"a call from a handler has its own Call", "", func(s *caseRun) {
		app := s.start(
			provider(reporting(func(c *mono.Call) string {
				return fmt.Sprint(c.Handle().Name(), " ", c.Sender(), " ", c.Header("Tenant"), " ", c.ID())
			})),
			module("outer", func(sc *mono.Scope) {
				client := ask.Client(sc)
				askPack.Handle(sc, func(ctx context.Context, q question) (reply, error) {
					got, err := client(ctx, q)
					c := mono.CallFrom(ctx)
					return reply{Text: fmt.Sprint(c.Handle().Name(), " ", c.Header("Tenant"), " ", strings.HasSuffix(got.Text, c.ID()), " ", strings.TrimRight(got.Text, "0123456789abcdef"))}, err
				})
			}))
		got, err := askPack.With(mono.Header("Tenant", "t1")).Call(s.Context(), app, question{})
		if want := "test.ask-pack t1 false test.ask outer  "; err != nil || got.Text != want {
			s.Errorf("got %q, %v, want %q", got.Text, err, want)
		}
	}},
	{"values of the caller's context are not transferred", "", func(s *caseRun) {
		app := s.serve(func(ctx context.Context, _ question) (reply, error) {
			return reply{Text: fmt.Sprint(ctx.Value(ctxKey{}))}, nil
		})
		if got, err := ask.Call(context.WithValue(s.Context(), ctxKey{}, "mine"), app, question{}); err != nil || got.Text != "<nil>" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"an invalid or reserved header is rejected at the sender", "", func(s *caseRun) {
		app := s.serve(func(context.Context, question) (reply, error) { panic("it was called") })
		for _, h := range badHeaders {
			_, err := ask.With(mono.Header(h[0], h[1])).Call(s.Context(), app, question{})
			s.want(err, mono.InvalidArgument, mono.OutcomeNotDone, "test.ask")
		}
	}},
	{"an option that is nil is rejected at the sender", "", func(s *caseRun) {
		app := s.serve(func(context.Context, question) (reply, error) { panic("it was called") })
		_, err := ask.With(mono.Header("A", "1"), nil).Call(s.Context(), app, question{})
		s.want(err, mono.InvalidArgument, mono.OutcomeNotDone, "option is nil", "test.ask")
	}},
	{"headers that a handler sets do not reach the caller", "", func(s *caseRun) {
		app := s.app()
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				err := next(ctx, c)
				if got := c.Header("Tenant"); c.Side() == mono.SideSender && got != "t1" {
					return mono.Errorf(mono.Internal, "the header of the sender became %q", got)
				}
				return err
			}
		}))
		app.Add(provider(reporting(func(c *mono.Call) string {
			c.SetHeader("Tenant", "t2")
			return c.Header("Tenant")
		})))
		begin(s.TB, app)
		if got, err := ask.With(mono.Header("Tenant", "t1")).Call(s.Context(), app, question{}); err != nil || got.Text != "t2" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
}
