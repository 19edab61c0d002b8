package mono_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// crowd counts the handlers that run at once.
type crowd struct {
	running, most atomic.Int32
}

// handle returns fn with the count.
func (c *crowd) handle(fn handler) handler {
	return func(ctx context.Context, q question) (reply, error) {
		n := c.running.Add(1)
		defer c.running.Add(-1)
		for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
		}
		return fn(ctx, q)
	}
}

// callers calls ask n times concurrently and waits for all calls.
func (s *caseRun) callers(n int, app *mono.App) {
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			if _, err := ask.Call(s.Context(), app, question{Text: fmt.Sprint(i)}); err != nil {
				s.Error(err)
			}
		})
	}
	wait.Wait()
}

// heavy and heavyBytes are failures whose values may be large.
var (
	heavy      = mono.NewFailure[reply]("test.heavy", mono.ResourceExhausted)
	heavyBytes = mono.NewFailure[[]byte]("test.heavy-bytes", mono.ResourceExhausted)
)

// tight is a transport that limits the bytes of a published message, or of its header.
type tight struct {
	transport.Transport
	message, header int
}

func (l tight) Publish(ctx context.Context, m *transport.Message) error {
	if err := m.CheckSize(l.message); err != nil {
		return err
	}
	bare := *m
	bare.Body = nil
	if err := bare.CheckSize(l.header); err != nil {
		return err
	}
	return l.Transport.Publish(ctx, m)
}

var serviceLimitCases = []serviceCase{
	{"handlers run at once up to their limit", "", func(s *caseRun) {
		var c crowd
		app := s.serve(c.handle(func(context.Context, question) (reply, error) {
			<-time.After(tick)
			return reply{}, nil
		}), mono.Concurrency(3))
		began := time.Now()
		s.callers(9, app)
		if s.took(began, 3*tick); c.most.Load() > 3 || s.virtual() && c.most.Load() != 3 {
			s.Errorf("%d handlers ran at once", c.most.Load())
		}
	}},
	{"a limit of one runs handlers one after another", "", func(s *caseRun) {
		var c crowd
		app := s.serve(c.handle(func(context.Context, question) (reply, error) {
			runtime.Gosched()
			return reply{}, nil
		}), mono.Concurrency(1))
		if s.callers(50, app); c.most.Load() != 1 {
			s.Errorf("%d handlers ran at once", c.most.Load())
		}
	}},
	{"a service without a limit has the default limit", "", func(s *caseRun) {
		release := make(chan struct{})
		var inside sync.WaitGroup
		inside.Add(mono.DefaultConcurrency)
		var c crowd
		app := s.serve(c.handle(func(context.Context, question) (reply, error) {
			if c.running.Load() <= mono.DefaultConcurrency {
				inside.Done()
			}
			<-release
			return reply{}, nil
		}))
		go func() {
			inside.Wait()
			close(release)
		}()
		if s.callers(mono.DefaultConcurrency, app); c.most.Load() != mono.DefaultConcurrency {
			s.Errorf("%d handlers ran at once", c.most.Load())
		}
	}},
	{"callers that wait for a free handler are served in order", "", func(s *caseRun) {
		if !s.virtual() {
			return // the order in which requests leave is unknown over NATS
		}
		var tr trace
		app := s.serve(func(_ context.Context, q question) (reply, error) {
			tr.add(q.Text)
			<-time.After(tick)
			return reply{}, nil
		}, mono.Concurrency(1))
		var wait sync.WaitGroup
		for i := range 5 {
			wait.Go(func() {
				<-time.After(time.Duration(i+1) * time.Millisecond)
				if _, err := ask.Call(s.Context(), app, question{Text: fmt.Sprint(i)}); err != nil {
					s.Error(err)
				}
			})
		}
		if wait.Wait(); strings.Join(tr.all(), "") != "01234" {
			s.Errorf("they were served in the order %q", tr.all())
		}
	}},
	{"local calls and requests from the transport share the limit", "", func(s *caseRun) {
		var c crowd
		app := s.serve(c.handle(func(context.Context, question) (reply, error) {
			<-time.After(tick / 10)
			return reply{}, nil
		}), mono.Concurrency(2))
		var wait sync.WaitGroup
		for range 6 {
			wait.Go(func() {
				if _, err := mono.Raw(app).Request(s.Context(), &transport.Message{Subject: "services.test.ask", Body: []byte("{}")}); err != nil {
					s.Error(err)
				}
			})
		}
		s.callers(6, app)
		if wait.Wait(); c.most.Load() > 2 {
			s.Errorf("%d handlers ran at once", c.most.Load())
		}
	}},
	{"a handler may call its own service while its limit allows", "", func(s *caseRun) {
		var client handler
		app := s.start(module("both", func(sc *mono.Scope) {
			client = ask.Client(sc)
			ask.Handle(sc, func(ctx context.Context, q question) (reply, error) {
				if len(q.Text) == 4 {
					return reply{Text: q.Text}, nil
				}
				got, err := client(ctx, question{Text: q.Text + "x"})
				return reply{Text: got.Text}, err
			}, mono.Concurrency(5))
		}))
		if got, err := ask.Call(s.Context(), app, question{}); err != nil || got.Text != "xxxx" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"a request over the transport's limit is not sent", unbounded, func(s *caseRun) {
		got, err := ask.Call(s.Context(), s.serve(echo), question{Text: strings.Repeat("x", 2<<20)})
		if s.local(unbounded) {
			if err != nil || len(got.Text) != 2<<20 {
				s.Errorf("got %d bytes, %v", len(got.Text), err)
			}
			return
		}
		s.want(err, mono.InvalidArgument, mono.OutcomeNotDone, "1048576", "20971")
	}},
	{"a reply over the transport's limit is an error at the caller", unbounded, func(s *caseRun) {
		got, err := ask.Call(s.Context(), s.serve(func(context.Context, question) (reply, error) {
			return reply{Text: strings.Repeat("x", 2<<20)}, nil
		}), question{})
		if s.local(unbounded) {
			if err != nil || len(got.Text) != 2<<20 {
				s.Errorf("got %d bytes, %v", len(got.Text), err)
			}
			return
		}
		s.want(err, mono.Internal, mono.OutcomeAnswered, "test.ask")
	}},
	{"a failure whose value is over the transport's limit keeps its code, text and name", unbounded, func(s *caseRun) {
		tooHeavy := fmt.Errorf("while asking: %w", heavy.With(reply{Text: strings.Repeat("x", 2<<20)}))
		app := s.start(module("provider", func(sc *mono.Scope) {
			ask.Handle(sc, failing(tooHeavy))
			askRaw.Handle(sc, func(context.Context, []byte) ([]byte, error) { return nil, tooHeavy })
		}), module("outer", func(sc *mono.Scope) {
			client := ask.Client(sc)
			askPack.Handle(sc, client)
		}))
		_, inJSON := ask.Call(s.Context(), app, question{})
		_, inBytes := askRaw.Call(s.Context(), app, nil)
		_, relayed := askPack.Call(s.Context(), app, question{})
		for _, err := range []error{inJSON, inBytes, relayed} {
			s.want(err, mono.ResourceExhausted, mono.OutcomeAnswered, "while asking: resource_exhausted: test.heavy")
			if !errors.Is(err, heavy) || errors.Is(err, short) {
				s.Errorf("it is not the failure: %v", err)
			}
			if got, ok := heavy.Match(err); ok != s.local(unbounded) || ok && len(got.Text) != 2<<20 {
				s.Errorf("its value has %d bytes, %v", len(got.Text), ok)
			}
		}
	}},
	{"a failure of bytes whose value is over the limit has no value", unbounded, func(s *caseRun) {
		app := s.start(module("provider", func(sc *mono.Scope) {
			askRaw.Handle(sc, func(context.Context, []byte) ([]byte, error) { return nil, heavyBytes.With(make([]byte, 2<<20)) })
		}))
		_, err := askRaw.Call(s.Context(), app, nil)
		s.want(err, mono.ResourceExhausted, mono.OutcomeAnswered, "test.heavy-bytes")
		if got, ok := heavyBytes.Match(err); ok != s.local(unbounded) || !errors.Is(err, heavyBytes) {
			s.Errorf("got %d bytes, %v, %v", len(got), ok, err)
		}
	}},
	{"an error text over the transport's limit is cut", unbounded, func(s *caseRun) {
		text := strings.Repeat("größer", 400)
		for _, limit := range []tight{{message: 1000}, {header: 300}, {header: 90}, {header: 60}} {
			limit.Transport = s.path.open(s.TB)
			opts := []mono.AppOption{quiet(s.TB)}
			if s.path.noLocalCalls {
				opts = append(opts, mono.NoLocalCalls())
			}
			app := mono.New(limit, opts...)
			app.Add(provider(failing(heavy.With(reply{Text: "x"})), mono.Concurrency(1)), module("text", func(sc *mono.Scope) {
				askMinute.Handle(sc, failing(mono.Errorf(mono.Aborted, "%s", text)))
			}))
			begin(s.TB, app)
			_, err := askMinute.Call(s.Context(), app, question{})
			s.want(err, mono.Aborted, mono.OutcomeAnswered)
			got := strings.TrimPrefix(err.Error(), "aborted: ")
			if whole := got == text; whole != s.local(unbounded) || !whole && !strings.HasPrefix(text, strings.TrimPrefix(got, "aborted")) {
				s.Errorf("limits %d and %d: got %d bytes %q", limit.message, limit.header, len(got), got)
			}
			if (limit.message == 1000 || limit.header == 300) && len(got) < 20 {
				s.Errorf("limits %d and %d: only %q is left", limit.message, limit.header, got)
			}
			_, err = ask.Call(s.Context(), app, question{})
			s.want(err, mono.ResourceExhausted, mono.OutcomeAnswered)
			if named := errors.Is(err, heavy); named != (limit.header != 60 || s.local(unbounded)) {
				s.Errorf("limits %d and %d: got %v, matches the failure: %v", limit.message, limit.header, err, named)
			}
		}
	}},
	{"a handler that ends its goroutine releases its place", exits, func(s *caseRun) {
		app := s.serve(func(ctx context.Context, q question) (reply, error) {
			if q.Text == "exit" {
				runtime.Goexit()
			}
			return echo(ctx, q)
		}, mono.Concurrency(2))
		for range 3 {
			ended := make(chan error, 1)
			go func() {
				defer close(ended)
				_, err := ask.Call(s.Context(), app, question{Text: "exit"})
				ended <- err
			}()
			if err, returned := <-ended; returned == s.local(exits) || returned && mono.CodeOf(err) != mono.Internal {
				s.Errorf("the call returned: %v, with %v", returned, err)
			}
		}
		if got, err := ask.Call(s.Context(), app, question{Text: "x"}); err != nil || got.Text != "x" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"discovery reports correct statistics of a service", "", func(s *caseRun) {
		if s.path.name != "nats" {
			return // only NATS has discovery
		}
		s.discovers(s.path)
		s.discovers(path{"local calls with nats", false, openNATS})
	}},
}

// discovers checks the statistics that discovery reports of a service after a hundred
// concurrent calls.
func (s *caseRun) discovers(p path) {
	app := p.start(s.TB, provider(func(_ context.Context, q question) (reply, error) {
		if strings.HasSuffix(q.Text, "7") {
			return reply{}, mono.Errorf(mono.Aborted, "ends in 7")
		}
		return reply{}, nil
	}))
	var wait sync.WaitGroup
	for i := range 100 {
		wait.Go(func() { _, _ = ask.Call(s.Context(), app, question{Text: fmt.Sprint(i)}) })
	}
	wait.Wait()
	got, err := mono.Raw(app).Request(s.Context(), &transport.Message{Subject: "$SRV.STATS.provider"})
	if err != nil {
		s.Fatal(err)
	}
	local := 100
	if p.noLocalCalls {
		local = 0
	}
	for _, want := range []string{`"num_requests":100`, `"num_errors":10`, `"last_error":"aborted: ends in 7"`, fmt.Sprintf(`"local_requests":%d`, local), `"name":"test_ask"`} {
		if !strings.Contains(string(got.Body), want) {
			s.Errorf("%s: no %s in %s", p.name, want, got.Body)
		}
	}
}
