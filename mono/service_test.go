package mono_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

type question struct {
	Text string         `json:"text"`
	Tags []string       `json:"tags,omitempty"`
	More map[string]int `json:"more,omitempty"`
}

type reply struct {
	Text string   `json:"text"`
	Tags []string `json:"tags,omitempty"`
}

type shortage struct {
	Left int `json:"left"`
}

var (
	ask     = mono.NewService[question, reply]("test.ask")
	askPack = mono.NewService[question, reply]("test.ask-pack", mono.Codec(codec.MessagePack))
	askRaw  = mono.NewService[[]byte, []byte]("test.ask-raw", mono.Codec(codec.Raw))
	askSlow = mono.NewService[question, reply]("test.ask-slow", mono.Timeout(time.Second))
	short   = mono.NewFailure[shortage]("test.short", mono.FailedPrecondition)
	other   = mono.NewFailure[shortage]("test.other", mono.FailedPrecondition)
)

type handler = mono.Func[question, reply]

func provider(fn handler, opts ...mono.ServiceHandlerOption) mono.Module {
	return module("provider", func(s *mono.Scope) { ask.Handle(s, fn, opts...) })
}

func echo(_ context.Context, q question) (reply, error) {
	return reply{Text: q.Text, Tags: q.Tags}, nil
}

// serviceCases is what a call means, whichever way it takes.
var serviceCases = []struct {
	name    string
	handler handler
	check   func(t *testing.T, app *mono.App)
}{
	{"a reply comes back", echo, func(t *testing.T, app *mono.App) {
		got, err := ask.Call(t.Context(), app, question{Text: "x", Tags: []string{"a"}})
		if err != nil || got.Text != "x" || len(got.Tags) != 1 {
			t.Errorf("got %v, %v", got, err)
		}
	}},
	{"the handler has its own copy of the request", func(_ context.Context, q question) (reply, error) {
		q.Tags[0] = "changed"
		q.More["a"] = 2
		return reply{}, nil
	}, func(t *testing.T, app *mono.App) {
		q := question{Tags: []string{"mine"}, More: map[string]int{"a": 1}}
		if _, err := ask.Call(t.Context(), app, q); err != nil || q.Tags[0] != "mine" || q.More["a"] != 1 {
			t.Errorf("the caller's value changed: %v, %v", q, err)
		}
	}},
	{"an error keeps its code and text", func(context.Context, question) (reply, error) {
		return reply{}, mono.Errorf(mono.NotFound, "no %s, 100%% gone\nreally", "öl")
	}, func(t *testing.T, app *mono.App) {
		_, err := ask.Call(t.Context(), app, question{})
		if !errors.Is(err, mono.ErrNotFound) || !mono.Remote(err) || !strings.Contains(err.Error(), "no öl, 100% gone\nreally") {
			t.Errorf("got %v, remote %v", err, mono.Remote(err))
		}
	}},
	{"an error without a code is unknown, with its text", func(context.Context, question) (reply, error) {
		return reply{}, errors.New("plain")
	}, func(t *testing.T, app *mono.App) {
		_, err := ask.Call(t.Context(), app, question{})
		if mono.CodeOf(err) != mono.Unknown || !strings.Contains(err.Error(), "plain") || mono.OutcomeOf(err) != mono.OutcomeAnswered {
			t.Errorf("got %v", err)
		}
	}},
	{"an unknown code keeps its name", func(context.Context, question) (reply, error) {
		return reply{}, mono.Errorf("teapot", "short and stout")
	}, func(t *testing.T, app *mono.App) {
		if _, err := ask.Call(t.Context(), app, question{}); mono.CodeOf(err) != "teapot" {
			t.Errorf("got %v", err)
		}
	}},
	{"the cause of an error stays at home", func(context.Context, question) (reply, error) {
		return reply{}, mono.Errorf(mono.Internal, "wrapped: %w", context.Canceled)
	}, func(t *testing.T, app *mono.App) {
		if _, err := ask.Call(t.Context(), app, question{}); errors.Is(err, context.Canceled) || mono.CodeOf(err) != mono.Internal {
			t.Errorf("got %v", err)
		}
	}},
	{"a failure crosses with its type", func(context.Context, question) (reply, error) {
		return reply{}, fmt.Errorf("while asking: %w", short.With(shortage{Left: 3}))
	}, func(t *testing.T, app *mono.App) {
		_, err := ask.Call(t.Context(), app, question{})
		got, ok := short.Match(err)
		if !ok || got.Left != 3 || !errors.Is(err, short) || errors.Is(err, other) || mono.CodeOf(err) != mono.FailedPrecondition {
			t.Errorf("got %v, %v, %v", got, ok, err)
		}
		if _, ok := other.Match(err); ok {
			t.Error("it matches another failure")
		}
		if !strings.Contains(err.Error(), "while asking") {
			t.Errorf("the text of the wrapping is lost: %v", err)
		}
	}},
	{"a reply that comes with an error is dropped", func(context.Context, question) (reply, error) {
		return reply{Text: "half done"}, mono.Errorf(mono.Aborted, "no")
	}, func(t *testing.T, app *mono.App) {
		if got, err := ask.Call(t.Context(), app, question{}); got.Text != "" || err == nil {
			t.Errorf("got %v, %v", got, err)
		}
	}},
	{"a panic is an internal error that tells nothing of itself", func(context.Context, question) (reply, error) {
		panic("a secret")
	}, func(t *testing.T, app *mono.App) {
		_, err := ask.Call(t.Context(), app, question{})
		if mono.CodeOf(err) != mono.Internal || strings.Contains(err.Error(), "secret") || !mono.Remote(err) {
			t.Errorf("got %v", err)
		}
	}},
	{"the deadline of the caller bounds the handler", func(ctx context.Context, _ question) (reply, error) {
		deadline, ok := ctx.Deadline()
		return reply{Text: fmt.Sprint(ok && time.Until(deadline) > 8*time.Minute && time.Until(deadline) < 11*time.Minute)}, nil
	}, func(t *testing.T, app *mono.App) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if got, err := ask.Call(ctx, app, question{}); err != nil || got.Text != "true" {
			t.Errorf("got %v, %v", got, err)
		}
	}},
	{"a handler without a deadline from its caller has the default one", func(ctx context.Context, _ question) (reply, error) {
		deadline, ok := ctx.Deadline()
		return reply{Text: fmt.Sprint(ok && time.Until(deadline) <= mono.DefaultTimeout)}, nil
	}, func(t *testing.T, app *mono.App) {
		if got, err := ask.Call(t.Context(), app, question{}); err != nil || got.Text != "true" {
			t.Errorf("got %v, %v", got, err)
		}
	}},
	{"values of the caller's context do not travel", func(ctx context.Context, _ question) (reply, error) {
		return reply{Text: fmt.Sprint(ctx.Value(ctxKey{}))}, nil
	}, func(t *testing.T, app *mono.App) {
		ctx := context.WithValue(t.Context(), ctxKey{}, "mine")
		if got, err := ask.Call(ctx, app, question{}); err != nil || got.Text != "<nil>" {
			t.Errorf("got %v, %v", got, err)
		}
	}},
	{"a context that has ended sends nothing", func(context.Context, question) (reply, error) {
		panic("it was called")
	}, func(t *testing.T, app *mono.App) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := ask.Call(ctx, app, question{})
		if !errors.Is(err, context.Canceled) || mono.OutcomeOf(err) != mono.OutcomeNotDone {
			t.Errorf("got %v, %v", err, mono.OutcomeOf(err))
		}
	}},
	{"headers, sender, id and attempt reach the handler", func(ctx context.Context, _ question) (reply, error) {
		c := mono.CallFrom(ctx)
		return reply{Text: fmt.Sprint(c.Header("Tenant"), c.HeaderValues("Tag"), c.Attempt(), len(c.ID()) == 32, c.Handle().Name(), c.Module(), c.Side())}, nil
	}, func(t *testing.T, app *mono.App) {
		got, err := ask.With(mono.Header("Tenant", "t1"), mono.Header("Tag", "a"), mono.Header("Tag", "b")).Call(t.Context(), app, question{})
		if want := "t1[a b]1true" + "test.ask" + "provider" + "receiving"; err != nil || strings.ReplaceAll(got.Text, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("got %q, want %q, %v", got.Text, want, err)
		}
	}},
	{"a header that cannot be carried is refused at the sender", echo, func(t *testing.T, app *mono.App) {
		for _, h := range [][2]string{{"bad name", "x"}, {"X", "two\r\nlines"}, {"Mono-Id", "x"}, {"Nats-Msg-Id", "x"}, {"Content-Type", "x"}, {"", "x"}} {
			_, err := ask.With(mono.Header(h[0], h[1])).Call(t.Context(), app, question{})
			if mono.CodeOf(err) != mono.InvalidArgument || mono.OutcomeOf(err) != mono.OutcomeNotDone {
				t.Errorf("header %q: got %v", h, err)
			}
		}
	}},
}

type ctxKey struct{}

func TestService(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		for _, c := range serviceCases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.check(t, p.start(t, provider(c.handler)))
			})
		}
	})
}

func TestServiceCodecs(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.start(t, module("provider", func(s *mono.Scope) {
			askPack.Handle(s, echo)
			askRaw.Handle(s, func(_ context.Context, b []byte) ([]byte, error) { return append(b, 0xff), nil })
		}))
		if got, err := askPack.Call(t.Context(), app, question{Text: "x"}); err != nil || got.Text != "x" {
			t.Errorf("MessagePack: %v, %v", got, err)
		}
		if got, err := askRaw.Call(t.Context(), app, []byte{1}); err != nil || string(got) != "\x01\xff" {
			t.Errorf("Raw: %v, %v", got, err)
		}
	})
}

// A plain client knows subjects and bytes only.
func TestServicePlainClient(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.start(t, module("provider", func(s *mono.Scope) {
			ask.Handle(s, func(ctx context.Context, q question) (reply, error) {
				if q.Text == "fail" {
					return reply{}, short.With(shortage{Left: 1})
				}
				return echo(ctx, q)
			})
			askPack.Handle(s, echo)
		}))
		raw := mono.Raw(app)
		request := func(subject, contentType, body string, more ...transport.Field) *transport.Message {
			t.Helper()
			m := &transport.Message{Subject: subject, Body: []byte(body), Header: more}
			if contentType != "" {
				m.Header.Add(transport.HeaderContentType, contentType)
			}
			got, err := raw.Request(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := request("services.test.ask", "", `{"text":"x"}`); string(got.Body) != `{"text":"x"}` {
			t.Errorf("JSON: %s", got.Body)
		}
		if got := request("services.test.ask-pack", "", `{"text":"x"}`); string(got.Body) != `{"text":"x"}` {
			t.Errorf("JSON to a MessagePack service: %q", got.Body)
		}
		if got := request("services.test.ask", "Application/JSON; charset=utf-8", `{"text":"x"}`); string(got.Body) != `{"text":"x"}` {
			t.Errorf("JSON with parameters: %s", got.Body)
		}
		failed := request("services.test.ask", "", `{"text":"fail"}`)
		if failed.Header.Get(transport.HeaderCode) != "failed_precondition" || failed.Header.Get(transport.HeaderFailure) != "test.short" || string(failed.Body) != `{"left":1}` {
			t.Errorf("failure: %v %s", failed.Header, failed.Body)
		}
		for what, got := range map[string]*transport.Message{
			"no JSON":          request("services.test.ask", "", `{"text":`),
			"another type":     request("services.test.ask", "", `{"text":7}`),
			"an empty body":    request("services.test.ask", "", ``),
			"a strange type":   request("services.test.ask", "image/png", `x`),
			"a bad timeout":    request("services.test.ask", "", `{}`, transport.Field{Name: transport.HeaderTimeout, Value: "-1"}),
			"a zero timeout":   request("services.test.ask", "", `{}`, transport.Field{Name: transport.HeaderTimeout, Value: "0"}),
			"a broken content": request("services.test.ask-pack", "application/msgpack", "\xc1"),
		} {
			if e := transport.ErrorFromHeader(got.Header); e == nil || e.Code != mono.InvalidArgument || !strings.Contains(e.Message, "service test.ask") {
				t.Errorf("%s: %v", what, e)
			}
		}
	})
}

func TestServiceNobodyServes(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t)
		app.Remote(ask)
		app.Add(module("caller", func(s *mono.Scope) { ask.Client(s) }))
		begin(t, app)
		_, err := ask.Call(t.Context(), app, question{})
		if !errors.Is(err, mono.ErrUnavailable) || mono.OutcomeOf(err) != mono.OutcomeNotDone || !strings.Contains(err.Error(), "test.ask") {
			t.Errorf("got %v", err)
		}
	})
}

func TestServiceHandlersRunConcurrentlyUpToTheirLimit(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		synctest.Test(t, func(t *testing.T) {
			var running, most atomic.Int32
			app := p.start(t, provider(func(context.Context, question) (reply, error) {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				<-time.After(100 * time.Millisecond)
				running.Add(-1)
				return reply{}, nil
			}, mono.Concurrency(3)))
			began := time.Now()
			done := make(chan error)
			for range 9 {
				go func() {
					_, err := ask.Call(t.Context(), app, question{})
					done <- err
				}()
			}
			for range 9 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if took := time.Since(began); took != 300*time.Millisecond || most.Load() != 3 {
				t.Errorf("9 calls of 100ms, 3 at a time, took %v with %d at most", took, most.Load())
			}
		})
	}
}

func TestServiceTimeout(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := p.start(t, module("provider", func(s *mono.Scope) {
					askSlow.Handle(s, func(ctx context.Context, _ question) (reply, error) {
						<-ctx.Done()
						return reply{}, ctx.Err()
					})
				}))
				began := time.Now()
				_, err := askSlow.Call(t.Context(), app, question{})
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
					t.Errorf("got %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// A handler that ignores its context delays its caller at home only.
func TestServiceHandlerIgnoresItsContext(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := p.start(t, module("provider", func(s *mono.Scope) {
					askSlow.Handle(s, func(context.Context, question) (reply, error) {
						<-time.After(5 * time.Second)
						return reply{Text: "late"}, nil
					})
				}))
				began := time.Now()
				got, err := askSlow.Call(t.Context(), app, question{})
				if !errors.Is(err, context.DeadlineExceeded) || mono.OutcomeOf(err) != mono.OutcomeUnknown || got.Text != "" {
					t.Errorf("got %v, %v, %v", got, err, mono.OutcomeOf(err))
				}
				want := time.Second
				if !p.wire {
					want = 5 * time.Second
				}
				if time.Since(began) != want {
					t.Errorf("took %v, want %v", time.Since(began), want)
				}
			})
		})
	}
}

func TestServiceCancel(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				entered := make(chan struct{})
				release := make(chan struct{})
				app := p.start(t, provider(func(ctx context.Context, _ question) (reply, error) {
					close(entered)
					select {
					case <-ctx.Done():
					case <-release:
					}
					return reply{}, nil
				}))
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					<-entered
					cancel()
				}()
				_, err := ask.Call(ctx, app, question{})
				if mono.CodeOf(err) != mono.Canceled || mono.OutcomeOf(err) != mono.OutcomeUnknown {
					t.Errorf("got %v, %v", err, mono.OutcomeOf(err))
				}
				close(release)
			})
		})
	}
}

// A reply that cannot be sent is an error at the caller, not a silence.
func TestServiceReplyOverTheLimit(t *testing.T) {
	t.Parallel()
	p := paths[1]
	app := p.start(t, provider(func(context.Context, question) (reply, error) {
		return reply{Text: strings.Repeat("x", 2<<20)}, nil
	}))
	_, err := ask.Call(t.Context(), app, question{})
	if mono.CodeOf(err) != mono.Internal || !mono.Remote(err) || !strings.Contains(err.Error(), "test.ask") {
		t.Errorf("got %v", err)
	}
}

func TestServicePayloadOverTheLimit(t *testing.T) {
	t.Parallel()
	app := paths[1].start(t, provider(echo))
	_, err := ask.Call(t.Context(), app, question{Text: strings.Repeat("x", 2<<20)})
	if mono.CodeOf(err) != mono.InvalidArgument || mono.OutcomeOf(err) != mono.OutcomeNotDone || !strings.Contains(err.Error(), "1048576") || !strings.Contains(err.Error(), "20972") {
		t.Errorf("got %v", err)
	}
}

// A relayed failure keeps its type over two services.
func TestFailureThroughAnotherService(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.start(t,
			module("inner", func(s *mono.Scope) {
				ask.Handle(s, func(context.Context, question) (reply, error) { return reply{}, short.With(shortage{Left: 9}) })
			}),
			module("outer", func(s *mono.Scope) {
				client := ask.Client(s)
				askPack.Handle(s, client)
			}))
		_, err := askPack.Call(t.Context(), app, question{})
		if got, ok := short.Match(err); !ok || got.Left != 9 {
			t.Errorf("got %v, %v, %v", got, ok, err)
		}
	})
}

// What discovery says of a service is true although its handlers run at once,
// and whichever way the calls came.
func TestStatsAreTrueUnderConcurrency(t *testing.T) {
	t.Parallel()
	for _, wire := range []bool{false, true} {
		app := path{wire: wire, open: openNATS}.start(t, provider(func(_ context.Context, q question) (reply, error) {
			if q.Text == "fail" {
				return reply{}, mono.Errorf(mono.Aborted, "as asked")
			}
			return reply{}, nil
		}))
		var wait sync.WaitGroup
		for i := range 100 {
			wait.Go(func() {
				text := "fine"
				if i%4 == 0 {
					text = "fail"
				}
				_, _ = ask.Call(t.Context(), app, question{Text: text})
			})
		}
		wait.Wait()
		got, err := mono.Raw(app).Request(t.Context(), &transport.Message{Subject: "$SRV.STATS.provider"})
		if err != nil {
			t.Fatal(err)
		}
		home := 100
		if wire {
			home = 0
		}
		for _, want := range []string{`"num_requests":100`, `"num_errors":25`, `"last_error":"aborted: as asked"`, fmt.Sprintf(`"home_requests":%d`, home), `"name":"test_ask"`} {
			if !strings.Contains(string(got.Body), want) {
				t.Errorf("wire %v: no %s in %s", wire, want, got.Body)
			}
		}
	}
}
