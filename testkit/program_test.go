package testkit_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// priced is an order of the second release.
type priced struct {
	ID       string `json:"id"`
	Cents    int    `json:"cents"`
	Currency string `json:"currency"`
}

// The second release declares a handle of the first one again.
var newReceipts = mono.NewQueue[priced]("shop.receipts", mono.MaxAttempts(5), mono.Backoff(mono.Constant(time.Second)))

// newPost is the post of the second release.
func newPost(work mono.Sink[priced]) func() mono.Module {
	return func() mono.Module {
		return mono.NewModule("post", func(sc *mono.Scope) error {
			newReceipts.Handle(sc, work)
			return nil
		})
	}
}

func fineToo(context.Context, priced) error { return nil }

// twoReleases adds two releases of the post.
func twoReleases(h *testkit.Harness) (v1, v2 *testkit.Program) {
	v1, v2 = h.Program("v1"), h.Program("v2")
	v1.AddFunc(func() mono.Module { return post(fine) })
	v1.Options(mono.Generation(1))
	v2.AddFunc(newPost(fineToo))
	v2.Options(mono.Generation(2))
	return v1, v2
}

// The Binder selects the program of a send. A declaration of another release is refused there.
func TestBinderSelectsTheProgram(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		v1, v2 := twoReleases(h)
		v1.MustStart()
		if err := newReceipts.Enqueue(t.Context(), v2, priced{}); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("before the start: %v", err)
		}
		v2.MustStart()
		if err := receipts.Enqueue(t.Context(), v1, order{ID: "a"}); err != nil {
			t.Error(err)
		}
		if err := newReceipts.Enqueue(t.Context(), v2, priced{ID: "b", Currency: "EUR"}); err != nil {
			t.Error(err)
		}
		if err := newReceipts.Enqueue(t.Context(), v1, priced{}); mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), "is declared twice") {
			t.Errorf("a declaration of the other release: %v", err)
		}
		if s := testkit.RequireEnqueued(t, h, receipts); s.ID != "a" {
			t.Errorf("v1 sent %+v", s)
		}
		if s := testkit.Enqueued(h, newReceipts); len(s) != 1 || s[0].Program != "v2" || s[0].Value.Currency != "EUR" {
			t.Errorf("v2 sent %+v", s)
		}
		if v1.App() == v2.App() || v1.Name() != "v1" {
			t.Error("the programs are one")
		}
	})
}

// A release is rolled forward and back. Each job is finished by the release that runs.
func TestRollBack(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		v1, v2 := twoReleases(h)
		v1.MustStart()
		enqueued := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			h.Settle()
		}
		enqueued(receipts.Enqueue(t.Context(), v1, order{ID: "a"}))
		v2.MustStart()
		v1.Stop()
		enqueued(newReceipts.Enqueue(t.Context(), v2, priced{ID: "b"}))
		v1.MustStart()
		v2.Stop()
		enqueued(receipts.Enqueue(t.Context(), v1, order{ID: "c"}))
		for id, want := range map[string]string{"a": "v1", "b": "v2", "c": "v1"} {
			if got := finishers(h, id); !slices.Equal(got, []string{want}) {
				t.Errorf("%s was finished by %q, want %s", id, got, want)
			}
		}
	})
}

// finishers lists the programs that finished the receipt of an order.
func finishers(h *testkit.Harness, id string) (programs []string) {
	for _, d := range testkit.Consumed(h, receipts) {
		if d.Value.ID == id && d.Result == testkit.ResultDone {
			programs = append(programs, d.Program)
		}
	}
	for _, d := range testkit.Consumed(h, newReceipts) {
		if d.Value.ID == id && d.Result == testkit.ResultDone {
			programs = append(programs, d.Program)
		}
	}
	return programs
}

// A fault can be for the messages of one program. The other one takes over what a crash leaves.
func TestFaultInOneProgram(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3, 4, 5} {
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			v1, v2 := twoReleases(h)
			crash := h.Fault(receipts, testkit.Crash(testkit.BeforeHandle)).When(testkit.InProgram("v2")).Times(3)
			slow := h.Fault(receipts, testkit.Slow(time.Minute)).When(testkit.InProgram("v1"))
			v1.MustStart()
			v2.MustStart()
			for range 10 {
				if err := receipts.Enqueue(t.Context(), v1, order{ID: "a"}); err != nil {
					t.Fatal(err)
				}
			}
			h.Advance(time.Hour)
			if n := crash.Triggered(); n != 3 {
				t.Errorf("%d crashes", n)
			}
			for _, d := range testkit.Consumed(h, newReceipts) {
				if d.Took != 0 || d.Program != "v2" {
					t.Errorf("v2 handled %+v", d)
				}
			}
			if done := finishers(h, "a"); len(done) != 10 || slow.Triggered() != 1 {
				t.Errorf("finished by %q, %d slow", done, slow.Triggered())
			}
		}, testkit.Seed(seed))
	}
}

// Programs in two roles call each other. Each has its own fakes.
func TestRoles(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		checkout := mono.NewService[order, string]("web.checkout")
		web, back := h.Program("web"), h.Program("back", &shop{})
		web.Add(mono.NewModule("web", func(sc *mono.Scope) error {
			checkout.Handle(sc, place.Client(sc))
			return nil
		}))
		remote := 0
		web.Setup(func(a *mono.App) {
			a.Remote(place)
			remote++
		})
		testkit.Stub(back, charge, "R-a")
		back.MustStart()
		web.MustStart()
		if receipt, err := checkout.Call(t.Context(), web, order{ID: "a"}); receipt != "R-a" || err != nil {
			t.Fatal(receipt, err)
		}
		if x := testkit.Called(h, place); len(x) != 1 || x[0].Program != "web" || x[0].From != "web" {
			t.Errorf("called %+v", x)
		}
		if x := testkit.Served(h, place); len(x) != 1 || x[0].Program != "back" {
			t.Errorf("served %+v", x)
		}
		if remote != 1 {
			t.Errorf("Setup was called %d times", remote)
		}
		testkit.Golden(t, h)
	}, testkit.Seed(1))
}

// The Harness runs the first program, which has no name, beside others.
func TestProgramBesideTheFirst(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		open(h, fine)
		v2 := h.Program("v2")
		v2.AddFunc(newPost(fineToo))
		v2.Instance()
		second := v2.Instance()
		h.Stop()
		if _, err := place.Call(t.Context(), h, order{}); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("the first program runs: %v", err)
		}
		v2.Crash()
		for range 20 {
			if err := newReceipts.Enqueue(t.Context(), second, priced{ID: "a"}); err != nil {
				t.Fatal(err)
			}
		}
		instances := make(map[int]int)
		for _, d := range testkit.Consumed(h, newReceipts) {
			instances[d.Instance]++
		}
		if instances[1] == 0 || instances[2] == 0 || instances[1]+instances[2] != 20 {
			t.Errorf("jobs by instance: %v", instances)
		}
		h.MustStart()
		buy(t, h)
	})
}

// Log lines, the history and errors name the program.
func TestTextsNameTheProgram(t *testing.T) {
	t.Parallel()
	text := failing(t, func(t testing.TB, h *testkit.Harness) {
		v1, v2 := h.Program("v1"), h.Program("v2")
		v1.AddFunc(func() mono.Module { return post(fine) })
		v2.AddFunc(func() mono.Module {
			return mono.NewModule("post", func(sc *mono.Scope) error {
				newReceipts.Handle(sc, func(_ context.Context, p priced) error {
					sc.Logger().Warn("the mail server is slow", slog.String("id", p.ID))
					if p.ID == "panic" {
						panic("ouch")
					}
					return nil
				})
				return nil
			})
		})
		v2.MustStart()
		other := v2.Instance()
		other.Crash()
		if err := newReceipts.Enqueue(t.Context(), v2, priced{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		if err := newReceipts.Enqueue(t.Context(), other, priced{ID: "panic"}); err != nil {
			t.Fatal(err)
		}
		h.Settle()
		v2.Stop()
		v1.MustStart()
		h.Advance(time.Minute)
	})
	expect(t, text, []string{
		"program=v2", "the mail server is slow",
		"— program v2 starts\n", "— instance 2 of program v2 starts\n", "— instance 2 of program v2 crashes: requested by the test", "— program v1 starts",
		"the test in v2 enqueues shop.receipts", "v2/post", " works on shop.receipts {\"id\":\"a\"", "v1/post works on shop.receipts",
		"handler of queue shop.receipts of program v2 panicked: ouch",
	})
}

// The end of a test finds unfinished work of every program.
func TestLeftoversOfAnyProgram(t *testing.T) {
	t.Parallel()
	leaves := func(t testing.TB, h *testkit.Harness) {
		v1, v2 := h.Program("v1"), h.Program("v2")
		v1.AddFunc(func() mono.Module {
			return mono.NewModule("reader", func(sc *mono.Scope) error {
				updated.Handle(sc, func(context.Context, order) error { return nil })
				return nil
			})
		})
		v2.AddFunc(newPost(func(context.Context, priced) error { return errBusy }))
		v2.MustStart()
		v1.MustStart()
		if err := newReceipts.Enqueue(t.Context(), v2, priced{}); err != nil {
			t.Fatal(err)
		}
		h.Settle()
	}
	expect(t, failing(t, leaves), []string{"1 message of queue shop.receipts in the group workers was begun and not finished", "v2/post works on"})
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		leaves(t, h)
		h.AllowUnfinished(receipts)
	})
	expect(t, failing(t, func(t testing.TB, h *testkit.Harness) {
		h.Program("v1", &stopper{func() error { return errBusy }}).MustStart()
	}), []string{"the stop of program v1", "module stopper", "the mail server is busy"})
}

// A deploy and its roll-back lose no job if any process crashes at any point.
func TestScheduleOfARollBack(t *testing.T) {
	t.Parallel()
	testkit.Explore(t, 60, func(t testing.TB, h *testkit.Harness) {
		v1, v2 := twoReleases(h)
		h.FaultEverywhere(testkit.Crash(testkit.AnyPoint)).Sometimes(0.02)
		h.Fault(receipts, testkit.LoseAck).Sometimes(0.2)
		v1.MustStart()
		stored := 0
		enqueue := func(err error) {
			if err == nil {
				stored++
			}
		}
		enqueue(receipts.Enqueue(t.Context(), v1, order{ID: "a"}))
		v2.MustStart()
		enqueue(receipts.Enqueue(t.Context(), v1, order{ID: "a"}))
		v1.Stop()
		enqueue(newReceipts.Enqueue(t.Context(), v2, priced{ID: "a"}))
		v1.MustStart()
		v2.Stop()
		enqueue(receipts.Enqueue(t.Context(), v1, order{ID: "a"}))
		h.Advance(time.Hour)
		done := len(finishers(h, "a"))
		if dead := len(testkit.DeadLettered(h, receipts)); done+dead < stored {
			t.Errorf("%d jobs were stored, %d finished, %d dead", stored, done, dead)
		}
	}).MustPass()
}

// Two releases have different names for one queue. What a test says of either name is about both.
func TestProgramsWithTwoNamesForAHandle(t *testing.T) {
	t.Parallel()
	renamed := mono.NewQueue[order]("post.receipts", mono.Formerly("shop.receipts"), mono.MaxAttempts(5), mono.Backoff(mono.Constant(time.Second)))
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		v1, v2 := h.Program("v1"), h.Program("v2")
		v1.AddFunc(func() mono.Module { return post(fine) })
		v2.AddFunc(func() mono.Module {
			return mono.NewModule("post", func(sc *mono.Scope) error {
				renamed.Handle(sc, func(context.Context, order) error { return nil })
				return nil
			})
		})
		slow := h.Fault(renamed, testkit.Slow(time.Minute)).When(testkit.InProgram("v1")) // by the name that v1 does not have
		v1.MustStart()
		v2.MustStart()
		v2.Stop()
		if err := receipts.Enqueue(t.Context(), v1, order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		h.Advance(time.Hour)
		v2.MustStart()
		v1.Stop()
		if err := renamed.Enqueue(t.Context(), v2, order{ID: "b"}); err != nil {
			t.Fatal(err)
		}
		if err := receipts.Enqueue(t.Context(), v2, order{}); mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), "queue post.receipts is declared with Formerly(shop.receipts) at ") {
			t.Errorf("by the old name in v2: %v", err)
		}
		h.Settle()
		for _, q := range []mono.Queue[order]{receipts, renamed} {
			all := testkit.Consumed(h, q)
			if len(all) != 2 || all[0].Value.ID != "a" || all[0].Program != "v1" || all[1].Value.ID != "b" || all[1].Program != "v2" {
				t.Errorf("%s: consumed are %+v", q.Name(), all)
			}
		}
		if slow.Triggered() != 1 {
			t.Errorf("%d were slow", slow.Triggered())
		}
	})
}
