package kv_test

import (
	"flag"
	"fmt"
	"sync"
	"testing"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/transport/natsx/embedded"
)

var purgeWrites = flag.Int("kv.writes", 4000, "how many writes run beside PurgeDeletes")

// PurgeDeletes removes no value that is written concurrently, to a key that it removes the mark
// of.
func TestPurgeDeletesLosesNoWrite(t *testing.T) {
	t.Parallel()
	const writers, keys = 8, 50 // a key has a mark for some time
	store := connect(t, connectNATS(t, startNATS(t, embedded.Options{Memory: true}))(), kv.NewBucket[int]("b"))
	ctx := realtime.Patient(t)
	done := make(chan struct{})
	var purging, writing sync.WaitGroup
	purging.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := store.PurgeDeletes(ctx, 0); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for w := range writers {
		writing.Go(func() {
			for round := range *purgeWrites / writers / keys / 2 {
				writeAgain(t, store, fmt.Sprint(w), keys, round)
			}
		})
	}
	writing.Wait()
	close(done)
	purging.Wait()
	left := 0
	for _, err := range store.Keys(ctx) {
		if left++; err != nil {
			t.Fatal(err)
		}
	}
	if left != writers*keys {
		t.Errorf("%d keys are left", left)
	}
}

// writeAgain deletes keys, sets them again, and reads them.
func writeAgain(t *testing.T, store *kv.KeyValue[int], prefix string, keys, value int) {
	ctx := realtime.Patient(t)
	each := func(do func(key string) error) {
		for i := range keys {
			key := fmt.Sprintf("%s.%d", prefix, i)
			if err := do(key); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
	each(func(key string) error { return store.Delete(ctx, key) })
	each(func(key string) error { _, err := store.Put(ctx, key, value); return err })
	each(func(key string) error {
		e, err := store.Get(ctx, key)
		if err == nil && e.Value != value {
			err = fmt.Errorf("got %d, want %d", e.Value, value)
		}
		return err
	})
}
