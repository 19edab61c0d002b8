package main

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// Two machines get one order with two contents, several times, while processes crash. One
// content wins, and only this one is paid for.
func TestOneWinner(t *testing.T) {
	testkit.Explore(t, 60, func(t testing.TB, h *testkit.Harness) {
		h.FaultEverywhere(testkit.Crash(testkit.AnyPoint)).Sometimes(0.02)
		h.Fault(ledger.Entries, testkit.AmbiguousSend).Sometimes(0.2)
		system(h)
		var confirmed [2]atomic.Int64
		var wait sync.WaitGroup
		for i, machine := range []mono.Binder{h, h, h.Instance()} {
			wait.Go(func() {
				for quantity := range 2 {
					o := orders.Order{ID: "a1", Card: good, Product: "book", Quantity: 1 + (i+quantity)%2}
					if c, err := orders.Place.Call(t.Context(), machine, o); err == nil {
						confirmed[c.Order.Quantity-1].Add(1)
					}
				}
			})
		}
		wait.Wait()
		h.Advance(time.Hour)
		if confirmed[0].Load() > 0 && confirmed[1].Load() > 0 {
			t.Errorf("both contents were confirmed")
		}
		requireBalanced(t, h)
	}).MustPass()
}

// A process stands still for minutes before a write, and then writes. The checkout has been
// given up in the meantime, so the write comes too late.
func TestLateWrites(t *testing.T) {
	for name, handle := range map[string]mono.Handle{"charge": payments.Movements, "entry": ledger.Entries} {
		t.Run(name, func(t *testing.T) {
			testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
				h.Use(first(handle, func(ctx context.Context, send func(context.Context) error) error {
					<-time.After(3 * time.Minute)
					return send(context.WithoutCancel(ctx))
				}))
				system(h)
				if buy(t, h, "a1", good) == nil {
					t.Error("the order was placed")
				}
				h.Advance(time.Hour)
				requireBalanced(t, h)
				testkit.RequireNone(t, h, orders.Placed)
				must(t, buy(t, h, "a1", good))
				requireBalanced(t, h)
			})
		})
	}
}

// The ledger has the entry, and the append reports an unknown outcome. The process reads the
// ledger, and confirms.
func TestAmbiguousEntry(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.Use(first(ledger.Entries, func(ctx context.Context, send func(context.Context) error) error {
			return errors.Join(send(ctx), mono.Errorf(mono.Unavailable, "no answer"))
		}))
		system(h)
		must(t, buy(t, h, "a1", good))
		h.Advance(time.Hour)
		requireBalanced(t, h)
		testkit.RequirePublished(t, h, orders.Placed)
	})
}

// first lets fault send the first message of a handle.
func first(handle mono.Handle, fault func(ctx context.Context, send func(context.Context) error) error) mono.Middleware {
	var faulted atomic.Bool
	return mono.MiddlewareFunc(func(next mono.Next) mono.Next {
		return func(ctx context.Context, c *mono.Call) error {
			if c.Side() != mono.SideSender || !mono.Same(c.Handle(), handle) || faulted.Swap(true) {
				return next(ctx, c)
			}
			return fault(ctx, func(ctx context.Context) error { return next(ctx, c) })
		}
	})
}

// isSale reports whether an entry is not a void.
func isSale(e ledger.Entry) bool { return !e.IsVoid() }

// requireBalanced compares the bank's book with the ledger: a charge is kept if its checkout is
// in the ledger, and an order has one.
func requireBalanced(t testing.TB, h *testkit.Harness) {
	t.Helper()
	charged, earned, entries := make(map[string]int64), make(map[string]int64), make(map[string]int)
	for m, err := range payments.Movements.Read(t.Context(), h) {
		must(t, err)
		if charged[m.Value.Charge] += m.Value.Cents; charged[m.Value.Charge] == 0 {
			delete(charged, m.Value.Charge)
		}
	}
	for m, err := range ledger.Entries.Read(t.Context(), h) {
		must(t, err)
		if isSale(m.Value) {
			earned[m.Value.Checkout] += m.Value.Placed.Cents
			entries[m.Value.Placed.Order.Key()]++
		}
	}
	if !maps.Equal(charged, earned) {
		t.Errorf("the bank holds %v, and the ledger has %v", charged, earned)
	}
	for order, n := range entries {
		if n != 1 {
			t.Errorf("order %s has %d entries", order, n)
		}
	}
}
