package main

import (
	"testing"
	"testing/cryptotest"
	"time"

	"gomono.dev/examples/orders/ledger"
	post "gomono.dev/examples/orders/notifications"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/testkit"
	"gomono.dev/testkit/natstest"
)

// If a process crashes at any point, a customer who tries again is served once, and pays once.
func TestEverySchedule(t *testing.T) {
	testkit.Explore(t, 60, func(t testing.TB, h *testkit.Harness) {
		h.FaultEverywhere(testkit.Crash(testkit.AnyPoint)).Sometimes(0.02)
		h.Fault(post.Receipts, testkit.LoseAck).Sometimes(0.2)
		system(h)
		for tries := 0; buy(t, h, "a1", good) != nil && tries < 20; tries++ {
			h.Settle() // the crashed process has started again
		}
		h.Advance(time.Hour)
		testkit.RequireAppended(t, h, ledger.Entries, isSale)
		testkit.RequireEnqueued(t, h, post.Receipts)
		requireBalanced(t, h)
	}).MustPass()
}

// The result of an order does not depend on the path of its messages.
func TestEveryPath(t *testing.T) {
	natstest.Each(t, func(t *testing.T, h *testkit.Harness) {
		system(h)
		must(t, buy(t, h, "a1", good))
		testkit.RequireAppended(t, h, ledger.Entries)
		testkit.RequireEnqueued(t, h, post.Receipts)
		sent, err := post.Sent.Call(t.Context(), h, post.SentRequest{})
		if must(t, err); sent.Receipts != 1 {
			t.Errorf("%d receipts", sent.Receipts)
		}
	})
}

// The picture of an order in docs/testing.md.
func TestPicture(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1) // for the ids of checkouts
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(post.Receipts, testkit.Crash(testkit.AfterHandle))
		system(h)
		must(t, buy(t, h, "a1", good))
		h.Advance(time.Minute)
		testkit.Golden(t, h)
	}, testkit.Seed(1))
}

// Two machines share the receipts. One crashes, and the other takes over.
func TestTwoMachines(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		system(h)
		other := h.Instance()
		h.Fault(post.Receipts, testkit.Slow(time.Hour)).When(testkit.Payload(func(c orders.Confirmation) bool { return c.Order.ID == "a1" }))
		must(t, buy(t, h, "a1", good))
		must(t, buy(t, other, "a2", good))
		h.Settle()
		for _, d := range testkit.Consumed(h, post.Receipts) {
			if d.Result == testkit.ResultUnfinished {
				map[int]interface{ Crash() }{1: h, 2: other}[d.Instance].Crash()
			}
		}
		h.Advance(time.Minute)
		done := make(map[string]int)
		for _, d := range testkit.Consumed(h, post.Receipts) {
			if d.Result == testkit.ResultDone {
				done[d.Value.Order.ID]++
			}
		}
		if done["a1"] != 1 || done["a2"] != 1 {
			t.Errorf("receipts: %v", done)
		}
	})
}
