package testkit_test

import (
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// A failed assertion shows the history, in order.
func TestFailureText(t *testing.T) {
	t.Parallel()
	got := failing(t, func(t testing.TB, h *testkit.Harness) {
		h.Fault(receipts, testkit.Crash(testkit.BeforeHandle))
		h.Fault(charge, testkit.Fail(mono.Unavailable))
		open(h, func(o order, attempt int) error { return map[bool]error{true: errBusy}[attempt < 3] })
		for _, id := range []string{"a", "b"} {
			_, _ = place.Call(t.Context(), h, order{ID: id})
		}
		h.Advance(time.Hour)
		testkit.RequirePublished(t, h, placed, is("a"))
	})
	const want = `testkit: event shop.placed was never published such that the conditions hold (once in all), and should have been once
what happened, in order (seed 1):
	      0s  the test calls shop.place {"id":"a","cents":0} → unavailable: service bank.charge: Fail(unavailable), a fault of the test
	      0s  shop serves shop.place → unavailable: service bank.charge: Fail(unavailable), a fault of the test
	      0s  shop calls bank.charge {"id":"a","cents":0} → unavailable: service bank.charge: Fail(unavailable), a fault of the test
	      0s  — Fail(unavailable) of service bank.charge from shop
	      0s  the test calls shop.place {"id":"b","cents":0} → "R-b"
	      0s  shop serves shop.place → "R-b"
	      0s  shop calls bank.charge {"id":"b","cents":0} → "R-b"
	      0s  bank serves bank.charge → "R-b"
	      0s  shop appends shop.ledger {"id":"b","cents":0}
	      0s  shop publishes shop.placed {"id":"b","cents":0}
	      0s  shop publishes shop.updated {"id":"b","cents":0}
	      0s  shop enqueues shop.receipts {"id":"b","cents":0}
	      0s  post consumes shop.updated {"id":"b","cents":0}: failed: the mail server is busy
	      0s  post consumes shop.ledger {"id":"b","cents":0}: retried in 928.814112ms: the mail server is busy
	      0s  — the App crashes: before its handler of queue shop.receipts from shop
	      0s  — the App starts again
	      0s  post consumes shop.placed {"id":"b","cents":0}: retried in 621.394314ms: the mail server is busy
	   621ms  post consumes shop.placed {"id":"b","cents":0}, attempt 2: retried in 1.213443723s: the mail server is busy
	   929ms  post consumes shop.ledger {"id":"b","cents":0}, attempt 2: retried in 1.763609006s: the mail server is busy
	  1.835s  post consumes shop.placed {"id":"b","cents":0}, attempt 3: done
	  2.692s  post consumes shop.ledger {"id":"b","cents":0}, attempt 3: done
	     30s  post works on shop.receipts {"id":"b","cents":0}, attempt 2: retried in 1s: the mail server is busy
	     31s  post works on shop.receipts {"id":"b","cents":0}, attempt 3: done
testkit: run it again with -testkit.seed=1
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask  func(testing.TB, *testkit.Harness)
		want string
	}{
		"none":       {func(t testing.TB, h *testkit.Harness) { testkit.RequireDeadLettered(t, h, receipts) }, "queue shop.receipts was never given up as a dead letter, and should have been once"},
		"several":    {func(t testing.TB, h *testkit.Harness) { testkit.RequireCalled(t, h, charge) }, "service bank.charge was called 3 times, and should have been once"},
		"no such":    {func(t testing.TB, h *testkit.Harness) { testkit.RequireEnqueued(t, h, receipts, is("x")) }, "queue shop.receipts was never enqueued such that the conditions hold (3 times in all), and should have been once"},
		"nothing":    {func(t testing.TB, h *testkit.Harness) { testkit.RequireNone(t, h, updated) }, "event shop.updated was published 3 times, and should not have been"},
		"a stream":   {func(t testing.TB, h *testkit.Harness) { testkit.RequireNone(t, h, ledger) }, "stream shop.ledger was appended to 3 times, and should not have been"},
		"work":       {func(t testing.TB, h *testkit.Harness) { testkit.RequireConsumed(t, h, receipts, is("a"), is("b")) }, "queue shop.receipts was never consumed such that the conditions hold (3 times in all)"},
		"a question": {func(t testing.TB, h *testkit.Harness) { testkit.RequireNone(t, h, place) }, "service shop.place was called 3 times"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := failing(t, func(t testing.TB, h *testkit.Harness) {
				open(h, fine)
				for _, id := range []string{"a", "b", "c"} {
					if _, err := place.Call(t.Context(), h, order{ID: id}); err != nil {
						t.Fatal(err)
					}
				}
				if testkit.RequireEnqueued(t, h, receipts, is("b")).ID != "b" || testkit.RequireConsumed(t, h, ledger, is("c")).Value.ID != "c" {
					t.Error("not the value of the condition")
				}
				c.ask(t, h)
			})
			expect(t, got, []string{c.want, "the test calls shop.place"})
		})
	}
}

func is(id string) func(order) bool { return func(o order) bool { return o.ID == id } }
