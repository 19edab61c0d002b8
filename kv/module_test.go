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
