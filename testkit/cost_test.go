package testkit_test

import (
	"context"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// fourModules sends ten messages between four modules.
func fourModules(t testing.TB, h *testkit.Harness) {
	h.Add(&shop{}, post(fine), mono.NewModule("web", func(sc *mono.Scope) error { place.Client(sc); return nil }))
	testkit.Stub(h, charge, "R-a")
	h.MustStart()
	buy(t, h)
	buy(t, h)
	h.Settle()
}

// retries retries a job each second.
func retries(attempts int) func(testing.TB, *testkit.Harness) {
	return func(t testing.TB, h *testkit.Harness) {
		patient := mono.NewQueue[order]("test.patient", mono.MaxAttempts(10_000), mono.Backoff(mono.Constant(time.Second)))
		seen := 0
		h.Add(mono.NewModule("impatient", func(sc *mono.Scope) error {
			patient.Handle(sc, func(context.Context, order) error { seen++; return errBusy })
			return nil
		}))
		h.MustStart()
		if err := patient.Enqueue(t.Context(), h, order{}); err != nil {
			t.Fatal(err)
		}
		h.Advance(time.Duration(attempts-1) * time.Second)
		if seen != attempts {
			t.Errorf("%d attempts, want %d", seen, attempts)
		}
		h.AllowUnfinished(patient)
	}
}

// stepsOf returns the number of steps that the scheduler takes for a body.
func stepsOf(t *testing.T, body func(testing.TB, *testkit.Harness)) int {
	t.Helper()
	const steps = "to see the steps"
	e := testkit.Explore(t, 1, func(t testing.TB, h *testkit.Harness) {
		if body(t, h); !t.Failed() {
			t.Error(steps)
		}
	})
	expect(t, e.FailedRuns[0].Text, []string{steps})
	return e.FailedRuns[0].Steps
}

func allocationsOf(t *testing.T, body func(testing.TB, *testkit.Harness)) float64 {
	return testing.AllocsPerRun(2, func() { testkit.Explore(t, 1, body).MustPass() })
}

// A test costs steps and allocations for each event in it. The benchmarks measure its time.
func TestCostOfATest(t *testing.T) {
	for name, most := range map[string]struct {
		body   func(testing.TB, *testkit.Harness)
		steps  int
		allocs float64
	}{
		"four modules and ten messages": {fourModules, 34, 3_000},
		"a schedule of the order flow":  {orderFlow(none), 51, 6_000},
	} {
		if n := stepsOf(t, most.body); n > most.steps {
			t.Errorf("%s: %d steps, want at most %d", name, n, most.steps)
		}
		if n := allocationsOf(t, most.body); n > most.allocs {
			t.Errorf("%s: %v allocations, want at most %v", name, n, most.allocs)
		}
	}
}

// The cost of a retry does not depend on the number of earlier ones, nor on the virtual time
// between them.
func TestCostOfARetry(t *testing.T) {
	const few, many = 600, 3600
	steps, allocs := stepsOf(t, retries(few)), allocationsOf(t, retries(few))
	if n := stepsOf(t, retries(many)) - steps; n > 2*(many-few) {
		t.Errorf("%d more retries take %d more steps, want 2 each", many-few, n)
	}
	if n := (allocationsOf(t, retries(many)) - allocs) / (many - few); n > 48 {
		t.Errorf("a retry takes %v allocations, want at most 48", n)
	}
}
