package kv_test

import (
	"context"
	"testing"
	"time"

	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/transport"
)

var (
	visits = kv.NewBucket[int]("visits", kv.TTL(time.Hour))
	visit  = mono.NewService[string, int]("site.visit")
)

// site counts visits in a bucket.
type site struct{ visits *kv.KeyValue[int] }

func (*site) Name() string { return "site" }

func (m *site) Bind(s *mono.Scope) error {
	m.visits = visits.Open(s)
	visit.Handle(s, func(ctx context.Context, page string) (int, error) {
		e, err := m.visits.Modify(ctx, page, func(n int) (int, error) { return n + 1, nil })
		return e.Value, err
	})
	return nil
}

func TestModuleUsesBucket(t *testing.T) {
	testkit.Each(t, func(t *testing.T, h *testkit.Harness) {
		h.AddFunc(func() mono.Module { return &site{} })
		h.MustStart()
		for want := 1; want <= 3; want++ {
			if n, err := visit.Call(t.Context(), h, "/"); err != nil || n != want {
				t.Fatalf("visit %d: got %d, %v", want, n, err)
			}
			if want == 2 && h.Virtual() {
				h.Crash()
			}
		}
		if !h.Virtual() {
			return
		}
		h.Advance(time.Hour)
		if n, err := visit.Call(t.Context(), h, "/"); err != nil || n != 1 {
			t.Fatalf("after the TTL: got %d, %v", n, err)
		}
	})
}

// A cache does not remember the answer of a replica that lags: it would never learn of the
// changes before it began to follow the bucket.
func TestCacheIsNotFilledFromLaggingReplica(t *testing.T) {
	numbers := kv.NewBucket[int]("numbers", kv.Cached())
	read := mono.NewService[string, int]("numbers.read")
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		testkit.FaultBucket(h, numbers, testkit.Stale)
		h.Add(mono.NewModule("numbers", func(s *mono.Scope) error {
			bucket := numbers.Open(s)
			read.Handle(s, func(ctx context.Context, key string) (int, error) {
				e, err := bucket.Get(ctx, key)
				return e.Value, err
			})
			return nil
		}))
		h.MustStart()
		for n := range 2 {
			if _, err := testkit.Bucket(h, numbers).Put(t.Context(), "a", n+1); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if n, err := read.Call(t.Context(), h, "a"); err != nil || n != 2 {
				t.Errorf("got %d, %v, want 2", n, err)
			}
			h.Advance(time.Minute)
		}
	})
}

func TestBucketBeforeStart(t *testing.T) {
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		var m site
		h.Add(&m)
		h.MustStart()
		h.Stop()
		_, err := m.visits.Get(t.Context(), "/")
		code(t, err, transport.FailedPrecondition)
	})
}
