package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

var (
	entered  = mono.NewStream[order]("bench.entered")
	accepted = mono.NewEvent[order]("bench.accepted", mono.Durable())
	retried  = mono.NewQueue[order]("bench.retried", mono.MaxAttempts(10_000), mono.Backoff(mono.Constant(time.Second)))
	intake   = mono.NewQueue[order]("bench.intake", mono.MaxAttempts(100), mono.AckWait(2*time.Second))
)

// BenchmarkTestkit is the cost of a test, and of one schedule of many.
func BenchmarkTestkit(b *testing.B) {
	b.Run("modules", func(b *testing.B) { explore(b, fourModules) })
	b.Run("hour", func(b *testing.B) { explore(b, anHour) })
	b.Run("schedule", func(b *testing.B) { explore(b, crashes) })
}

// explore runs body under one schedule after another. A bubble needs a testing.T.
func explore(b *testing.B, body func(testing.TB, *testkit.Harness)) {
	end := meter(b)
	for n := uint64(1); b.Loop(); n++ {
		run := testing.InternalTest{Name: "run", F: func(t *testing.T) {
			testkit.Explore(t, 1, body, testkit.Seed(n)).MustPass()
		}}
		if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{run}) {
			b.Fatal("the test failed")
		}
	}
	end()
}

// fourModules sends ten messages between four modules.
func fourModules(t testing.TB, h *testkit.Harness) {
	h.AddFunc(
		func() mono.Module { return module("payment", func(s *mono.Scope) { charge.Handle(s, agree) }) },
		func() mono.Module { return module("shop", sellTo(accepted)) },
		func() mono.Module {
			return module("notification", func(s *mono.Scope) {
				accepted.Handle(s, func(context.Context, order) error { return nil })
			})
		},
		func() mono.Module { return module("web", func(s *mono.Scope) { place.Client(s) }) })
	h.MustStart()
	for range 2 {
		if a, err := place.Call(t.Context(), h, order{ID: "a", Quantity: 5}); err != nil || !a.OK {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	h.Settle()
	if n := len(testkit.Consumed(h, accepted)); n != 2 {
		t.Errorf("%d orders were consumed, want 2", n)
	}
}

// sellTo is a module's Bind: it charges, keeps an entry and publishes an event.
func sellTo(e mono.Event[order]) func(*mono.Scope) {
	return func(s *mono.Scope) {
		pay := charge.Client(s)
		s.Use(e, entered)
		place.Handle(s, func(ctx context.Context, o order) (answer, error) {
			a, err := pay(ctx, o)
			return a, errors.Join(err, entered.Append(ctx, s, o), e.Publish(ctx, s, o))
		})
	}
}

// anHour retries a job each second for an hour.
func anHour(t testing.TB, h *testkit.Harness) {
	attempts := 0
	h.Add(module("worker", func(s *mono.Scope) {
		retried.Handle(s, func(context.Context, order) error { attempts++; return errors.New("busy") })
	}))
	h.MustStart()
	if err := retried.Enqueue(t.Context(), h, order{}); err != nil {
		t.Fatal(err)
	}
	h.Advance(time.Hour)
	if attempts < 3600 {
		t.Errorf("%d attempts in an hour", attempts)
	}
	h.AllowUnfinished(retried)
}

// crashes handles three orders while processes crash and acknowledgements are lost.
func crashes(t testing.TB, h *testkit.Harness) {
	testkit.Fake(h, reserve, agree)
	testkit.Fake(h, charge, agree)
	h.AddFunc(func() mono.Module {
		return module("worker", func(s *mono.Scope) {
			work := steps(reserve.Client(s), charge.Client(s), agree)
			s.Use(entered)
			intake.Handle(s, func(ctx context.Context, o order) error {
				if _, err := work(ctx, o); err != nil {
					return err
				}
				return entered.With(mono.DedupID(o.ID)).Append(ctx, s, o)
			}, mono.Concurrency(2))
		})
	})
	h.FaultEverywhere(testkit.Crash(testkit.AnyPoint)).Sometimes(0.02)
	h.Fault(intake, testkit.LoseAck).Sometimes(0.1)
	h.MustStart()
	for _, id := range []string{"a", "b", "c"} {
		for intake.With(mono.DedupID(id)).Enqueue(t.Context(), h, order{ID: id}) != nil {
			h.Settle() // the process has crashed, and another one runs
		}
	}
	h.Advance(time.Hour)
	if n := len(testkit.Appended(h, entered)); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}
