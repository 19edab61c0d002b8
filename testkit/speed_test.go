package testkit_test

import (
	"context"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// fastest returns the least processor time that one of several runs of f took. It is
// that of all processors, so at least what a clock shows on a machine that does
// nothing else; what else the machine does does not count.
func fastest(runs int, f func()) time.Duration {
	best := time.Hour
	for range runs {
		began := processorTime()
		f()
		best = min(best, processorTime()-began)
	}
	return best
}

// fourModules lets ten messages pass between four modules.
func fourModules(t testing.TB, h *testkit.Harness) {
	h.Add(&shop{}, post(fine), mono.NewModule("web", func(sc *mono.Scope) error { place.Client(sc); return nil }))
	testkit.Stub(h, charge, "R-a")
	h.MustStart()
	buy(t, h)
	buy(t, h)
	h.Settle()
}

// anHour lets a job be tried again each second for an hour.
func anHour(t testing.TB, h *testkit.Harness) {
	patient := mono.NewQueue[order]("test.patient", mono.MaxAttempts(10_000), mono.Backoff(mono.Constant(time.Second)))
	attempts := 0
	h.Add(mono.NewModule("impatient", func(sc *mono.Scope) error {
		patient.Handle(sc, func(_ context.Context, o order) error { attempts++; return errBusy })
		return nil
	}))
	h.MustStart()
	if err := patient.Enqueue(t.Context(), h, order{}); err != nil {
		t.Fatal(err)
	}
	h.Advance(time.Hour)
	if attempts < 3600 {
		t.Errorf("%d attempts in an hour", attempts)
	}
	h.Leave(patient)
}

func TestSpeed(t *testing.T) {
	runs := 10
	if raceEnabled {
		runs = 1
	}
	for name, c := range map[string]struct {
		body  func(testing.TB, *testkit.Harness)
		limit time.Duration
	}{
		"four modules and ten messages":    {fourModules, 2 * time.Millisecond},
		"an hour of retries, one a second": {anHour, 100 * time.Millisecond},
	} {
		took := fastest(runs, func() { testkit.Explore(t, 1, c.body).MustPass() })
		t.Logf("%s: %v", name, took)
		if took > c.limit && !raceEnabled {
			t.Errorf("%s took %v, at most %v are promised", name, took, c.limit)
		}
	}
	const tenth = 100 // of the thousand schedules that take less than 10 s on two processors
	took := fastest(1, func() { testkit.Explore(t, tenth, orderFlow(none)).MustPass() })
	t.Logf("%d schedules of the order flow: %v", tenth, took)
	if took > 2*time.Second && !raceEnabled {
		t.Errorf("%d schedules of the order flow took %v of processor time, at most 2s are promised", tenth, took)
	}
}
