package testkit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// The test looks into a bucket of the system. What was stored outlives a crash, and expires in
// virtual time.
func ExampleBucket() {
	carts := kv.NewBucket[[]string]("carts", kv.TTL(24*time.Hour))
	put := mono.NewService[string, int]("carts.put")
	newCarts := func() mono.Module {
		return mono.NewModule("carts", func(s *mono.Scope) error {
			bucket := carts.Open(s)
			put.Handle(s, func(ctx context.Context, product string) (int, error) {
				e, err := bucket.Modify(ctx, "ada", func(cart []string) ([]string, error) { return append(cart, product), nil })
				return len(e.Value), err
			})
			return nil
		})
	}

	runTest(func(t *testing.T) { // func TestCartExpires(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			h.AddFunc(newCarts)
			h.MustStart()
			if _, err := put.Call(t.Context(), h, "book"); err != nil {
				t.Fatal(err)
			}
			h.Crash()
			inside := testkit.Bucket(h, carts)
			if e, err := inside.Get(t.Context(), "ada"); err != nil || len(e.Value) != 1 {
				t.Error(e, err)
			}
			h.Advance(24 * time.Hour)
			if _, err := inside.Get(t.Context(), "ada"); !errors.Is(err, mono.ErrNotFound) {
				t.Error(err)
			}
		})
	})
	// Output: passed: true
}

// A fault is declared for the writes and the reads of a bucket. Here the answer to a write is
// lost, and Modify finds out that it took effect.
func ExampleFaultBucket() {
	visits := kv.NewBucket[int]("visits")
	visit := mono.NewService[string, int]("site.visit")
	site := mono.NewModule("site", func(s *mono.Scope) error {
		bucket := visits.Open(s)
		visit.Handle(s, func(ctx context.Context, page string) (int, error) {
			e, err := bucket.Modify(ctx, page, func(n int) (int, error) { return n + 1, nil })
			return e.Value, err
		})
		return nil
	})

	runTest(func(t *testing.T) { // func TestVisitCountsOnce(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			h.Add(site)
			testkit.FaultBucket(h, visits, testkit.AmbiguousSend)
			testkit.FaultBucket(h, visits, testkit.Late(time.Second)).When(testkit.Reads, testkit.Key("/"))
			h.MustStart()
			if n, err := visit.Call(t.Context(), h, "/"); n != 1 {
				t.Error(n, err)
			}
			if e, err := testkit.Bucket(h, visits).Get(t.Context(), "/"); e.Value != 1 {
				t.Error(e, err)
			}
		})
	})
	// Output: passed: true
}
