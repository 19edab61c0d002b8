package mono_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// oneSided is middleware of one side. It adds the sides that it sees to a trace.
type oneSided struct {
	side  mono.Side // or "", sideOnce or sideNone
	trace *trace
}

// Other choices of oneSided than one side, or "" for both.
const (
	sideOnce mono.Side = "once" // not on the sending side of a local call
	sideNone mono.Side = "none"
)

func (o oneSided) Selects(_ mono.Handle, side mono.Side, local bool) bool {
	return o.side == "" || o.side == side || o.side == sideOnce && !local
}

func (o oneSided) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		o.trace.add(string(c.Side()))
		return next(ctx, c)
	}
}

// Selective middleware runs on its side, beside middleware of both sides, for every sender.
func TestMiddlewareOfOneSide(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		for side, want := range map[mono.Side]string{
			mono.SideSender:   "sending",
			mono.SideReceiver: "receiving",
			"":                "sending receiving",
			sideOnce:          "sending receiving",
			sideNone:          "",
		} {
			if side == sideOnce && !p.noLocalCalls {
				want = "receiving"
			}
			for _, both := range []bool{false, true} {
				var tr trace
				var call mono.Func[question, reply]
				app := p.app(t)
				app.Use(oneSided{side, &tr})
				if both {
					app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next { return next }))
				}
				app.Add(provider(echo), module("caller", func(s *mono.Scope) { call = ask.Client(s) }))
				begin(t, app)
				for _, call := range []mono.Func[question, reply]{call, func(ctx context.Context, q question) (reply, error) { return ask.Call(ctx, app, q) }} {
					if got, err := call(t.Context(), question{Text: "x"}); err != nil || got.Text != "x" {
						t.Errorf("got %v, %v", got, err)
					}
				}
				if got := strings.Join(tr.all(), " "); got != strings.TrimSpace(want+" "+want) {
					t.Errorf("side %q, both %t: got %q", side, both, got)
				}
			}
		}
	})
}

// marked is middleware of the sends to handles with an annotation. It adds their names to a trace.
type marked struct{ trace *trace }

const mark = "gomono.dev/mono_test.mark"

func (marked) Selects(h mono.Handle, side mono.Side, _ bool) bool {
	return side == mono.SideSender && mono.AnnotationOf(h, mark) != nil
}

func (m marked) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		m.trace.add(c.Handle().Name())
		return next(ctx, c)
	}
}

// Selective middleware runs for the handles that it selects, for modules and for code outside them. The
// order of middleware stays.
func TestMiddlewareOfSomeHandles(t *testing.T) {
	t.Parallel()
	special := mono.NewService[question, reply]("test.special", mono.Annotate(mark, true))
	onPaths(t, func(t *testing.T, p path) {
		var tr trace
		var calls []mono.Func[question, reply]
		app := p.app(t)
		app.Use(marked{&tr}, mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				if c.Side() == mono.SideSender {
					tr.add("all")
				}
				return next(ctx, c)
			}
		}), marked{&tr})
		app.Add(provider(echo), module("special", func(s *mono.Scope) { special.Handle(s, echo) }), module("caller", func(s *mono.Scope) {
			calls = append(calls, ask.Client(s), special.Client(s))
		}))
		begin(t, app)
		calls = append(calls, ask.Client(app), special.Client(app))
		for _, call := range calls {
			if _, err := call(t.Context(), question{Text: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		once := "all test.special all test.special"
		if got := strings.Join(tr.all(), " "); got != once+" "+once {
			t.Errorf("got %q", got)
		}
	})
}

// Middleware runs around the messages of all kinds, and of plugins, and observers see plugins too.
func TestMiddlewareOfAllKindsAndPlugins(t *testing.T) {
	t.Parallel()
	jobs, events, facts := mono.NewQueue[job]("test.plugin-jobs"), mono.NewEvent[job]("test.plugin-events"), mono.NewStream[job]("test.plugin-facts")
	onPaths(t, func(t *testing.T, p path) {
		var tr, observed trace
		done := make(chan int, 3)
		sink := func(_ context.Context, j job) error { done <- j.N; return nil }
		app := p.app(t)
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				tr.add(fmt.Sprint(c.Side(), " ", c.Handle().Kind(), " of ", c.Module()))
				return next(ctx, c)
			}
		}))
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			switch o := o.(type) {
			case mono.ModuleStarted:
				observed.add("started " + o.Module)
			case mono.HandleBound:
				observed.add(string(o.Usage) + " of " + o.Module)
			}
		}))
		app.Plugin("receiver", module("", func(s *mono.Scope) {
			ask.Handle(s, echo)
			jobs.Handle(s, sink)
			events.Handle(s, sink)
			facts.Handle(s, sink)
		}))
		var call mono.Func[question, reply]
		var send []mono.Sink[job]
		app.Plugin("sender", module("", func(s *mono.Scope) {
			call = ask.Client(s)
			enqueue, publish, appendTo := jobs.Enqueuer(s), events.Publisher(s), facts.Appender(s)
			send = []mono.Sink[job]{
				func(ctx context.Context, j job) error { return enqueue(ctx, j) },
				func(ctx context.Context, j job) error { return publish(ctx, j) },
				func(ctx context.Context, j job) error { return appendTo(ctx, j) },
			}
		}))
		begin(t, app)
		if _, err := call(t.Context(), question{}); err != nil {
			t.Fatal(err)
		}
		for _, to := range send {
			if err := to(t.Context(), job{}); err != nil {
				t.Fatal(err)
			}
			next(t, done)
		}
		got := tr.all()
		for _, kind := range []mono.Kind{mono.KindService, mono.KindQueue, mono.KindEvent, mono.KindStream} {
			for _, want := range []string{fmt.Sprint(mono.SideSender, " ", kind, " of sender"), fmt.Sprint(mono.SideReceiver, " ", kind, " of receiver")} {
				if !slices.Contains(got, want) {
					t.Errorf("%q is not in %q", want, got)
				}
			}
		}
		for _, want := range []string{"started receiver", "started sender", "provides of receiver", "needs of sender"} {
			if !slices.Contains(observed.all(), want) {
				t.Errorf("%q is not in %q", want, observed.all())
			}
		}
	})
}

// Middleware that selects other handles costs a local call nothing.
func TestMiddlewareOfOtherHandlesCostsNothing(t *testing.T) {
	allocs := func(middleware ...mono.Middleware) (inside, outside float64) {
		var call mono.Func[question, reply]
		app := newApp(t)
		app.Use(middleware...)
		app.Add(provider(echo), module("caller", func(s *mono.Scope) { call = ask.Client(s) }))
		begin(t, app)
		count := func(call mono.Func[question, reply]) float64 {
			return testing.AllocsPerRun(1000, func() {
				if _, err := call(t.Context(), question{Text: "x"}); err != nil {
					t.Error(err)
				}
			})
		}
		return count(call), count(ask.Client(app))
	}
	inside, outside := allocs()
	if i, o := allocs(marked{&trace{}}); i != inside || o != outside {
		t.Errorf("%v and %v allocations, and without the middleware %v and %v", i, o, inside, outside)
	}
}

// A panic in Selects is in the start report.
func TestPanicInSelectsFailsStart(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	app.Use(badChoice{func(next mono.Next) mono.Next { return next }})
	app.Add(provider(echo), module("caller", func(s *mono.Scope) { ask.Client(s) }))
	err := app.Start(t.Context())
	if err == nil || strings.Count(err.Error(), "badChoice panicked") != 2 {
		t.Errorf("got %v", err)
	}
}

// A panic in Selects at the first send of code outside modules does not refuse the message.
func TestPanicInSelectsOutsideModules(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	app.Use(badChoice{func(next mono.Next) mono.Next { return next }})
	begin(t, app)
	if err := mono.NewEvent[job]("test.outside").Publish(t.Context(), app, job{}); err != nil {
		t.Error(err)
	}
}

type badChoice struct{ mono.MiddlewareFunc }

func (badChoice) Selects(mono.Handle, mono.Side, bool) bool { panic("no choice") }

// The receiving side of a local call has the caller's context, as middleware of the sending side
// has changed it. Other messages have none.
func TestMiddlewareSeesTheCallersContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	onPaths(t, func(t *testing.T, p path) {
		for _, both := range []bool{false, true} {
			var tr trace
			app := p.app(t)
			if both {
				app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
					return func(ctx context.Context, c *mono.Call) error {
						if c.Side() == mono.SideSender {
							if c.CallerContext() != nil {
								t.Error("the sending side has a caller's context")
							}
							ctx = context.WithValue(ctx, key{}, "middleware")
						}
						return next(ctx, c)
					}
				}))
			}
			app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
				return func(ctx context.Context, c *mono.Call) error {
					if c.Side() == mono.SideReceiver {
						caller := c.CallerContext()
						tr.add(fmt.Sprint(caller != nil, ctx.Value(key{})))
						if caller != nil {
							tr.add(fmt.Sprint(caller.Value(key{})))
						}
					}
					return next(ctx, c)
				}
			}))
			app.Add(provider(echo))
			begin(t, app)
			if _, err := ask.Call(context.WithValue(t.Context(), key{}, "caller"), app, question{}); err != nil {
				t.Error(err)
			}
			want := []string{"false <nil>"}
			if !p.noLocalCalls {
				want = []string{"true <nil>", "caller"}
				if both {
					want[1] = "middleware"
				}
			}
			if got := tr.all(); !slices.Equal(got, want) {
				t.Errorf("both %t: got %q, want %q", both, got, want)
			}
		}
	})
	if mono.CallFrom(t.Context()).CallerContext() != nil {
		t.Error("the empty Call has a caller's context")
	}
}

// Middleware sees each message of a batch, with its own id and header.
func TestMiddlewareSeesTheBatch(t *testing.T) {
	t.Parallel()
	steps := mono.NewStream[job]("test.batched")
	onPaths(t, func(t *testing.T, p path) {
		seen := make(chan string, 10)
		app := p.app(t)
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				for one := range c.Batch() {
					seen <- fmt.Sprint(c.Module(), " ", one.ID(), " ", one.Header("Number"), " ", one.Count(), " ", one.Payload())
				}
				return next(ctx, c)
			}
		}))
		app.Add(module("single", func(s *mono.Scope) { steps.Handle(s, func(context.Context, job) error { return nil }) }),
			module("batches", func(s *mono.Scope) {
				steps.HandleBatch(s, func(context.Context, []mono.Message[job]) error { return nil }, mono.BatchWait(20*time.Millisecond))
			}))
		begin(t, app)
		for n := range 3 {
			if err := steps.With(mono.DedupID(fmt.Sprint("id", n)), mono.Header("Number", fmt.Sprint(n))).Append(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 3 {
			if got, want := next(t, seen), fmt.Sprintf("batches id%d %d 1 %v", n, n, job{N: n}); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
	for range mono.CallFrom(t.Context()).Batch() {
		t.Error("the empty Call has a batch")
	}
}

// A header that middleware removes is not sent. On the receiving side the handler does not see it,
// and the dead letter has it nevertheless.
func TestMiddlewareRemovesAHeader(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		seen := make(chan string, 1)
		app := p.app(t)
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				if c.Side() == mono.SideSender {
					c.DelHeader("A")
				} else {
					c.DelHeader("B")
				}
				return next(ctx, c)
			}
		}))
		app.Add(module("tenant", func(s *mono.Scope) {
			tenantQueue.Handle(s, func(ctx context.Context, _ job) error {
				c := mono.CallFrom(ctx)
				seen <- c.Header("A") + c.Header("B") + c.Header("C")
				return mono.Permanent(errors.New("no"))
			})
		}))
		begin(t, app)
		if err := tenantQueue.With(mono.Header("A", "a"), mono.Header("B", "b"), mono.Header("C", "c")).Enqueue(t.Context(), app, job{}); err != nil {
			t.Fatal(err)
		}
		letter := awaitDeadLetters(t, tenantQueue.DeadLetters(app), 1)[0]
		if got, h := next(t, seen), letter.Header; got != "c" || h.Has("A") || h.Get("B") != "b" || h.Get("C") != "c" {
			t.Errorf("the handler has seen %q, the dead letter has %v", got, h)
		}
	})
}

// Middleware sees the number of messages, and the partition of a message in an ordered group.
func TestMiddlewareSeesCountAndPartition(t *testing.T) {
	t.Parallel()
	steps := mono.NewStream[job]("test.counted", mono.Partitions(8)).KeyedBy(func(j job) string { return fmt.Sprint("k", j.N) })
	onPaths(t, func(t *testing.T, p path) {
		var tr trace
		batches := make(chan int, 100)
		app := p.app(t)
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				if c.Side() == mono.SideReceiver && c.Module() == "batches" {
					batches <- c.Count()
					if c.Partition() != -1 {
						t.Errorf("a batch has the partition %d", c.Partition())
					}
				} else {
					tr.add(fmt.Sprint(c.Module(), " ", c.Side(), " ", c.Key(), " ", c.Partition(), " ", c.Count()))
				}
				return next(ctx, c)
			}
		}))
		handled := make(chan int, 4)
		handler := func(_ context.Context, j job) error { handled <- j.N; return nil }
		app.Add(module("ordered", func(s *mono.Scope) { steps.Handle(s, handler) }),
			module("unordered", func(s *mono.Scope) { steps.Handle(s, handler, mono.Unordered()) }),
			module("batches", func(s *mono.Scope) {
				steps.HandleBatch(s, func(context.Context, []mono.Message[job]) error { return nil }, mono.BatchWait(20*time.Millisecond))
			}))
		begin(t, app)
		for n := range 2 {
			if err := steps.Append(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
			next(t, handled)
			next(t, handled)
		}
		for sum := 0; sum < 2; {
			sum += next(t, batches)
		}
		got := tr.all()
		slices.Sort(got)
		want := []string{" sending  -1 1", " sending  -1 1", fmt.Sprintf("ordered receiving k0 %d 1", transport.PartitionOf("k0", 8)), fmt.Sprintf("ordered receiving k1 %d 1", transport.PartitionOf("k1", 8)), "unordered receiving k0 -1 1", "unordered receiving k1 -1 1"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	if c := mono.CallFrom(t.Context()); c.Count() != 1 || c.Partition() != -1 || c.Local() || c.ReplySize() != 0 {
		t.Error("the empty Call is wrong")
	}
}

// Middleware sees the size of a reply on both sides, and whether the call is local. The
// reply is encoded once, unless middleware calls the handler again.
func TestMiddlewareSeesTheReplySize(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var tr trace
		calls := 0
		app := p.app(t)
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				before := c.ReplySize()
				err := next(ctx, c)
				tr.add(fmt.Sprint(c.Side(), " ", c.Local() == !p.noLocalCalls, " ", before, " ", c.ReplySize(), " ", err != nil))
				if c.Side() == mono.SideReceiver && calls == 2 {
					err = next(ctx, c)
					tr.add(fmt.Sprint("again ", c.ReplySize()))
				}
				return err
			}
		}))
		app.Add(provider(func(_ context.Context, q question) (reply, error) {
			if calls++; q.Text == "" {
				return reply{}, mono.Errorf(mono.NotFound, "no text")
			}
			return reply{Text: fmt.Sprint(q.Text, calls)}, nil
		}))
		begin(t, app)
		for _, text := range []string{"x", "y", ""} {
			got, err := ask.Call(t.Context(), app, question{Text: text})
			tr.add(fmt.Sprint(got.Text, " ", err != nil))
		}
		small, n := len(`{"text":"x1"}`), 0
		if got := tr.all(); len(got) > 0 {
			_, _ = fmt.Sscanf(got[0], "receiving true 0 %d", &n)
		}
		if n < small {
			t.Errorf("the reply has %d bytes", n)
		}
		want := []string{
			fmt.Sprintf("receiving true 0 %d false", n), fmt.Sprintf("sending true 0 %d false", n), "x1 false",
			fmt.Sprintf("receiving true 0 %d false", n), fmt.Sprintf("again %d", n), fmt.Sprintf("sending true 0 %d false", n), "y3 false",
			"receiving true 0 0 true", "sending true 0 0 true", " true",
		}
		if got := tr.all(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
