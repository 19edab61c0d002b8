package kv

import (
	"testing"
	"time"
)

// A Create over the mark of a deletion takes no time, alone and in a Batch.
func TestCreateOverMarkDoesNotPause(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], _ *opened) {
		for _, key := range []string{"a", "b"} {
			put(t, bucket, key, 1)
			if err := bucket.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		if _, err := bucket.Create(t.Context(), "a", 2); err != nil {
			t.Error(err)
		}
		if _, err := bucket.Batch(t.Context(), func(tx *Tx[int]) error { tx.Create("b", 2); return nil }); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("took %v of virtual time", took)
		}
	})
}
