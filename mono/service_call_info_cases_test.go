package mono_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// quoting is a handler that sets a header of its reply to a text about its Call, and
// returns err.
func quoting(describe func(c *mono.Call) string, err error) handler {
	return func(ctx context.Context, q question) (reply, error) {
		mono.CallFrom(ctx).SetReplyHeader("Quote", describe(mono.CallFrom(ctx)))
		return reply{Text: q.Text}, err
	}
}

func quoteTenant(c *mono.Call) string { return fmt.Sprint(c.HeaderValues("Tenant"), c.Header("Tag")) }

// quoted checks the only header of a reply.
func (s *caseRun) quoted(info *mono.CallInfo, want string) {
	s.Helper()
	if got := info.ReplyHeader(); !slices.Equal(got, transport.Header{{Name: "Quote", Value: want}}) {
		s.Errorf("the reply has the headers %v, want Quote: %s", got, want)
	}
}

var serviceCallInfoCases = []serviceCase{
	{"a CallInfo carries headers of the request and of the reply", "", func(s *caseRun) {
		ctx, info := mono.NewCallInfo(s.Context())
		info.SetHeader("Tenant", "t0")
		info.SetHeader("Tenant", "t1")
		info.SetHeader("Tag", "a")
		got, err := ask.Call(ctx, s.serve(quoting(quoteTenant, nil)), question{Text: "x"})
		if err != nil || got.Text != "x" {
			s.Errorf("got %v, %v", got, err)
		}
		s.quoted(info, "[t1]a")
	}},
	{"a header of a CallInfo replaces one set by With", "", func(s *caseRun) {
		app := s.serve(quoting(quoteTenant, nil))
		tagged := ask.With(mono.Header("Tenant", "t0"), mono.Header("Tag", "a"))
		for _, want := range []string{"[t1]a", "[t2]a"} {
			ctx, info := mono.NewCallInfo(s.Context())
			info.SetHeader("Tenant", want[1:3])
			if _, err := tagged.Call(ctx, app, question{}); err != nil {
				s.Error(err)
			}
			s.quoted(info, want)
		}
	}},
	{"a CallInfo works with a client and with MessagePack", "", func(s *caseRun) {
		var client handler
		s.start(module("provider", func(sc *mono.Scope) { askPack.Handle(sc, quoting(quoteTenant, nil)) }),
			module("caller", func(sc *mono.Scope) { client = askPack.Client(sc) }))
		ctx, info := mono.NewCallInfo(s.Context())
		info.SetHeader("Tenant", "t1")
		if got, err := client(ctx, question{Text: "x"}); err != nil || got.Text != "x" {
			s.Errorf("got %v, %v", got, err)
		}
		s.quoted(info, "[t1]")
	}},
	{"an error carries the headers of its reply too", "", func(s *caseRun) {
		for _, failure := range []error{short.With(shortage{Left: 3}), mono.Errorf(mono.NotFound, "no such item"), errors.New("no code")} {
			ctx, info := mono.NewCallInfo(s.Context())
			_, err := ask.Call(ctx, s.serve(quoting(quoteTenant, failure)), question{})
			s.want(err, mono.CodeOf(failure), mono.OutcomeAnswered)
			if left, ok := short.Match(err); ok != errors.Is(failure, short) || ok && left.Left != 3 {
				s.Errorf("got %v, %v", left, ok)
			}
			s.quoted(info, "[]")
		}
	}},
	{"a panic of the handler carries the headers of its reply", "", func(s *caseRun) {
		ctx, info := mono.NewCallInfo(s.Context())
		_, err := ask.Call(ctx, s.serve(func(ctx context.Context, _ question) (reply, error) {
			mono.CallFrom(ctx).SetReplyHeader("Quote", "q")
			panic("oops")
		}), question{})
		s.want(err, mono.Internal, mono.OutcomeAnswered)
		s.quoted(info, "q")
	}},
	{"a CallInfo belongs to one call", "", func(s *caseRun) {
		app := s.serve(quoting(func(c *mono.Call) string { return c.Payload().(question).Text + c.Header("Tenant") }, nil))
		ctx, info := mono.NewCallInfo(s.Context())
		info.SetHeader("Tenant", "t1")
		for _, text := range []string{"first", "second"} {
			if _, err := ask.Call(ctx, app, question{Text: text}); err != nil {
				s.Error(err)
			}
		}
		s.quoted(info, "firstt1")
		ctx, again := mono.NewCallInfo(ctx)
		if _, err := ask.Call(ctx, app, question{Text: "third"}); err != nil {
			s.Error(err)
		}
		s.quoted(again, "third")
		s.quoted(info, "firstt1")
	}},
	{"a handler's own call has no part in the CallInfo of its caller", "", func(s *caseRun) {
		app := s.start(provider(quoting(quoteTenant, nil)), module("outer", func(sc *mono.Scope) {
			client := ask.Client(sc)
			askPack.Handle(sc, func(ctx context.Context, q question) (reply, error) {
				got, err := client(ctx, q)
				if err != nil || mono.CallFrom(ctx).Header("Tenant") != "t1" {
					return reply{}, mono.Errorf(mono.Internal, "got %v, %v", got, err)
				}
				inner, info := mono.NewCallInfo(ctx)
				info.SetHeader("Tenant", "t2")
				_, err = client(inner, q)
				return reply{Text: info.ReplyHeader().Get("Quote")}, err
			})
		}))
		ctx, info := mono.NewCallInfo(s.Context())
		info.SetHeader("Tenant", "t1")
		got, err := askPack.Call(ctx, app, question{})
		if err != nil || got.Text != "[t2]" || info.ReplyHeader() != nil {
			s.Errorf("got %v, %v, headers %v", got, err, info.ReplyHeader())
		}
	}},
	{"headers of a reply are lost without a CallInfo", "", func(s *caseRun) {
		if got, err := ask.Call(s.Context(), s.serve(quoting(quoteTenant, nil)), question{Text: "x"}); err != nil || got.Text != "x" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"concurrent calls have a CallInfo each", "", func(s *caseRun) {
		app := s.serve(quoting(quoteTenant, nil))
		var wait sync.WaitGroup
		for n := range 20 {
			wait.Go(func() {
				ctx, info := mono.NewCallInfo(s.Context())
				info.SetHeader("Tenant", fmt.Sprint(n))
				if _, err := ask.Call(ctx, app, question{}); err != nil {
					s.Error(err)
				}
				s.quoted(info, fmt.Sprintf("[%d]", n))
			})
		}
		wait.Wait()
	}},
	{"one of several concurrent calls with a context has its CallInfo", "", func(s *caseRun) {
		var with trace
		app := s.serve(func(ctx context.Context, _ question) (reply, error) {
			with.add(mono.CallFrom(ctx).Header("Tenant"))
			return reply{}, nil
		})
		ctx, info := mono.NewCallInfo(s.Context())
		info.SetHeader("Tenant", "t1")
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() {
				if _, err := ask.Call(ctx, app, question{}); err != nil {
					s.Error(err)
				}
			})
		}
		wait.Wait()
		if got := slices.Sorted(slices.Values(with.all())); len(got) != 10 || got[8] != "" || got[9] != "t1" {
			s.Errorf("got %q", got)
		}
	}},
	{"middleware has no part in the CallInfo of a call, but sees and sets its headers", "", func(s *caseRun) {
		var app *mono.App
		app = s.behind(quoting(quoteTenant, nil), around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			switch {
			case c.Side() == mono.SideReceiver:
				c.SetReplyHeader("Quote", "early")
			case c.Header("Tenant") == "t1":
				c.SetReplyHeader("Never", "sent")
				if _, err := ask.Call(ctx, app, question{}); err != nil {
					return err
				}
			}
			return next(ctx, c)
		}))
		ctx, info := mono.NewCallInfo(s.Context())
		info.SetHeader("Tenant", "t1")
		if _, err := ask.Call(ctx, app, question{}); err != nil {
			s.Error(err)
		}
		s.quoted(info, "[t1]")
	}},
	{"a call that middleware sends again has the headers of its last reply", "", func(s *caseRun) {
		again := around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			err := next(ctx, c)
			if c.Side() == mono.SideSender {
				c.SetHeader("Tag", "again")
				err = next(ctx, c)
			}
			return err
		})
		ctx, info := mono.NewCallInfo(s.Context())
		_, err := ask.Call(ctx, s.behind(func(ctx context.Context, _ question) (reply, error) {
			if c := mono.CallFrom(ctx); c.Header("Tag") == "" {
				c.SetReplyHeader("First", "f")
			} else {
				c.SetReplyHeader("Quote", c.Header("Tag"))
			}
			return reply{}, nil
		}, again), question{})
		if err != nil {
			s.Error(err)
		}
		s.quoted(info, "again")
	}},
	{"a call that middleware sends again without a reply has no headers", "", func(s *caseRun) {
		again := around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			err := next(ctx, c)
			if c.Side() == mono.SideSender {
				ended, cancel := context.WithCancel(ctx)
				cancel()
				err = next(ended, c)
			}
			return err
		})
		ctx, info := mono.NewCallInfo(s.Context())
		_, err := ask.Call(ctx, s.behind(quoting(quoteTenant, nil), again), question{})
		s.want(err, mono.Canceled, mono.OutcomeNotDone)
		if info.ReplyHeader() != nil {
			s.Errorf("got %v", info.ReplyHeader())
		}
	}},
	{"an invalid or reserved header of a CallInfo is rejected at the caller", "", func(s *caseRun) {
		app := s.serve(func(context.Context, question) (reply, error) { panic("it was called") })
		for _, h := range badHeaders {
			ctx, info := mono.NewCallInfo(s.Context())
			info.SetHeader(h[0], h[1])
			_, err := ask.Call(ctx, app, question{})
			s.want(err, mono.InvalidArgument, mono.OutcomeNotDone, "test.ask")
			if info.ReplyHeader() != nil {
				s.Errorf("got %v", info.ReplyHeader())
			}
		}
	}},
	{"an invalid or reserved header of a reply is an internal error", "", func(s *caseRun) {
		var h [2]string
		var result error
		panics := false
		app := s.serve(func(ctx context.Context, _ question) (reply, error) {
			mono.CallFrom(ctx).SetReplyHeader("Good", "g")
			mono.CallFrom(ctx).SetReplyHeader(h[0], h[1])
			if panics {
				panic("oops")
			}
			return reply{Text: "x"}, result
		})
		for _, h = range badHeaders {
			for _, result = range []error{nil, mono.Errorf(mono.NotFound, "none"), short.With(shortage{})} {
				for _, panics = range []bool{false, true} {
					ctx, info := mono.NewCallInfo(s.Context())
					got, err := ask.Call(ctx, app, question{})
					s.want(err, mono.Internal, mono.OutcomeAnswered, "reply of service test.ask", fmt.Sprintf("%q", h[0]))
					if got.Text != "" || info.ReplyHeader() != nil {
						s.Errorf("got %v, headers %v", got, info.ReplyHeader())
					}
				}
			}
		}
	}},
	{"a call without a reply has no headers of a reply", "", func(s *caseRun) {
		app := s.serve(func(ctx context.Context, _ question) (reply, error) {
			mono.CallFrom(ctx).SetReplyHeader("Quote", "late")
			<-time.After(8 * tick)
			return reply{}, nil
		})
		ctx, cancel := context.WithTimeout(s.Context(), 4*tick)
		defer cancel()
		ctx, info := mono.NewCallInfo(ctx)
		_, err := ask.Call(ctx, app, question{})
		s.want(err, mono.DeadlineExceeded, mono.OutcomeUnknown)
		if info.ReplyHeader() != nil {
			s.Errorf("got %v", info.ReplyHeader())
		}
	}},
	{"large headers of a reply count against the payload limit", unbounded, func(s *caseRun) {
		for _, result := range []error{nil, short.With(shortage{Left: 3})} {
			ctx, info := mono.NewCallInfo(s.Context())
			_, err := ask.Call(ctx, s.serve(func(ctx context.Context, _ question) (reply, error) {
				mono.CallFrom(ctx).SetReplyHeader("Quote", strings.Repeat("x", 2<<20))
				return reply{}, result
			}), question{})
			switch {
			case s.local(unbounded):
				if len(info.ReplyHeader().Get("Quote")) != 2<<20 || errors.Is(err, short) != (result != nil) {
					s.Errorf("got %v", err)
				}
			case result == nil:
				s.want(err, mono.Internal, mono.OutcomeAnswered, "reply of service test.ask", "at most")
			default:
				if left, ok := short.Match(err); !ok || left.Left != 3 || info.ReplyHeader() != nil {
					s.Errorf("got %v, %d headers", err, len(info.ReplyHeader()))
				}
			}
		}
	}},
}

// badHeaders are names and values that a message cannot carry.
var badHeaders = [][2]string{
	{"bad name", "x"}, {"X", "two\r\nlines"}, {"X", " padded"}, {"Mono-Id", "x"}, {"Mono-Code", "x"},
	{"Nats-Msg-Id", "x"}, {"Status", "503"}, {"Content-Type", "x"}, {"", "x"},
}
