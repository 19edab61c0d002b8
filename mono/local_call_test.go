package mono_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

var askBalanced = mono.NewService[question, reply]("test.ask-balanced", mono.LoadBalanced())

// Calls to a LoadBalanced service also reach other instances. Other calls are local.
func TestLoadBalancedSpreadsCalls(t *testing.T) {
	t.Parallel()
	tr := inproc.New(inproc.Options{})
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	var clients []handler
	for i := range 2 {
		app := mono.New(borrowed{tr}, quiet(t))
		app.Add(module("provider", func(s *mono.Scope) {
			answer := func(context.Context, question) (reply, error) { return reply{Text: fmt.Sprint(i)}, nil }
			askBalanced.Handle(s, answer)
			ask.Handle(s, answer)
			clients = append(clients, askBalanced.Client(s), ask.Client(s))
		}))
		begin(t, app)
	}
	answers := func(client handler) []string {
		var all []string
		for range 200 {
			got, err := client(t.Context(), question{})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, got.Text)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	if got := answers(clients[0]); len(got) != 2 {
		t.Errorf("200 calls were all answered by %q", got)
	}
	if got := answers(clients[1]); !slices.Equal(got, []string{"0"}) {
		t.Errorf("local calls were answered by %q", got)
	}
}

// endpoints is a transport that records the endpoints of services.
type endpoints struct {
	transport.Transport
	all map[string]*transport.Endpoint
}

func (e *endpoints) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	if s.Endpoint != nil {
		e.all[s.Endpoint.Metadata["handle"]] = s.Endpoint
	}
	return e.Transport.Subscribe(ctx, s, h)
}

// The statistics of a service count all calls, local or not, and the sum of their durations.
func TestStatsAddUp(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		synctest.Test(t, func(t *testing.T) {
			tr := &endpoints{inproc.New(inproc.Options{}), make(map[string]*transport.Endpoint)}
			opts := []mono.AppOption{quiet(t)}
			if p.noLocalCalls {
				opts = append(opts, mono.NoLocalCalls())
			}
			app := mono.New(tr, opts...)
			app.Add(provider(func(_ context.Context, q question) (reply, error) {
				if took, err := time.ParseDuration(q.Text); err == nil {
					<-time.After(took)
					return reply{}, nil
				}
				return reply{}, errors.New(q.Text)
			}))
			begin(t, app)
			call := func(n int, text string) {
				for range n {
					_, _ = ask.Call(t.Context(), app, question{Text: text})
				}
			}
			call(20_000, "1us")
			call(3, "2s")
			call(2, "no")
			got := tr.all["test.ask"].Stats()
			if got.Requests != 20_005 || got.Errors != 2 || got.LastError != "no" || got.ProcessingTime != 6020*time.Millisecond {
				t.Errorf("%s: got %+v", p.name, got)
			}
			local := uint64(20_005)
			if p.noLocalCalls {
				local = 0
			}
			if data, ok := got.Data.(map[string]uint64); !ok || data["local_requests"] != local {
				t.Errorf("%s: got %v", p.name, got.Data)
			}
		})
	}
}

// A service never exceeds its Concurrency, whether callers return, time out or meet a
// panic, and no caller keeps its place afterwards.
func TestCallersComeAndGo(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var c crowd
		app := p.start(t, provider(c.handle(func(ctx context.Context, q question) (reply, error) {
			switch q.Text {
			case "wait":
				<-ctx.Done()
				return reply{}, ctx.Err()
			case "panic":
				panic("as asked")
			}
			return reply{Text: q.Text}, nil
		}), mono.Concurrency(3)))
		var wait sync.WaitGroup
		for i := range 16 {
			wait.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				for range 60 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(3000))*time.Microsecond)
					text := []string{"echo", "echo", "echo", "wait", "panic"}[r.IntN(5)]
					got, err := ask.Call(ctx, app, question{Text: text})
					if err == nil && (text != "echo" || got.Text != text) {
						t.Errorf("%s: got %v", text, got)
					}
					cancel()
				}
			})
		}
		wait.Wait()
		if c.most.Load() > 3 {
			t.Errorf("%d handlers ran at once", c.most.Load())
		}
		for range 6 {
			if got, err := ask.Call(t.Context(), app, question{Text: "x"}); err != nil || got.Text != "x" {
				t.Errorf("afterwards: %v, %v", got, err)
			}
		}
	})
}

// Many goroutines can use the context of a handler at once, also while and after the
// handler returns.
func TestHandlerContextIsSharedByGoroutines(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var left sync.WaitGroup
		app := p.start(t, provider(func(ctx context.Context, _ question) (reply, error) {
			for i := range 8 {
				left.Go(func() {
					switch i % 4 {
					case 0:
						<-ctx.Done()
					case 1:
						child, cancel := context.WithCancel(ctx)
						defer cancel()
						<-child.Done()
					case 2:
						for ctx.Err() == nil {
							ctx.Deadline()
						}
					case 3:
						ended := make(chan struct{})
						context.AfterFunc(ctx, func() { close(ended) })
						<-ended
					}
					if ctx.Err() == nil || mono.CallFrom(ctx).Handle().Name() != "test.ask" {
						t.Errorf("goroutine %d: %v", i, ctx.Err())
					}
				})
			}
			return reply{}, nil
		}))
		for range 50 {
			if _, err := ask.Call(t.Context(), app, question{}); err != nil {
				t.Error(err)
			}
			left.Wait()
		}
	})
}

// The deadline of a caller bounds all nested calls. A later deadline of a handler does not
// extend it.
func TestDeadlinesNest(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		synctest.Test(t, func(t *testing.T) {
			var depth atomic.Int32
			var client handler
			app := p.start(t, module("nested", func(s *mono.Scope) {
				client = ask.Client(s)
				ask.Handle(s, func(ctx context.Context, q question) (reply, error) {
					if depth.Add(1) == 10 {
						<-ctx.Done()
						return reply{}, ctx.Err()
					}
					ctx, cancel := context.WithTimeout(ctx, time.Hour)
					defer cancel()
					return client(ctx, q)
				})
			}))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			_, err := ask.Call(ctx, app, question{})
			if !errors.Is(err, context.DeadlineExceeded) || mono.OutcomeOf(err) != mono.OutcomeUnknown || time.Since(began) != 5*time.Second || depth.Load() != 10 {
				t.Errorf("%s: got %v, outcome %v, after %v, depth %d", p.name, err, mono.OutcomeOf(err), time.Since(began), depth.Load())
			}
		})
	}
}
