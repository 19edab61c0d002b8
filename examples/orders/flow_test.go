package main

import (
	"testing"
	"time"

	"gomono.dev/examples/orders/inventory"
	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/modules/analytics"
	stock "gomono.dev/examples/orders/modules/inventory"
	"gomono.dev/examples/orders/modules/notifications"
	implementation "gomono.dev/examples/orders/modules/orders"
	bank "gomono.dev/examples/orders/modules/payments"
	post "gomono.dev/examples/orders/notifications"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
	"gomono.dev/testkit"
)

const good, empty = "4242 4242 4242 4242", "4000 0000 0000 0002"

// system starts all modules.
func system(h *testkit.Harness) {
	h.AddFunc(
		func() mono.Module { return &stock.Module{} },
		func() mono.Module { return &bank.Module{} },
		func() mono.Module { return &implementation.Module{} },
		func() mono.Module { return &notifications.Module{} },
		func() mono.Module { return &analytics.Module{} },
	)
	h.MustStart()
}

// buy places an order for a book.
func buy(t testing.TB, b mono.Binder, id, card string) error {
	_, err := orders.Place.Call(t.Context(), b, orders.Order{ID: id, Card: card, Product: "book", Quantity: 1})
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSuccess(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		system(h)
		must(t, buy(t, h, "a1", good))
		if c := testkit.RequirePublished(t, h, orders.Placed); c.Cents != 1990 || c.Receipt != "R-a1" || c.Order.Card != "" {
			t.Errorf("published %+v", c)
		}
		if e := testkit.RequireAppended(t, h, ledger.Entries); e.Account != "sales-book" {
			t.Errorf("entered %+v", e)
		}
		testkit.RequireConsumed(t, h, post.Receipts)
		testkit.RequireNone(t, h, orders.Released, inventory.Release)
	})
}

func TestRefusal(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		system(h)
		if d, _ := payments.Declined.Match(buy(t, h, "a1", empty)); d.Reason != "insufficient funds" {
			t.Errorf("declined: %+v", d)
		}
		testkit.RequireCalled(t, h, inventory.Release)
		testkit.RequirePublished(t, h, orders.Released)
		testkit.RequireNone(t, h, orders.Placed, ledger.Entries)
	})
}

// The mail server is busy for every seventh order, at the first attempt.
func TestRetry(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		system(h)
		must(t, buy(t, h, "a7", good))
		h.Advance(time.Second)
		if d := testkit.RequireConsumed(t, h, post.Receipts); d.Attempt != 2 {
			t.Errorf("sent at attempt %d", d.Attempt)
		}
	})
}

// The mailbox for order 101 does not exist.
func TestDeadLetter(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		system(h)
		must(t, buy(t, h, "a101", good))
		h.Advance(time.Second)
		if d := testkit.RequireDeadLettered(t, h, post.Receipts); d.Attempts != 3 || d.Value.Order.ID != "a101" {
			t.Errorf("dead: %+v", d)
		}
	})
}

// A message that comes twice is handled once.
func TestDuplicateDelivery(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(ledger.Entries, testkit.Duplicate)
		h.Fault(post.Receipts, testkit.LoseAck)
		system(h)
		must(t, buy(t, h, "a1", good))
		h.Advance(time.Minute)
		testkit.RequireEnqueued(t, h, post.Receipts)
		sent, err := post.Sent.Call(t.Context(), h, post.SentRequest{})
		if must(t, err); sent.Receipts != 1 {
			t.Errorf("%d receipts", sent.Receipts)
		}
	})
}

// The process crashes after the charge and before the entry in the ledger. The customer tries
// again, gets one book, and pays once: the first charge is refunded.
func TestCrashBetweenChargeAndLedger(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(ledger.Entries, testkit.Crash(testkit.BeforeSend))
		system(h)
		if err := buy(t, h, "a1", good); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("got %v", err)
		}
		h.Settle()
		must(t, buy(t, h, "a1", good))
		h.Advance(2 * time.Minute)
		testkit.RequireAppended(t, h, ledger.Entries)
		testkit.RequireEnqueued(t, h, post.Receipts)
		testkit.RequireCalled(t, h, payments.Refund)
	})
}

// The process crashes before it publishes an entry of the ledger, perhaps before its customer
// has an answer. The next process publishes it.
func TestCrashBetweenChargeAndPublish(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(orders.Placed, testkit.Crash(testkit.BeforeSend))
		system(h)
		if err := buy(t, h, "a1", good); err != nil && mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("got %v", err)
		}
		h.Advance(2 * time.Minute)
		testkit.RequirePublished(t, h, orders.Placed)
		testkit.RequireNone(t, h, payments.Refund)
	})
}

// The ledger is full after the charge. Money and goods are returned at once, and the customer
// can try again.
func TestRefusalAfterCharge(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(ledger.Entries, testkit.Fail(mono.ResourceExhausted))
		system(h)
		if err := buy(t, h, "a1", good); mono.CodeOf(err) != mono.ResourceExhausted {
			t.Errorf("got %v", err)
		}
		testkit.RequireCalled(t, h, payments.Refund)
		testkit.RequireCalled(t, h, inventory.Release)
		must(t, buy(t, h, "a1", good))
		testkit.RequirePublished(t, h, orders.Placed)
	})
}

// The bank takes longer than the caller's deadline.
func TestSlowDependency(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Fault(payments.Charge, testkit.Slow(time.Minute))
		system(h)
		if err := buy(t, h, "a1", good); mono.CodeOf(err) != mono.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		h.Advance(time.Hour)
		testkit.RequireNone(t, h, orders.Placed, ledger.Entries)
		must(t, buy(t, h, "a1", good))
		testkit.RequirePublished(t, h, orders.Placed)
	})
}
