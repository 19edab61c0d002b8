package testkit_test

import (
	"context"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// The files show a refusal, a retry, a crash and an event without receivers.
func TestGolden(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(charge, testkit.Fail(mono.Unavailable))
		h.Fault(updated, testkit.Drop)
		h.Fault(receipts, testkit.Crash(testkit.AfterHandle))
		h.AddFunc(func() mono.Module { return &shop{} }, func() mono.Module {
			return mono.NewModule("post-office", func(s *mono.Scope) error {
				receipts.Handle(s, func(ctx context.Context, o order) error {
					if mono.CallFrom(ctx).Attempt() == 2 {
						return errBusy
					}
					return nil
				})
				return nil
			})
		})
		testkit.Stub(h, charge, "R-a")
		h.MustStart()
		if _, err := place.Call(t.Context(), h, order{ID: "a"}); err == nil {
			t.Error("placed")
		}
		buy(t, h)
		h.Advance(time.Minute)
		testkit.Golden(t, h)
	}, testkit.Seed(1))
}

// The failure shows the first line that differs.
func TestGoldenDiffers(t *testing.T) {
	t.Parallel()
	got := failing(t, func(t testing.TB, h *testkit.Harness) {
		open(h, fine)
		testkit.Golden(named{t, "TestGolden"}, h)
	})
	expect(t, got, []string{"TestGolden.txt: line 12 is\n\tmodule post\nand was\n\tmodule post-office", "-testkit.update"})
	got = failing(t, func(t testing.TB, h *testkit.Harness) {
		open(h, fine)
		testkit.Golden(named{t, "TestNowhere"}, h)
	})
	expect(t, got, []string{"TestNowhere.txt: no such file", "write it with -testkit.update, and review it"})
}

// named is a module with a given name.
type named struct {
	testing.TB
	name string
}

func (n named) Name() string { return n.name }
