package kv_test

import (
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats-server/v2/server"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

// Close ends the watches and the cache of a bucket, and its transport stays open.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // a bubble ends only if no goroutine is left
		tr := inproc.New(inproc.Options{})
		bucket, other := connect(t, tr, cachedWords), connect(t, tr, cachedWords)
		if _, err := bucket.Put(t.Context(), "a", "1"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := bucket.Get(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		var last error
		for e, err := range bucket.Watch(t.Context()) {
			if last = err; e.Kind == kv.EventCurrent {
				code(t, bucket.Close(t.Context()), "")
			}
		}
		code(t, last, transport.Unavailable)
		_, err := bucket.Get(t.Context(), "a")
		code(t, err, transport.FailedPrecondition)
		_, err = bucket.Raw().Get(t.Context(), "a")
		code(t, err, transport.FailedPrecondition)
		code(t, bucket.Close(t.Context()), "")
		if e, err := other.Get(t.Context(), "a"); err != nil || e.Value != "1" {
			t.Errorf("another user of the transport: %+v, %v", e, err)
		}
		code(t, other.Close(t.Context()), "")
	})
}

var cachedWords = kv.NewBucket[string]("words", kv.Cached())

// Close removes the consumer of a cache at the server.
func TestCloseRemovesConsumer(t *testing.T) {
	t.Parallel()
	nats := startNATS(t, embedded.Options{Memory: true})
	bucket := connect(t, connectNATS(t, nats)(), cachedWords)
	if _, err := bucket.Put(t.Context(), "a", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	consumers := func(n int) func() bool {
		return func() bool {
			is, err := nats.NATS().Jsz(&server.JSzOptions{})
			return err == nil && is.Consumers == n
		}
	}
	realtime.Until(t, "the cache has a consumer", consumers(1))
	code(t, bucket.Close(realtime.Patient(t)), "")
	realtime.Until(t, "the consumer is gone", consumers(0))
}

// Only a Host closes its buckets.
func TestCloseOnHost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	bucket := kv.NewBucket[string]("words").Open(h)
	if err := h.start(t); err != nil {
		t.Fatal(err)
	}
	wantCode(t, bucket.Close(t.Context()), transport.FailedPrecondition, `bucket "words"`, "Host")
	if _, err := bucket.Put(t.Context(), "a", "1"); err != nil {
		t.Error(err)
	}
}
