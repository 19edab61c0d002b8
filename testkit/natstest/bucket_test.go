package natstest_test

import (
	"context"
	"testing"

	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/testkit/natstest"
)

var (
	counts = kv.NewBucket[int]("counts")
	count  = mono.NewService[string, int]("counter.count")
)

func counter() mono.Module {
	return mono.NewModule("counter", func(s *mono.Scope) error {
		bucket := counts.Open(s)
		count.Handle(s, func(ctx context.Context, key string) (int, error) {
			e, err := bucket.Modify(ctx, key, func(n int) (int, error) { return n + 1, nil })
			return e.Value, err
		})
		return nil
	})
}

// The test looks into a bucket on every path, before the start and after the stop of the App.
func TestBucket(t *testing.T) {
	t.Parallel()
	natstest.Each(t, func(t *testing.T, h *testkit.Harness) {
		bucket := testkit.Bucket(h, counts)
		if _, err := bucket.Put(t.Context(), "a b", 5); err != nil {
			t.Fatal(err)
		}
		h.AddFunc(counter)
		h.MustStart()
		if n, err := count.Call(t.Context(), h, "a b"); err != nil || n != 6 {
			t.Fatalf("counted %d: %v", n, err)
		}
		h.Stop()
		if e, err := bucket.Get(t.Context(), "a b"); err != nil || e.Value != 6 {
			t.Errorf("stored %+v: %v", e, err)
		}
	})
}

// The test's bucket is in the namespace of the App, on a server too.
func TestBucketInNamespace(t *testing.T) {
	t.Parallel()
	natstest.Run(t, func(t *testing.T, h *testkit.Harness) {
		status, err := testkit.Bucket(h, counts).Status(t.Context())
		if err != nil || status.Name != "shop_eu_counts" {
			t.Errorf("%+v: %v", status, err)
		}
	}, testkit.AppOptions(mono.Namespace("shop.eu")))
}
