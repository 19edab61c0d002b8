package mono_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

var (
	tenantFront  = mono.NewService[job, job]("tenant.front")
	tenantBack   = mono.NewService[job, job]("tenant.back")
	tenantOther  = mono.NewService[job, job]("tenant.other")
	tenantQueue  = mono.NewQueue[job]("tenant.queue", mono.MaxAttempts(1))
	tenantEvent  = mono.NewEvent[job]("tenant.event", mono.Durable())
	tenantBrief  = mono.NewEvent[job]("tenant.brief")
	tenantStream = mono.NewStream[job]("tenant.stream")
)

// A value reaches everything that follows from the first request: through local calls and calls
// over the transport, jobs, events and batches, and through a dead letter and its replay.
func TestPropagate(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		for _, middleware := range []bool{false, true} {
			got := make(chan string, 10)
			fail := true
			app := p.app(t, mono.Propagate("Tenant", nil))
			if middleware {
				app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
					return func(ctx context.Context, c *mono.Call) error {
						if c.Header("Tenant") != "acme" {
							t.Errorf("middleware on the %s side of %s has the tenant %q", c.Side(), c.Handle().Name(), c.Header("Tenant"))
						}
						return next(ctx, c)
					}
				}))
			}
			app.Add(module("tenant", func(s *mono.Scope) {
				back, queue := tenantBack.Client(s), tenantQueue.Enqueuer(s)
				event, brief, stream := tenantEvent.Publisher(s), tenantBrief.Publisher(s), tenantStream.Appender(s)
				tenantFront.Handle(s, func(ctx context.Context, j job) (job, error) { return back(ctx, j) })
				tenantBack.Handle(s, func(ctx context.Context, j job) (job, error) {
					return j, queue(ctx, j, mono.Delay(time.Millisecond))
				})
				tenantQueue.Handle(s, func(ctx context.Context, j job) error {
					if fail {
						fail = false
						return mono.Errorf(mono.Internal, "the first attempt fails")
					}
					return event(ctx, j)
				})
				tenantEvent.Handle(s, func(ctx context.Context, j job) error { return brief(ctx, j) })
				tenantBrief.Handle(s, func(ctx context.Context, j job) error { return stream(ctx, j) })
				tenantStream.HandleBatch(s, func(ctx context.Context, _ []mono.Message[job]) error {
					got <- mono.Propagated(ctx, "Tenant") + " " + mono.CallFrom(ctx).Header("Tenant")
					return nil
				}, mono.BatchWait(time.Millisecond))
			}))
			begin(t, app)
			ctx := mono.WithPropagated(t.Context(), "Tenant", "acme")
			if _, err := tenantFront.Call(ctx, app, job{N: 1}); err != nil {
				t.Fatal(err)
			}
			letters := tenantQueue.DeadLetters(app)
			if err := letters.Replay(mono.WithPropagated(t.Context(), "Tenant", "other"), awaitDeadLetters(t, letters, 1)[0]); err != nil {
				t.Fatal(err)
			}
			if tenant := next(t, got); tenant != "acme acme" {
				t.Errorf("got %q", tenant)
			}
		}
	})
}

// The nearest value counts: that of the message, of the context, of the message that is handled.
// "" ends the inheritance.
func TestPropagateTheNearest(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t, mono.Propagate("Tenant", nil), mono.Propagate("Region", nil))
		app.Add(module("tenant", func(s *mono.Scope) {
			s.Use(tenantBack)
			tenantFront.Handle(s, func(ctx context.Context, j job) (job, error) {
				for _, c := range []struct {
					ctx     context.Context
					options []mono.ServiceSendOption
					want    string
				}{
					{ctx, nil, "acme"},
					{mono.WithPropagated(ctx, "Tenant", "second"), nil, "second"},
					{mono.WithPropagated(mono.WithPropagated(ctx, "Tenant", "second"), "Region", "eu"), nil, "second"},
					{mono.WithPropagated(ctx, "Tenant", "second"), []mono.ServiceSendOption{mono.Header("Tenant", "third")}, "third"},
					{mono.WithPropagated(ctx, "Tenant", ""), nil, ""},
					{mono.WithPropagated(mono.WithPropagated(ctx, "Tenant", "second"), "Unknown", "third"), nil, "second"},
					{context.Background(), nil, ""},
				} {
					back, err := tenantBack.With(c.options...).Call(c.ctx, s, j)
					if err != nil || back.Key != c.want {
						t.Errorf("got %q, %v, want %q", back.Key, err, c.want)
					}
				}
				return j, nil
			})
			tenantBack.Handle(s, func(ctx context.Context, j job) (job, error) {
				j.Key = mono.Propagated(ctx, "Tenant")
				if other := mono.Propagated(ctx, "Unknown"); other != "" {
					t.Errorf("got %q for a header that is not propagated", other)
				}
				return j, nil
			})
		}))
		begin(t, app)
		if _, err := tenantFront.With(mono.Header("Tenant", "acme")).Call(t.Context(), app, job{}); err != nil {
			t.Fatal(err)
		}
	})
}

// choose determines the value of a message that has none, which may be the id of the message. It
// may be called by several goroutines of a handler, and the id is the same on both sides, also if
// middleware sends again.
func TestPropagateChoose(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		for _, middleware := range []bool{false, true} {
			app := p.app(t, mono.Propagate("Root", func(c *mono.Call, value string) string {
				if value == "" {
					return c.ID()
				}
				return value
			}))
			var sent []string
			if middleware {
				app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
					return func(ctx context.Context, c *mono.Call) error {
						err := next(ctx, c)
						if c.Side() == mono.SideSender && c.Handle().Name() == "tenant.front" {
							sent = append(sent, c.Header("Root"))
							err = next(ctx, c)
							sent = append(sent, c.Header("Root"))
						}
						return err
					}
				}))
			}
			var roots []string
			app.Add(module("tenant", func(s *mono.Scope) {
				s.Use(tenantBack)
				tenantFront.Handle(s, func(ctx context.Context, j job) (job, error) {
					var all sync.WaitGroup
					values := make([]string, 4)
					for i := range values {
						all.Go(func() {
							back, err := tenantBack.Call(ctx, s, j)
							if err != nil {
								t.Error(err)
							}
							values[i] = back.Key
						})
					}
					all.Wait()
					roots = append(append(roots, mono.CallFrom(ctx).ID()), values...)
					return j, nil
				})
				tenantBack.Handle(s, func(ctx context.Context, j job) (job, error) {
					j.Key = mono.Propagated(ctx, "Root")
					return j, nil
				})
			}))
			begin(t, app)
			if _, err := tenantFront.Call(t.Context(), app, job{}); err != nil {
				t.Fatal(err)
			}
			if middleware && (len(sent) != 2 || len(roots) != 10) {
				t.Errorf("middleware has seen %q, the handler %q", sent, roots)
			}
			for _, root := range append(sent, roots...) {
				if root == "" || root != roots[0] {
					t.Errorf("middleware has seen %q, the handler %q", sent, roots)
					break
				}
			}
		}
	})
}

// A value of a stranger that is too long, or that cannot be sent, does not make what follows fail.
func TestBadValuesAreNotPropagated(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		got := make(chan string, 1)
		app := p.app(t, mono.Propagate("Tenant", nil))
		app.Add(module("tenant", func(s *mono.Scope) {
			queue := tenantQueue.Enqueuer(s)
			tenantFront.Handle(s, func(ctx context.Context, j job) (job, error) { return j, queue(ctx, j) })
			tenantQueue.Handle(s, func(ctx context.Context, _ job) error {
				got <- mono.CallFrom(ctx).Header("Tenant")
				return nil
			})
		}))
		begin(t, app)
		for value, want := range map[string]string{
			"acme":                       "acme",
			strings.Repeat("x", 8<<10):   strings.Repeat("x", 8<<10),
			strings.Repeat("x", 8<<10+1): "",
			strings.Repeat("x", 900<<10): "",
		} {
			m := &transport.Message{Subject: "services.tenant.front", Body: []byte("{}")}
			m.Header.Set("Tenant", value)
			if reply, err := mono.Raw(app).Request(t.Context(), m); err != nil || transport.ErrorFromHeader(reply.Header) != nil {
				t.Fatalf("%d bytes: %v, %v", len(value), err, reply)
			}
			if is := next(t, got); is != want {
				t.Errorf("%d bytes: the job has %d", len(value), len(is))
			}
		}
	})
}

// PropagateTo reaches the messages of some handles only, and what follows from the others has no
// value. A sender can still set it.
func TestPropagateTo(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		for _, middleware := range []bool{false, true} {
			got := make(chan string, 10)
			app := p.app(t, mono.PropagateTo("Tenant", func(h mono.Handle) bool { return h.Kind() == mono.KindService && h.Name() != "tenant.other" }))
			if middleware {
				app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next { return next }))
			}
			app.Add(module("tenant", func(s *mono.Scope) {
				s.Use(tenantBack, tenantOther, tenantQueue)
				tenantFront.Handle(s, func(ctx context.Context, j job) (job, error) {
					if _, err := tenantOther.Call(ctx, s, j); err != nil {
						return j, err
					}
					if _, err := tenantOther.With(mono.Header("Tenant", "set")).Call(ctx, s, j); err != nil {
						return j, err
					}
					return tenantBack.Call(ctx, s, j)
				})
				read := func(ctx context.Context, j job) (job, error) {
					got <- mono.CallFrom(ctx).Handle().Name() + " " + mono.Propagated(ctx, "Tenant") + " " + mono.CallFrom(ctx).Header("Tenant")
					if mono.CallFrom(ctx).Handle().Name() == "tenant.back" {
						return j, tenantQueue.Enqueue(ctx, s, j)
					}
					return j, nil
				}
				tenantOther.Handle(s, read)
				tenantBack.Handle(s, read)
				tenantQueue.Handle(s, func(ctx context.Context, j job) error {
					got <- "queue " + mono.Propagated(ctx, "Tenant")
					return nil
				})
			}))
			begin(t, app)
			if _, err := tenantFront.Call(mono.WithPropagated(t.Context(), "Tenant", "acme"), app, job{N: 1}); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"tenant.other  ", "tenant.other set set", "tenant.back acme acme", "queue "} {
				if tenant := next(t, got); tenant != want {
					t.Errorf("got %q, want %q", tenant, want)
				}
			}
		}
	})
	if text := panicOf(func() { mono.PropagateTo("Tenant", nil) }); !strings.Contains(text, `mono.PropagateTo("Tenant", nil): want a function`) {
		t.Errorf("got %q", text)
	}
}

func TestBadPropagate(t *testing.T) {
	t.Parallel()
	for want, options := range map[string][]mono.AppOption{
		`header "Mono-Id" is set by mono`:               {mono.Propagate("Mono-Id", nil)},
		`header "Nats-Msg-Id" belongs to the transport`: {mono.Propagate("Nats-Msg-Id", nil)},
		`header`:  {mono.Propagate("", nil)},
		`invalid`: {mono.Propagate("a b", nil)},
		`Propagate("Tenant") is given twice: leave one out`: {mono.Propagate("Tenant", nil), mono.Propagate("Tenant", nil)},
	} {
		got := panicOf(func() { mono.New(inproc.New(inproc.Options{}), options...) })
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
