package testkit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/transport"
)

type order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

var (
	place    = mono.NewService[order, string]("shop.place")
	charge   = mono.NewService[order, string]("bank.charge")
	placed   = mono.NewEvent[order]("shop.placed", mono.Durable(), mono.AckWait(2*time.Second))
	updated  = mono.NewEvent[order]("shop.updated")
	receipts = mono.NewQueue[order]("shop.receipts", mono.MaxAttempts(3), mono.Backoff(mono.Constant(time.Second)))
	ledger   = mono.NewStream[order]("shop.ledger")
)

// shop charges, keeps the ledger, and sends messages.
type shop struct {
	scope  *mono.Scope
	charge mono.Func[order, string]
}

func (s *shop) Name() string { return "shop" }

func (s *shop) Bind(sc *mono.Scope) error {
	s.scope, s.charge = sc, charge.Client(sc)
	sc.Use(placed, updated, receipts, ledger)
	place.Handle(sc, s.place)
	return nil
}

func (s *shop) place(ctx context.Context, o order) (string, error) {
	receipt, err := s.charge(ctx, o)
	if err != nil {
		return "", err
	}
	for _, send := range []func() error{
		func() error { return ledger.Append(ctx, s.scope, o) },
		func() error { return placed.Publish(ctx, s.scope, o) },
		func() error { return updated.Publish(ctx, s.scope, o) },
		func() error { return receipts.Enqueue(ctx, s.scope, o) },
	} {
		if err := send(); err != nil {
			return "", err
		}
	}
	return receipt, nil
}

var errBusy = errors.New("the mail server is busy")

// post receives events and works on jobs; it fails as often as fail returns an error.
func post(fail func(order, int) error) mono.Module {
	return mono.NewModule("post", func(sc *mono.Scope) error {
		work := func(ctx context.Context, o order) error { return fail(o, mono.CallFrom(ctx).Attempt()) }
		receipts.Handle(sc, work)
		placed.Handle(sc, work)
		updated.Handle(sc, work)
		ledger.Handle(sc, work)
		return nil
	})
}

func fine(order, int) error { return nil }

// open adds the shop, the post and a bank, and starts them.
func open(h *testkit.Harness, fail func(order, int) error) {
	h.AddFunc(func() mono.Module { return &shop{} }, func() mono.Module { return post(fail) })
	testkit.Fake(h, charge, func(_ context.Context, o order) (string, error) { return "R-" + o.ID, nil })
	h.MustStart()
}

func buy(t testing.TB, h mono.Binder) {
	t.Helper()
	if receipt, err := place.Call(t.Context(), h, order{ID: "a", Cents: 5}); err != nil || receipt != "R-a" {
		t.Fatalf("%q, %v", receipt, err)
	}
}

func TestEveryKindIsObserved(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		open(h, fine)
		buy(t, h)
		want := order{ID: "a", Cents: 5}
		for what, got := range map[string]order{
			"published":          testkit.RequirePublished(t, h, placed),
			"published, updated": testkit.RequirePublished(t, h, updated),
			"enqueued":           testkit.RequireEnqueued(t, h, receipts),
			"appended":           testkit.RequireAppended(t, h, ledger),
			"called":             testkit.RequireCalled(t, h, charge).Request,
			"consumed, placed":   testkit.RequireConsumed(t, h, placed).Value,
			"consumed, updated":  testkit.RequireConsumed(t, h, updated).Value,
			"consumed, queue":    testkit.RequireConsumed(t, h, receipts).Value,
			"consumed, stream":   testkit.RequireConsumed(t, h, ledger).Value,
			"with a condition":   testkit.RequireEnqueued(t, h, receipts, func(o order) bool { return o.Cents > 1 }),
			"served by the app":  testkit.Served(h, place)[0].Request,
		} {
			if got != want {
				t.Errorf("%s: %v", what, got)
			}
		}
		if x := testkit.Called(h, charge)[0]; x.Reply != "R-a" || x.From != "shop" || x.Err != nil {
			t.Errorf("%+v", x)
		}
		if d := testkit.RequireConsumed(t, h, receipts); d.Module != "post" || d.From != "shop" || d.Attempt != 1 || d.Sequence != 1 || d.Group != mono.DefaultGroup {
			t.Errorf("%+v", d)
		}
		if dead := testkit.DeadLettered(h, receipts); len(dead) != 0 {
			t.Errorf("%v", dead)
		}
	})
}

// A retry happens at its virtual time, which takes no real time.
func TestRetriesInVirtualTime(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		open(h, func(o order, attempt int) error { return map[bool]error{true: errBusy}[attempt < 3] })
		h.AllowUnfinished(placed, ledger)
		buy(t, h)
		if d := testkit.Consumed(h, receipts); len(d) != 1 || d[0].Result != testkit.ResultRetried || !errors.Is(d[0].Err, errBusy) {
			t.Errorf("%+v", d)
		}
		h.Advance(time.Second)
		if d := testkit.Consumed(h, receipts); len(d) != 2 || d[1].Attempt != 2 || d[1].At-d[0].At != time.Second {
			t.Errorf("%+v", d)
		}
		h.Advance(time.Hour)
		if d := testkit.RequireConsumed(t, h, receipts); d.Attempt != 3 {
			t.Errorf("%+v", d)
		}
	})
}

// A Timeout expires at its virtual time, which takes no real time. The result of an attempt
// is its failure, also if the handler returns nil.
func TestTimeoutInVirtualTime(t *testing.T) {
	t.Parallel()
	slow := mono.NewQueue[order]("shop.slow", mono.Timeout(time.Minute), mono.MaxAttempts(2), mono.Backoff(mono.Constant(time.Second)))
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.AddFunc(func() mono.Module {
			return mono.NewModule("worker", func(sc *mono.Scope) error {
				slow.Handle(sc, func(ctx context.Context, o order) error {
					<-ctx.Done()
					if o.ID == "fails" {
						return ctx.Err()
					}
					return nil
				}, mono.Concurrency(2))
				return nil
			})
		})
		h.MustStart()
		if errs := slow.EnqueueAll(t.Context(), h, order{ID: "fails"}, order{ID: "late"}); errs != nil {
			t.Fatal(errs)
		}
		h.Settle()
		h.Advance(time.Minute - 1)
		for _, d := range testkit.Consumed(h, slow) {
			if d.Result != testkit.ResultUnfinished {
				t.Errorf("before the limit: %+v", d)
			}
		}
		h.Advance(1)
		for _, d := range testkit.Consumed(h, slow) {
			if d.Result != testkit.ResultRetried {
				t.Errorf("at the limit: %+v", d)
			}
		}
		h.Advance(time.Second + time.Minute)
		dead := testkit.DeadLettered(h, slow)
		if len(dead) != 2 {
			t.Fatalf("%+v", dead)
		}
		for _, l := range dead {
			if l.Reason != mono.ReasonAttempts || mono.CodeOf(l.Err) != mono.DeadlineExceeded || l.Attempts != 2 {
				t.Errorf("%+v", l)
			}
		}
	})
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		open(h, func(o order, attempt int) error { return errBusy })
		buy(t, h)
		h.Advance(time.Hour)
		d := testkit.RequireDeadLettered(t, h, receipts)
		if d.Value.ID != "a" || d.Attempts != 3 || d.Reason != mono.ReasonAttempts || !errors.Is(d.Err, errBusy) || d.Module != "post" {
			t.Errorf("%+v", d)
		}
		if d := testkit.Consumed(h, receipts); len(d) != 3 || d[2].Result != testkit.ResultDeadLettered {
			t.Errorf("%+v", d)
		}
		if d := testkit.Consumed(h, updated); len(d) != 1 || d[0].Result != testkit.ResultFailed {
			t.Errorf("%+v", d)
		}
	})
}

// A bound client finds the App that runs at the moment of the call.
func TestClientOutlivesARestart(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		client := place.Client(h)
		if _, err := client(t.Context(), order{}); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("before the start: %v", err)
		}
		open(h, fine)
		if _, err := client(t.Context(), order{ID: "a"}); err != nil {
			t.Error(err)
		}
		h.Stop()
		if _, err := client(t.Context(), order{ID: "b"}); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("after the stop: %v", err)
		}
		h.MustStart()
		if _, err := client(t.Context(), order{ID: "c"}); err != nil {
			t.Error(err)
		}
		if got := testkit.Appended(h, ledger); len(got) != 2 || got[1].Sequence != 2 {
			t.Errorf("the ledger is not durable: %+v", got)
		}
	})
}

// A server that restarts forgets the ids of finished jobs, and keeps all other ids and the
// delays. The history shows the restart.
func TestRestartServer(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]testkit.Option{"in steps": nil, "free-running": {testkit.FreeRunning()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := failing(t, func(t testing.TB, h *testkit.Harness) {
				open(h, func(o order, attempt int) error {
					if o.ID == "retried" && attempt == 1 {
						return mono.RetryAfter(time.Hour, errBusy)
					}
					return nil
				})
				began := time.Now()
				duplicates := func() (all string) {
					for _, q := range []struct {
						id  string
						opt mono.QueueSendOption
					}{{"done", mono.Delay(0)}, {"retried", mono.Delay(0)}, {"delayed", mono.Delay(time.Hour)}} {
						stored, err := receipts.With(mono.DedupID(q.id), q.opt).EnqueueStored(t.Context(), h, order{ID: q.id})
						if err != nil {
							t.Error(err)
						}
						all += fmt.Sprint(q.id, " ", stored.Duplicate, " ")
					}
					return all
				}
				first := duplicates()
				h.Settle()
				second := duplicates()
				h.RestartServer()
				third := duplicates()
				h.RestartServer() // it handles "done" first
				for i, c := range []struct{ got, want string }{
					{first, "done false retried false delayed false "},
					{second, "done true retried true delayed true "},
					{third, "done false retried true delayed true "},
				} {
					if c.got != c.want {
						t.Errorf("round %d: %s, want %s", i+1, c.got, c.want)
					}
				}
				if passed := time.Since(began); passed != 0 {
					t.Errorf("%v have passed, want none", passed)
				}
				h.Advance(2 * time.Hour)
				attempts := make(map[string]string)
				for _, d := range testkit.Consumed(h, receipts) {
					attempts[d.Value.ID] += fmt.Sprintf("%d at %v, %s; ", d.Attempt, d.At, d.Result)
				}
				for id, want := range map[string]string{
					"done":    "1 at 0s, done; 1 at 0s, done; ",
					"retried": "1 at 0s, retried; 2 at 1h0m0s, done; ",
					"delayed": "1 at 1h0m0s, done; ",
				} {
					if attempts[id] != want {
						t.Errorf("%s: attempts %s, want %s", id, attempts[id], want)
					}
				}
				t.Error("this shows the history")
			}, opts...)
			if strings.Contains(text, "want") || strings.Count(text, "— the server restarts") != 2 {
				t.Error(text)
			}
		})
	}
}

// A dead letter is the message as its last handler got it, also if it was edited, or was not
// sent by a handle.
func TestDeadLettersAsTheyWere(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		open(h, func(order, int) error { return mono.Permanent(errBusy) })
		if err := receipts.Enqueue(t.Context(), h, order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		h.Settle()
		dead := receipts.DeadLetters(h)
		for l, err := range dead.List(t.Context(), mono.DeadLetterFilter{}) {
			if err == nil {
				l, err = dead.Edit(t.Context(), l, order{ID: "b"})
			}
			if err == nil {
				err = dead.Replay(t.Context(), l)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := mono.Raw(h).Publish(t.Context(), &transport.Message{Subject: "queues.shop.receipts", Body: []byte(`{"id":"c"}`)}); err != nil {
			t.Fatal(err)
		}
		ids := ""
		for _, d := range testkit.DeadLettered(h, receipts) {
			ids += d.Value.ID
		}
		if ids != "abc" && ids != "acb" {
			t.Errorf("dead letters %q", ids)
		}
	})
}

// A replayed dead letter begins with attempt 1, and so does a message that is handed over
// twice. The result of an attempt is not that of another attempt with the same number.
func TestAttemptsWithOneNumber(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]testkit.Option{"once": nil, "doubled": {testkit.Doubled()}} {
		t.Run(name, func(t *testing.T) {
			testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
				mended, calls := false, 0
				open(h, func(o order, attempt int) error {
					if calls++; mended || name == "doubled" && calls == 2 {
						return nil
					}
					return errBusy
				})
				if err := receipts.Enqueue(t.Context(), h, order{ID: "a"}); err != nil {
					t.Fatal(err)
				}
				h.Advance(time.Minute)
				mended = true
				if n, err := receipts.DeadLetters(h).ReplayAll(t.Context(), mono.DeadLetterFilter{}); err != nil || n == 0 {
					t.Fatal(n, err)
				}
				h.Settle()
				for i, d := range testkit.Consumed(h, receipts) {
					if ended := d.Result == testkit.ResultDone; ended != (d.Err == nil) {
						t.Errorf("attempt %d of them all, its number %d: %s, %v", i+1, d.Attempt, d.Result, d.Err)
					}
				}
			}, opts...)
		})
	}
}

// Observations are copies: a module that changes its message later does not change what the
// test sees.
func TestObservationsAreCopies(t *testing.T) {
	t.Parallel()
	lists := mono.NewEvent[map[string][]*order]("test.lists")
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Add(mono.NewModule("reader", func(sc *mono.Scope) error {
			lists.Handle(sc, func(_ context.Context, v map[string][]*order) error {
				v["x"][0].Cents++
				delete(v, "x")
				return nil
			})
			return nil
		}))
		h.MustStart()
		v := map[string][]*order{"x": {{ID: "a", Cents: 1}}}
		if err := lists.Publish(t.Context(), h, v); err != nil {
			t.Fatal(err)
		}
		v["x"][0].Cents = 7
		if got := testkit.RequirePublished(t, h, lists); got["x"][0].Cents != 1 {
			t.Errorf("published %d", got["x"][0].Cents)
		}
		if got := testkit.RequireConsumed(t, h, lists).Value; len(got["x"]) != 1 || got["x"][0].Cents != 1 {
			t.Errorf("consumed %v", got)
		}
	})
}

// node is a tree that refers back to its root in a field that is not sent.
type node struct {
	Name     string           `json:"name"`
	Parent   *node            `json:"-"`
	Children []*node          `json:"children,omitempty"`
	Loop     []node           `json:"loop,omitempty"`
	Others   map[string]*node `json:"others,omitempty"`
}

// A payload may refer back to itself, in a field that is not sent or in one that cannot be
// sent.
func TestPayloadsThatLeadBack(t *testing.T) {
	t.Parallel()
	trees := mono.NewEvent[*node]("test.trees")
	text := failing(t, func(t testing.TB, h *testkit.Harness) {
		h.Add(mono.NewModule("reader", func(sc *mono.Scope) error {
			trees.Handle(sc, func(context.Context, *node) error { return nil })
			return nil
		}))
		h.MustStart()
		root := &node{Name: "root"}
		for range 5 {
			child := &node{Name: "child", Parent: root}
			root.Children = append(root.Children, child, child)
			root.Children[0].Parent = child
		}
		if err := trees.Publish(t.Context(), h, root); err != nil {
			t.Fatal(err)
		}
		if got := testkit.RequirePublished(t, h, trees); got == root || len(got.Children) != 10 || got.Children[2] != got.Children[3] || got.Children[2].Parent != got {
			t.Errorf("published %+v", got)
		}
		if got := testkit.RequireConsumed(t, h, trees).Value; len(got.Children) != 10 || got.Children[2].Parent != nil {
			t.Errorf("consumed %+v", got)
		}
		loop := &node{Loop: make([]node, 2)}
		loop.Loop[0].Loop, loop.Loop[1].Loop = loop.Loop, loop.Loop[:1]
		loop.Others = map[string]*node{"a": loop, "b": loop}
		if err := trees.Publish(t.Context(), h, loop); mono.CodeOf(err) != mono.InvalidArgument {
			t.Errorf("got %v", err)
		}
		t.Error("to see the history")
	})
	for _, want := range []string{`{"name":"root","children":[{`, "*testkit_test.node: json: unsupported value: encountered a cycle", "to see the history"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "published {") || strings.Contains(text, "consumed {") {
		t.Error(text)
	}
}

// A second instance shares the work, and starts and ends independently.
func TestInstances(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		open(h, fine)
		other := h.Instance()
		for range 40 {
			buy(t, other)
		}
		seen := make(map[int]int)
		for _, d := range testkit.Consumed(h, receipts) {
			seen[d.Instance]++
		}
		if seen[1] == 0 || seen[2] == 0 || seen[1]+seen[2] != 40 {
			t.Errorf("jobs by instance: %v", seen)
		}
		other.Crash()
		buy(t, other)
		other.Stop()
		buy(t, h)
		if got := testkit.Consumed(h, receipts); len(got) != 42 || got[41].Instance != 1 {
			t.Errorf("%d jobs, the last %+v", len(got), got[len(got)-1])
		}
	})
}

func TestStubAndProvide(t *testing.T) {
	t.Parallel()
	clock := mono.NewResource[func() int]("test.clock")
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		var now func() int
		h.Add(mono.NewModule("m", func(sc *mono.Scope) error {
			clock.Need(sc, &now)
			charge.Client(sc)
			place.Client(sc)
			return nil
		}))
		testkit.Provide(h, clock, func() int { return 7 })
		testkit.Stub(h, charge)
		testkit.Stub(h, place, "fixed")
		h.MustStart()
		if now() != 7 {
			t.Error("no clock")
		}
		if got, err := charge.Call(t.Context(), h, order{}); got != "" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := place.Call(t.Context(), h, order{}); got != "fixed" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// Batches are observed message by message.
func TestBatches(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Add(mono.NewModule("batches", func(sc *mono.Scope) error {
			sc.Use(ledger)
			ledger.HandleBatch(sc, func(_ context.Context, batch []mono.Message[order]) error {
				errs := make([]error, len(batch))
				for i, m := range batch {
					if m.Value.Cents == 1 {
						errs[i] = mono.Permanent(errBusy)
					}
				}
				return mono.PerMessage(errs...)
			})
			return nil
		}))
		h.MustStart()
		for n := range 3 {
			if err := ledger.Append(t.Context(), h, order{Cents: n}); err != nil {
				t.Fatal(err)
			}
		}
		h.Advance(time.Second)
		var results []testkit.HandlerResult
		for _, d := range testkit.Consumed(h, ledger) {
			results = append(results, d.Result)
		}
		if len(results) != 3 || results[0] != testkit.ResultDone || results[1] != testkit.ResultDeadLettered || results[2] != testkit.ResultDone {
			t.Errorf("%v", results)
		}
		testkit.RequireDeadLettered(t, h, ledger, func(o order) bool { return o.Cents == 1 })
	})
}
