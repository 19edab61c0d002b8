package testkit_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// consumed lists the attempts at a handle's messages with their results.
func consumed[T any](h *testkit.Harness, m testkit.Messages[T]) string {
	var all []string
	for _, d := range testkit.Consumed(h, m) {
		all = append(all, fmt.Sprintf("%d %s", d.Attempt, d.Result))
	}
	return fmt.Sprint(all)
}

func TestFaultsOfStoredMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault testkit.Fault
		want  string
		at    time.Duration // of the last attempt
	}{
		"none":      {testkit.Late(time.Nanosecond), "[1 done]", time.Nanosecond},
		"drop":      {testkit.Drop, "[1 done]", 100 * time.Millisecond}, // mono sends it again
		"lose ack":  {testkit.LoseAck, "[1 done 2 done]", 2 * time.Second},
		"ambiguous": {testkit.AmbiguousSend, "[1 done]", 0}, // sent again with the same id
		"duplicate": {testkit.Duplicate, "[1 done 1 done]", 0},
		"late":      {testkit.Late(time.Minute), "[1 done]", time.Minute},
		"slow":      {testkit.Slow(time.Minute), "[1 done]", 0},
		"before":    {testkit.Crash(testkit.BeforeHandle), "[2 done]", 2 * time.Second},
		"after":     {testkit.Crash(testkit.AfterHandle), "[1 done 2 done]", 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
				in := h.Fault(placed, c.fault)
				open(h, fine)
				if err := placed.Publish(t.Context(), h, order{ID: "a"}); err != nil {
					t.Error(err)
				}
				h.Advance(time.Hour)
				d := testkit.Consumed(h, placed)
				if got := consumed(h, placed); got != c.want || d[len(d)-1].At != c.at {
					t.Errorf("%s, the last at %v; want %s at %v", got, d[len(d)-1].At, c.want, c.at)
				}
				testkit.RequirePublished(t, h, placed)
				if in.Triggered() != 1 {
					t.Errorf("triggered %d times", in.Triggered())
				}
			})
		})
	}
}

func TestFaultsOfCalls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  testkit.Fault
		code   mono.Code // "": the call succeeds
		served int
		took   time.Duration
	}{
		"drop":        {testkit.Drop, mono.DeadlineExceeded, 0, mono.DefaultTimeout},
		"lose ack":    {testkit.LoseAck, mono.DeadlineExceeded, 1, mono.DefaultTimeout},
		"ambiguous":   {testkit.AmbiguousSend, mono.Unavailable, 1, 0},
		"duplicate":   {testkit.Duplicate, "", 2, 0},
		"late":        {testkit.Late(time.Second), "", 1, time.Second},
		"slow":        {testkit.Slow(time.Second), "", 1, time.Second},
		"very slow":   {testkit.Slow(time.Hour), mono.DeadlineExceeded, 1, mono.DefaultTimeout},
		"fail":        {testkit.Fail(mono.ResourceExhausted), mono.ResourceExhausted, 0, 0},
		"before send": {testkit.Crash(testkit.BeforeSend), mono.Unavailable, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
				h.Fault(charge, c.fault)
				open(h, fine)
				began := time.Now()
				_, err := charge.Call(t.Context(), h, order{ID: "a"})
				took := time.Since(began)
				if code := mono.CodeOf(err); err != nil && code != c.code || err == nil && c.code != "" || took != c.took {
					t.Errorf("%v after %v, want %q after %v", err, took, c.code, c.took)
				}
				h.Advance(time.Hour)
				if n := len(testkit.Served(h, charge)); n != c.served {
					t.Errorf("served %d times, want %d", n, c.served)
				}
			})
		})
	}
}

func TestFaultsOfPlainEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault    testkit.Fault
		received int
		code     mono.Code
	}{
		"drop":      {testkit.Drop, 0, ""},
		"duplicate": {testkit.Duplicate, 2, ""},
		"ambiguous": {testkit.AmbiguousSend, 1, mono.Unavailable},
		"fail":      {testkit.Fail(mono.Aborted), 0, mono.Aborted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
				h.Fault(updated, c.fault)
				open(h, fine)
				err := updated.Publish(t.Context(), h, order{})
				if err == nil && c.code != "" || err != nil && mono.CodeOf(err) != c.code {
					t.Errorf("%v", err)
				}
				if n := len(testkit.Consumed(h, updated)); n != c.received {
					t.Errorf("received %d times", n)
				}
			})
		})
	}
}

// The process crashes between two publishes. State that was durable before is there, later
// effects never happen, and the new process takes over.
func TestCrashBetweenTwoPublishes(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(receipts, testkit.Crash(testkit.BeforeSend))
		open(h, fine)
		if _, err := place.Call(t.Context(), h, order{ID: "a"}); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("the caller in the dead process got %v", err)
		}
		h.Settle()
		testkit.RequireAppended(t, h, ledger)
		testkit.RequirePublished(t, h, updated)
		if got := testkit.Enqueued(h, receipts); len(got) != 0 {
			t.Errorf("%v", got)
		}
		buy(t, h)
		testkit.RequireEnqueued(t, h, receipts)
		h.Advance(time.Hour)
	})
}

// A zombie of a crashed process reaches nothing: its goroutines end, its sends are refused, and
// the new module has no state.
func TestZombiesHaveNoEffect(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		var made int
		var errs []error
		h.AddFunc(func() mono.Module {
			made++
			return mono.NewModule("worker", func(sc *mono.Scope) error {
				sc.Use(updated)
				remembered := 0
				receipts.Handle(sc, func(ctx context.Context, o order) error {
					remembered++
					if remembered > 1 {
						t.Error("a new module has the old state")
					}
					if mono.CallFrom(ctx).Attempt() == 1 {
						<-ctx.Done() // until the process is dead
						errs = append(errs, updated.Publish(context.Background(), sc, o))
					}
					return nil
				})
				return nil
			})
		})
		h.MustStart()
		if err := receipts.Enqueue(t.Context(), h, order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		h.Settle()
		h.Crash()
		h.Advance(time.Hour)
		if got := consumed(h, receipts); got != "[1 crashed 2 done]" {
			t.Errorf("%s", got)
		}
		if made != 2 || len(errs) != 1 || mono.CodeOf(errs[0]) != mono.Unavailable {
			t.Errorf("made %d, the zombie got %v", made, errs)
		}
		if got := testkit.Published(h, updated); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

func TestFaultsBetweenModules(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		open(h, fine)
		in := h.Disconnect("shop", "bank")
		if _, err := place.Call(t.Context(), h, order{ID: "a"}); mono.CodeOf(err) != mono.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		if _, err := charge.Call(t.Context(), h, order{ID: "a"}); err != nil {
			t.Errorf("the test is not cut off: %v", err)
		}
		in.Heal()
		buy(t, h)
		lost := h.Between("shop", "post", testkit.Drop).When(func(m testkit.Passing) bool { return m.Handle == "event shop.updated" })
		buy(t, h)
		if n := len(testkit.Consumed(h, updated)); n != 1 || lost.Triggered() != 1 {
			t.Errorf("received %d, triggered %d", n, lost.Triggered())
		}
	})
}

func TestFaultsAreNarrowed(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(charge, testkit.Fail(mono.Aborted)).When(testkit.Payload(func(o order) bool { return o.Cents > 5 })).Times(2)
		h.Fault(receipts, testkit.LoseAck).When(testkit.Attempt(2))
		h.Fault(updated, testkit.Drop).From("shop").Always()
		open(h, func(o order, attempt int) error {
			if attempt == 1 && o.ID == "b" {
				return errBusy
			}
			return nil
		})
		var codes []mono.Code
		for _, cents := range []int{5, 6, 7, 8} {
			_, err := charge.Call(t.Context(), h, order{Cents: cents})
			codes = append(codes, mono.CodeOf(err))
		}
		if !slices.Equal(codes, []mono.Code{"", mono.Aborted, mono.Aborted, ""}) {
			t.Errorf("%q", codes)
		}
		if err := updated.Publish(t.Context(), h, order{}); err != nil {
			t.Fatal(err)
		}
		testkit.RequireConsumed(t, h, updated)
		if _, err := place.Call(t.Context(), h, order{ID: "b"}); err != nil {
			t.Fatal(err)
		}
		h.Advance(time.Hour)
		if got := consumed(h, receipts); got != "[1 retried 2 done 3 done]" {
			t.Error(got)
		}
		testkit.RequireConsumed(t, h, updated)
	})
}
