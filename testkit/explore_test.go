package testkit_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// The order modules again, as a worker that takes orders from a queue. It reserves the goods,
// charges the card and enters the order in the ledger, or returns the goods. The bank and the
// shelf are outside and keep their state.
var (
	intake   = mono.NewQueue[order]("flow.intake", mono.MaxAttempts(100), mono.AckWait(2*time.Second))
	entries  = mono.NewStream[order]("flow.entries")
	refusals = mono.NewStream[order]("flow.refusals")
	reserve  = mono.NewService[order, struct{}]("shelf.reserve")
	release  = mono.NewService[order, struct{}]("shelf.release")
	debit    = mono.NewService[debitRequest, struct{}]("till.debit")
	declined = mono.NewFailure[string]("till.declined", mono.FailedPrecondition)
)

type debitRequest struct {
	Key   string `json:"key"` // the same key is charged once
	Order order  `json:"order"`
}

// bug is a bug planted in the worker.
type bug string

const (
	none           bug = "none"
	chargesTwice   bug = "charges twice on redelivery"
	entersFirst    bug = "appends to the ledger before it charges"
	forgetsRelease bug = "loses the release of stock on a crash"
)

type worker struct {
	bug              bug
	scope            *mono.Scope
	reserve, release mono.Func[order, struct{}]
	debit            mono.Func[debitRequest, struct{}]
	refusals         mono.Reader[order]
}

func (w *worker) Name() string { return "worker" }

func (w *worker) Bind(s *mono.Scope) error {
	w.scope, w.reserve, w.release, w.debit = s, reserve.Client(s), release.Client(s), debit.Client(s)
	w.refusals = refusals.Reader(s)
	s.Use(entries, refusals)
	intake.Handle(s, w.work, mono.Concurrency(2))
	return nil
}

func (w *worker) work(ctx context.Context, o order) error {
	if w.bug == forgetsRelease && w.refused(ctx, o) {
		return nil
	}
	if _, err := w.reserve(ctx, o); err != nil {
		return err
	}
	if w.bug == entersFirst && o.Cents < dear {
		if err := w.enter(ctx, o); err != nil {
			return err
		}
	}
	key := o.ID
	if w.bug == chargesTwice {
		key = fmt.Sprint(o.ID, " at attempt ", mono.CallFrom(ctx).Attempt())
	}
	_, err := w.debit(ctx, debitRequest{key, o})
	if _, ok := declined.Match(err); ok {
		return w.putBack(ctx, o)
	}
	if err != nil {
		return err
	}
	return w.enter(ctx, o)
}

func (w *worker) enter(ctx context.Context, o order) error {
	return entries.With(mono.DedupID(o.ID)).Append(ctx, w.scope, o)
}

// putBack releases the goods and then notes that the order was refused. In the other order, a
// reader of the note believes that nothing is left to do.
func (w *worker) putBack(ctx context.Context, o order) error {
	note := func() error { return refusals.With(mono.DedupID(o.ID)).Append(ctx, w.scope, o) }
	if w.bug == forgetsRelease {
		if err := note(); err != nil {
			return err
		}
	}
	if _, err := w.release(ctx, o); err != nil {
		return err
	}
	return note()
}

func (w *worker) refused(ctx context.Context, o order) bool {
	for m, err := range w.refusals(ctx) {
		if err == nil && m.Value.ID == o.ID {
			return true
		}
	}
	return false
}

// dear is a price that no card can pay.
const dear = 1000

// world is the state outside the processes.
type world struct {
	mu       sync.Mutex
	reserved map[string]bool
	charged  map[string]string // key → order
}

func (w *world) do(f func()) (struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	return struct{}{}, nil
}

func (w *world) charges(id string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, charged := range w.charged {
		if charged == id {
			n++
		}
	}
	return n
}

// orderFlow places three orders while processes crash and acknowledgements are lost.
func orderFlow(b bug) func(t testing.TB, h *testkit.Harness) {
	return func(t testing.TB, h *testkit.Harness) {
		out := &world{reserved: make(map[string]bool), charged: make(map[string]string)}
		testkit.Fake(h, reserve, func(_ context.Context, o order) (struct{}, error) {
			return out.do(func() { out.reserved[o.ID] = true })
		})
		testkit.Fake(h, release, func(_ context.Context, o order) (struct{}, error) {
			return out.do(func() { delete(out.reserved, o.ID) })
		})
		testkit.Fake(h, debit, func(_ context.Context, r debitRequest) (struct{}, error) {
			if r.Order.Cents >= dear {
				return struct{}{}, declined.With("too dear")
			}
			return out.do(func() { out.charged[r.Key] = r.Order.ID })
		})
		h.AddFunc(
			func() mono.Module { return &worker{bug: b} },
			func() mono.Module { return auditor(t, out) })
		h.FaultEverywhere(testkit.Crash(testkit.AnyPoint)).Sometimes(0.02)
		h.Fault(intake, testkit.LoseAck).Sometimes(0.1)
		h.MustStart()

		placed := []order{{ID: "a", Cents: 10}, {ID: "b", Cents: 20}, {ID: "c", Cents: dear}}
		for _, o := range placed {
			for intake.With(mono.DedupID(o.ID)).Enqueue(t.Context(), h, o) != nil {
				h.Settle() // the process has crashed, and another one runs
			}
		}
		h.Advance(time.Hour)
		entered := testkit.Appended(h, entries)
		for _, o := range placed[:2] {
			if n := out.charges(o.ID); n != 1 {
				t.Errorf("order %s was charged %d times", o.ID, n)
			}
		}
		if len(entered) != 2 {
			t.Errorf("%d entries in the ledger, want 2", len(entered))
		}
		if out.reserved["c"] {
			t.Error("the goods of order c are reserved for ever")
		}
	}
}

// auditor looks for the money of each entry of the ledger.
func auditor(t testing.TB, out *world) mono.Module {
	return mono.NewModule("auditor", func(s *mono.Scope) error {
		entries.Handle(s, func(_ context.Context, o order) error {
			if out.charges(o.ID) == 0 {
				t.Errorf("order %s is in the ledger, and not paid", o.ID)
			}
			return nil
		})
		return nil
	})
}

// The correct modules pass under every schedule.
func TestOrderFlow(t *testing.T) {
	t.Parallel()
	testkit.Explore(t, 100, orderFlow(none)).MustPass()
}

// The same seeds give exactly the same histories, even if several run at once.
func TestSameSeedSameHistory(t *testing.T) {
	t.Parallel()
	first := testkit.Explore(t, 40, orderFlow(chargesTwice)).FailedRuns
	for range 3 {
		if again := testkit.Explore(t, 40, orderFlow(chargesTwice)).FailedRuns; !slices.Equal(first, again) {
			t.Errorf("got\n%v\nand then\n%v", first, again)
		}
	}
	if len(first) == 0 {
		t.Error("there is no history")
	}
}

// Each bug is found, and the printed seed finds it again.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	for b, want := range map[bug]string{
		chargesTwice:   "was charged 2 times",
		entersFirst:    "is in the ledger, and not paid",
		forgetsRelease: "the goods of order c are reserved for ever",
	} {
		t.Run(strings.ReplaceAll(string(b), " ", "-"), func(t *testing.T) {
			t.Parallel()
			e := testkit.Explore(t, 50, orderFlow(b))
			if len(e.FailedRuns) == 0 {
				e = testkit.Explore(t, 500, orderFlow(b))
			}
			if len(e.FailedRuns) == 0 {
				t.Fatalf("not found in %d schedules", e.Runs)
			}
			shortest := e.FailedRuns[0]
			expect(t, shortest.Text, []string{want, fmt.Sprintf("-testkit.seed=%d", shortest.Seed)})
			again := testkit.Explore(t, 1, orderFlow(b), testkit.Seed(shortest.Seed))
			if len(again.FailedRuns) != 1 || again.FailedRuns[0] != shortest {
				t.Errorf("the seed %d gave\n%s\nand then\n%v", shortest.Seed, shortest.Text, again.FailedRuns)
			}
			t.Logf("%d of %d schedules find it, the shortest in %d steps:\n%s", len(e.FailedRuns), e.Runs, shortest.Steps, shortest.Text)
		})
	}
}
