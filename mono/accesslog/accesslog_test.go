package accesslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/requestid"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

type order struct {
	ID string
}

var (
	place   = mono.NewService[order, order]("orders.place")
	slowly  = mono.NewService[order, order]("orders.slowly")
	ship    = mono.NewQueue[order]("orders.ship", mono.Backoff(mono.Constant(time.Second)), mono.MaxAttempts(2))
	placed  = mono.NewEvent[order]("orders.placed")
	ledger  = mono.NewStream[order]("orders.ledger", mono.Partitions(8)).KeyedBy(func(o order) string { return o.ID })
	numbers = mono.NewChannel[int]("orders.numbers")
)

// output receives the lines of a log.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// line is a record in JSON.
type line map[string]any

// lines returns the records.
func (o *output) lines(t testing.TB) (lines []line) {
	t.Helper()
	for text := range strings.Lines(o.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}

// text returns attributes of a record.
func (l line) text(names ...string) string {
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprint(l[n]))
	}
	return strings.Join(parts, " ")
}

// json returns a handler that writes to o.
func (o *output) json() slog.Handler { return slog.NewJSONHandler(o, nil) }

// newApp returns an App in memory, with middleware.
func newApp(t testing.TB, opts []mono.AppOption, middleware ...mono.Middleware) *mono.App {
	t.Helper()
	app := mono.New(inproc.New(inproc.Options{}), append([]mono.AppOption{mono.Logger(slog.New(slog.DiscardHandler))}, opts...)...)
	app.Use(middleware...)
	return app
}

func start(t testing.TB, app *mono.App) {
	t.Helper()
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func stop(t testing.TB, app *mono.App) {
	t.Helper()
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func module(name string, bind func(s *mono.Scope)) mono.Module {
	return mono.NewModule(name, func(s *mono.Scope) error {
		bind(s)
		return nil
	})
}

// serving returns a module that provides a service.
func serving(fn mono.Func[order, order]) mono.Module {
	return module("orders", func(s *mono.Scope) { place.Handle(s, fn) })
}

func same(_ context.Context, o order) (order, error) { return o, nil }

// call calls the service once.
func call(t testing.TB, app *mono.App) {
	t.Helper()
	if _, err := place.Call(t.Context(), app, order{ID: "a1"}); err != nil {
		t.Error(err)
	}
}

// A call has one record, with module, handle, kind, id, request id, caller, outcome, duration and
// sizes. Over the transport it is the same as local, except for the sizes.
func TestRecordOfACall(t *testing.T) {
	t.Parallel()
	for _, local := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var out output
			opts := []mono.AppOption{requestid.Propagate()}
			if !local {
				opts = append(opts, mono.NoLocalCalls())
			}
			app := newApp(t, opts, accesslog.New(out.json()))
			var buy mono.Func[order, order]
			var id string
			app.Add(serving(func(ctx context.Context, o order) (order, error) {
				id = mono.CallFrom(ctx).ID()
				<-time.After(1500 * time.Millisecond)
				return o, nil
			}), module("shop", func(s *mono.Scope) { buy = place.Client(s) }))
			start(t, app)
			if _, err := buy(requestid.With(t.Context(), "r1"), order{ID: "a1"}); err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			stop(t, app)
			want := line{
				"time": now.Format(time.RFC3339Nano), "level": "INFO", "msg": "handled",
				"mono.module": "orders", "mono.kind": "service", "rpc.method": "orders.place",
				"messaging.message.id": id, "request_id": "r1", "mono.sender": "shop",
				"mono.outcome": "success", "mono.duration": 1.5,
			}
			if local {
				want["mono.local"] = true
			} else {
				want["messaging.message.body.size"], want["mono.reply.size"] = 11.0, 11.0
			}
			if got := out.lines(t); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// A stored message has a record for each attempt, with group, attempt, code and the time that it has
// waited for the handler.
func TestRecordOfAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		app := newApp(t, nil, accesslog.New(out.json()))
		app.Add(module("warehouse", func(s *mono.Scope) {
			ship.Handle(s, func(ctx context.Context, _ order) error {
				<-time.After(time.Second)
				if mono.CallFrom(ctx).Attempt() == 1 {
					return mono.Errorf(mono.Unavailable, "no truck")
				}
				return nil
			})
		}))
		start(t, app)
		if err := ship.With(mono.DedupID("job 1")).Enqueue(t.Context(), app, order{ID: "a1"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		stop(t, app)
		var got []string
		for _, l := range out.lines(t) {
			got = append(got, l.text("level", "mono.module", "mono.kind", "messaging.destination.name", "messaging.consumer.group.name", "messaging.message.id",
				"mono.attempt", "mono.outcome", "error.type", "error.message", "mono.duration", "messaging.message.body.size", "mono.reply.size", "mono.local"))
		}
		want := []string{
			"WARN warehouse queue orders.ship workers job 1 1 error unavailable unavailable: no truck 1 11 <nil> <nil>",
			"INFO warehouse queue orders.ship workers job 1 2 success <nil> <nil> 1 11 <nil> <nil>",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if lines := out.lines(t); len(lines) == 2 && (lines[0]["mono.wait"].(float64) > 0.5 || lines[1]["mono.wait"].(float64) < 2 || lines[1]["mono.wait"].(float64) > 3) {
			t.Errorf("the waits are %v and %v", lines[0]["mono.wait"], lines[1]["mono.wait"])
		}
	})
}

// An event has a record in each module that receives it. A message of a keyed stream has its partition.
func TestRecordsOfEventsAndStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		app := newApp(t, nil, accesslog.New(out.json()))
		for _, name := range []string{"mail", "stock"} {
			app.Add(module(name, func(s *mono.Scope) {
				placed.Handle(s, func(context.Context, order) error { return nil })
				ledger.Handle(s, func(context.Context, order) error { return nil })
			}))
		}
		start(t, app)
		if err := errors.Join(placed.Publish(t.Context(), app, order{ID: "a1"}), ledger.Append(t.Context(), app, order{ID: "a1"})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop(t, app)
		var got []string
		for _, l := range out.lines(t) {
			got = append(got, l.text("mono.module", "mono.kind", "messaging.consumer.group.name", "messaging.destination.partition.id", "mono.attempt"))
		}
		slices.Sort(got)
		p := transport.PartitionOf("a1", 8)
		want := []string{"mail event mail <nil> <nil>", fmt.Sprintf("mail stream mail %d 1", p), "stock event stock <nil> <nil>", fmt.Sprintf("stock stream stock %d 1", p)}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A batch is one record, with the number of messages, the sum of their sizes, and the id of the first.
func TestRecordOfABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		app := newApp(t, []mono.AppOption{requestid.Propagate()}, accesslog.New(out.json()))
		app.Add(module("report", func(s *mono.Scope) {
			ledger.HandleBatch(s, func(context.Context, []mono.Message[order]) error {
				return mono.PerMessage(nil, mono.Permanent(mono.Errorf(mono.NotFound, "no such order")), nil)
			}, mono.BatchWait(time.Second))
		}))
		start(t, app)
		ctx := requestid.With(t.Context(), "r1")
		for i := range 3 {
			if err := ledger.With(mono.DedupID(fmt.Sprint("m", i))).Append(ctx, app, order{ID: fmt.Sprint("a", i)}); err != nil {
				t.Fatal(err)
			}
			ctx = t.Context()
		}
		<-time.After(10 * time.Second)
		stop(t, app)
		got := out.lines(t)
		if len(got) != 1 {
			t.Fatalf("got %v", got)
		}
		want := "3 33 m0 r1 error not_found not_found: no such order"
		if got := got[0].text("messaging.batch.message_count", "messaging.message.body.size", "messaging.message.id", "request_id", "mono.outcome", "error.type", "error.message"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// The request id is in the record, and the same in all that follow, whatever the order in which
// middleware is added: the reference system left it empty in the documented order.
func TestRequestIDInAnyOrderOfMiddleware(t *testing.T) {
	t.Parallel()
	other := mono.MiddlewareFunc(func(next mono.Next) mono.Next {
		return func(ctx context.Context, c *mono.Call) error {
			if c.Side() == mono.SideSender && c.Handle().Kind() == mono.KindService && requestid.From(ctx) == "" {
				ctx = requestid.With(ctx, "made-by-middleware")
			}
			return next(ctx, c)
		}
	})
	for _, reverse := range []bool{false, true} {
		for _, opts := range [][]mono.AppOption{{requestid.Propagate()}, {requestid.Propagate(), mono.NoLocalCalls()}} {
			var out output
			middleware := []mono.Middleware{accesslog.New(out.json()), other}
			if reverse {
				slices.Reverse(middleware)
			}
			app := newApp(t, opts, middleware...)
			done := make(chan bool)
			app.Add(module("orders", func(s *mono.Scope) {
				enqueue := ship.Enqueuer(s)
				place.Handle(s, func(ctx context.Context, o order) (order, error) { return o, enqueue(ctx, o) })
				ship.Handle(s, func(context.Context, order) error { done <- true; return nil })
			}))
			start(t, app)
			if _, err := place.Call(requestid.With(t.Context(), "r1"), app, order{ID: "a1"}); err != nil {
				t.Fatal(err)
			}
			<-done
			stop(t, app)
			lines := out.lines(t)
			if len(lines) != 2 || lines[0]["request_id"] != "r1" || lines[1]["request_id"] != "r1" {
				t.Errorf("reverse %t: got %v", reverse, lines)
			}
		}
	}
}

// With Sent, a send has a record, too: of each kind, with its outcome, and without a part that only a
// handler has. The id is the same on both sides.
func TestRecordsOfSends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		app := newApp(t, []mono.AppOption{mono.NoLocalCalls(), requestid.Propagate()}, accesslog.New(out.json(), accesslog.Sent()))
		app.Remote(slowly)
		var send [5]func(context.Context) error
		app.Add(serving(func(_ context.Context, o order) (order, error) {
			if o.ID == "" {
				return o, mono.Errorf(mono.InvalidArgument, "no id")
			}
			return o, nil
		}), module("shop", func(s *mono.Scope) {
			place, slowly, ship, placed := place.Client(s), slowly.Client(s), ship.Enqueuer(s), placed.Publisher(s)
			send[0] = func(ctx context.Context) error { _, err := place(ctx, order{ID: "a1"}); return err }
			send[1] = func(ctx context.Context) error { _, err := place(ctx, order{}); return err }
			send[2] = func(ctx context.Context) error { _, err := slowly(ctx, order{}); return err }
			send[3] = func(ctx context.Context) error { return ship(ctx, order{}) }
			send[4] = func(ctx context.Context) error { return placed(ctx, order{}) }
		}))
		start(t, app)
		for _, f := range send {
			_ = f(requestid.With(t.Context(), "r1"))
		}
		stop(t, app)
		ids := make(map[any][]string)
		var got []string
		for _, l := range out.lines(t) {
			ids[l["messaging.message.id"]] = append(ids[l["messaging.message.id"]], l["msg"].(string))
			if l["msg"] == "sent" {
				got = append(got, l.text("level", "mono.module", "mono.kind", "mono.sender", "mono.outcome", "error.type", "request_id", "messaging.message.body.size", "mono.reply.size", "mono.attempt"))
			}
		}
		want := []string{
			"INFO shop service <nil> success <nil> r1 11 11 <nil>",
			"INFO shop service <nil> error invalid_argument r1 9 <nil> <nil>",
			"WARN shop service <nil> not done unavailable r1 9 <nil> <nil>",
			"INFO shop queue <nil> success <nil> r1 9 <nil> <nil>",
			"INFO shop event <nil> success <nil> r1 9 <nil> <nil>",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		both := 0
		for _, sides := range ids {
			if len(sides) == 2 {
				both++
			}
		}
		if both != 2 || len(ids) != 5 {
			t.Errorf("got the ids %v", ids)
		}
	})
}

// Fields chooses the parts of a record. Attrs adds some of the program, and the handler's attributes
// are in each record. LocalSizes encodes the values of local calls.
func TestFields(t *testing.T) {
	t.Parallel()
	type tenant struct{}
	for _, test := range []struct {
		opts []accesslog.Option
		want string
	}{
		{[]accesslog.Option{accesslog.Fields(accesslog.Handle)}, "rpc.method=orders.place"},
		{[]accesslog.Option{accesslog.Fields(accesslog.Outcome, accesslog.Module, accesslog.Local)}, "mono.module=orders mono.local=true mono.outcome=success"},
		{[]accesslog.Option{accesslog.Fields(accesslog.ReplySize, accesslog.Size)}, ""},
		{[]accesslog.Option{accesslog.Fields(accesslog.ReplySize, accesslog.Size), accesslog.LocalSizes()}, "messaging.message.body.size=11 mono.reply.size=11"},
		{[]accesslog.Option{accesslog.Fields(accesslog.Kind), accesslog.Attrs(func(ctx context.Context, c *mono.Call) []slog.Attr {
			return []slog.Attr{slog.Any("tenant", ctx.Value(tenant{})), slog.String("order", c.Payload().(order).ID)}
		})}, "mono.kind=service tenant=acme order=a1"},
	} {
		var out output
		text := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: withoutTime}).WithAttrs([]slog.Attr{slog.String("messaging.system", "nats")})
		app := newApp(t, nil, mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				return next(context.WithValue(ctx, tenant{}, "acme"), c)
			}
		}), accesslog.New(text, test.opts...))
		app.Add(serving(same))
		start(t, app)
		call(t, app)
		stop(t, app)
		if got, want := strings.TrimSpace(out.String()), strings.TrimSpace("level=INFO msg=handled messaging.system=nats "+test.want); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return a
}

// A request is logged as a whole or not at all, in all processes, as often as the fraction.
func TestSampleKeepsRequestsWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := inproc.New(inproc.Options{})
		var outs [2]output
		var apps [2]*mono.App
		for i := range apps {
			apps[i] = mono.New(tr, requestid.Propagate(), mono.Logger(slog.New(slog.DiscardHandler)))
			apps[i].Use(accesslog.New(outs[i].json(), accesslog.Sample(0.25)))
		}
		apps[0].Add(module("orders", func(s *mono.Scope) {
			publish := placed.Publisher(s)
			place.Handle(s, func(ctx context.Context, o order) (order, error) { return o, publish(ctx, o) })
		}))
		apps[1].Add(module("mail", func(s *mono.Scope) { placed.Handle(s, func(context.Context, order) error { return nil }) }))
		for _, app := range slices.Backward(apps[:]) {
			start(t, app)
		}
		const requests = 2000
		for range requests {
			if _, err := place.Call(requestid.With(t.Context(), requestid.New()), apps[0], order{ID: "a1"}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for _, app := range apps {
			stop(t, app)
		}
		var ids [2][]string
		for i := range outs {
			for _, l := range outs[i].lines(t) {
				ids[i] = append(ids[i], l.text("request_id"))
			}
			slices.Sort(ids[i])
		}
		if n := len(ids[0]); !slices.Equal(ids[0], ids[1]) || n < requests/5 || n > requests*3/10 {
			t.Errorf("%d and %d of %d requests are logged", len(ids[0]), len(ids[1]), requests)
		}
	})
}

// Errors and slow messages are logged whatever the fraction is. A slow one is a warning.
func TestErrorsAndSlowOnesAreAlwaysLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		app := newApp(t, nil, accesslog.New(out.json(), accesslog.Sample(0), accesslog.Slow(time.Second)))
		app.Add(serving(func(_ context.Context, o order) (order, error) {
			d, _ := time.ParseDuration(o.ID)
			<-time.After(d)
			if d < 0 {
				return o, mono.Errorf(mono.NotFound, "no such order")
			}
			return o, nil
		}))
		start(t, app)
		for _, d := range []string{"0s", "999ms", "1s", "-1s"} {
			_, _ = place.Call(t.Context(), app, order{ID: d})
		}
		stop(t, app)
		var got []string
		for _, l := range out.lines(t) {
			got = append(got, l.text("level", "mono.duration", "error.type"))
		}
		if want := []string{"WARN 1 <nil>", "INFO 0 not_found"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// The code of the error determines the level, or a function of the program does.
func TestLevels(t *testing.T) {
	t.Parallel()
	levels := map[mono.Code]slog.Level{
		mono.Canceled: slog.LevelInfo, mono.NotFound: slog.LevelInfo, mono.InvalidArgument: slog.LevelInfo,
		mono.Unavailable: slog.LevelWarn, mono.DeadlineExceeded: slog.LevelWarn, mono.Aborted: slog.LevelWarn,
		mono.Unknown: slog.LevelError, mono.Internal: slog.LevelError, mono.DataLoss: slog.LevelError, "new_code": slog.LevelError,
	}
	for _, own := range []bool{false, true} {
		var out output
		var opts []accesslog.Option
		if own {
			opts = append(opts, accesslog.Level(func(c *mono.Call, err error, _ time.Duration) slog.Level {
				if c.Handle().Name() == "orders.place" && mono.CodeOf(err) == mono.Internal {
					return slog.LevelError + 4
				}
				return slog.LevelDebug // not enabled
			}))
		}
		app := newApp(t, nil, accesslog.New(out.json(), opts...))
		app.Add(serving(func(_ context.Context, o order) (order, error) { return o, mono.Errorf(mono.Code(o.ID), "an error") }))
		start(t, app)
		for code := range levels {
			_, _ = place.Call(t.Context(), app, order{ID: string(code)})
		}
		stop(t, app)
		lines := out.lines(t)
		if own {
			if len(lines) != 1 || lines[0]["level"] != "ERROR+4" {
				t.Errorf("got %v", lines)
			}
			continue
		}
		for _, l := range lines {
			if want := levels[mono.Code(l.text("error.type"))]; l["level"] != want.String() {
				t.Errorf("got %v, want %v", l, want)
			}
		}
		if len(lines) != len(levels) {
			t.Errorf("got %d records", len(lines))
		}
	}
}

// A handler that panics or ends its goroutine has a record, and so has one behind middleware that
// panics.
func TestHandlersThatDoNotReturn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		handler    mono.Func[order, order]
		middleware bool
	}{
		{"panic", func(context.Context, order) (order, error) { panic("broken") }, false},
		{"exit", func(context.Context, order) (order, error) { runtime.Goexit(); return order{}, nil }, false},
		{"middleware", same, true},
	} {
		var out output
		app := newApp(t, []mono.AppOption{mono.NoLocalCalls()}, accesslog.New(out.json()))
		if test.middleware {
			app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
				return func(ctx context.Context, c *mono.Call) error {
					if c.Side() == mono.SideReceiver {
						panic("broken")
					}
					return next(ctx, c)
				}
			}))
		}
		app.Add(serving(test.handler))
		start(t, app)
		if _, err := place.Call(t.Context(), app, order{}); mono.CodeOf(err) != mono.Internal {
			t.Errorf("%s: %v", test.name, err)
		}
		stop(t, app)
		if got := out.lines(t); len(got) != 1 || got[0].text("level", "mono.outcome", "error.type") != "ERROR error internal" {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

// The values of a channel are Go values and not messages. They have no records, which the reference
// system wrote two of, with the duration 0.
func TestChannelsHaveNoRecords(t *testing.T) {
	t.Parallel()
	var out output
	app := newApp(t, nil, accesslog.New(out.json(), accesslog.Sent()))
	got := make(chan int)
	var from <-chan int
	var to chan<- int
	app.Add(module("orders", func(s *mono.Scope) { to = numbers.Send(s) }), module("shop", func(s *mono.Scope) { from = numbers.Receive(s) }))
	start(t, app)
	go func() { got <- <-from }()
	to <- 7
	if n := <-got; n != 7 {
		t.Errorf("got %d", n)
	}
	stop(t, app)
	if got := out.String(); got != "" {
		t.Errorf("got %s", got)
	}
}

// Records are whole lines, and each message has one, with many messages at once.
func TestConcurrentMessages(t *testing.T) {
	t.Parallel()
	var out output
	log := accesslog.New(out.json(), accesslog.Sent(), accesslog.Buffer(1<<16))
	app := newApp(t, []mono.AppOption{requestid.Propagate()}, log)
	app.Add(serving(same))
	start(t, app)
	var wait sync.WaitGroup
	const callers, calls = 8, 250
	for range callers {
		wait.Go(func() {
			for range calls {
				call(t, app)
			}
		})
	}
	wait.Wait()
	stop(t, app)
	if n := len(out.lines(t)); n != 2*callers*calls {
		t.Errorf("got %d records", n)
	}
	if dropped, failed := log.Lost(); dropped+failed > 0 {
		t.Errorf("%d were dropped and %d have failed", dropped, failed)
	}
}

// A bad option is a mistake in the program's text.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]func(){
		"New(nil)":     func() { accesslog.New(nil) },
		"Sample(1.5)":  func() { accesslog.New(slog.DiscardHandler, accesslog.Sample(1.5)) },
		"Buffer(0)":    func() { accesslog.New(slog.DiscardHandler, accesslog.Buffer(0)) },
		"Slow(-1ns)":   func() { accesslog.New(slog.DiscardHandler, accesslog.Slow(-1)) },
		"Level(nil)":   func() { accesslog.New(slog.DiscardHandler, accesslog.Level(nil)) },
		"Fields: want": func() { accesslog.New(slog.DiscardHandler, accesslog.Fields()) },
		"no others":    func() { accesslog.New(slog.DiscardHandler, accesslog.Fields(99)) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}()
			f()
		}()
	}
}
