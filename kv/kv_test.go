package kv_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// code fails unless err has the given code.
func code(t *testing.T, err error, want transport.Code) {
	t.Helper()
	if got := transport.CodeOf(err); got != want {
		t.Fatalf("got %v, want %q", err, want)
	}
}

func connect[T any](t *testing.T, tr transport.Transport, b kv.Bucket[T]) *kv.KeyValue[T] {
	t.Helper()
	bucket, err := kv.Connect(t.Context(), tr, b)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

// inBubble runs a test with a transport of its own, in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, tr *inproc.Transport)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := inproc.New(inproc.Options{})
		defer tr.Close(t.Context())
		f(t, tr)
	})
}

func TestCachedGetSeesChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, tr *inproc.Transport) {
		cached := connect(t, tr, kv.NewBucket[int]("numbers", kv.Cached()))
		other := connect(t, tr, kv.NewBucket[int]("numbers"))
		if _, err := other.Put(t.Context(), "a", 1, kv.TTL(time.Minute)); err != nil {
			t.Fatal(err)
		}
		get := func(want int) {
			t.Helper()
			synctest.Wait()
			if e, err := cached.Get(t.Context(), "a"); err != nil || e.Value != want {
				t.Fatalf("got %+v, %v, want %d", e, err, want)
			}
		}
		get(1)
		get(1)
		if s := cached.CacheStats(); s.Hits != 1 || s.Misses != 1 || s.Keys != 1 {
			t.Fatalf("after a miss and a hit: %+v", s)
		}
		_, err := other.Put(t.Context(), "a", 2)
		code(t, err, "")
		get(2)
		_, err = cached.Put(t.Context(), "a", 3, kv.TTL(time.Minute))
		code(t, err, "")
		get(3)
		hits := cached.CacheStats().Hits
		<-time.After(time.Minute - time.Nanosecond)
		get(3)
		if s := cached.CacheStats(); s.Hits != hits+1 {
			t.Fatalf("a minute later: %+v, want a hit more than %d", s, hits)
		}
		<-time.After(time.Nanosecond)
		_, err = cached.Get(t.Context(), "a")
		code(t, err, transport.NotFound)
	})
}

func TestZeroSelector(t *testing.T) {
	inBubble(t, func(t *testing.T, tr *inproc.Transport) {
		b := connect(t, tr, kv.NewBucket[int]("numbers"))
		for _, err := range b.Keys(t.Context(), kv.Selector{}) {
			code(t, err, transport.InvalidArgument)
		}
	})
}
