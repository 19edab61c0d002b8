package kv

import (
	"context"
	"testing"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// vanishing is a bucket in which a conflict ends before anybody can look at it.
type vanishing struct {
	driver.Bucket
	puts int
}

func (b *vanishing) Put(ctx context.Context, writes ...driver.Write) (uint64, error) {
	if b.puts++; b.puts == 1 {
		return 0, notDone(transport.Aborted, "a conflict")
	}
	return b.Bucket.Put(ctx, writes...)
}

// A Batch whose conditions hold again is stored.
func TestBatchAfterConflict(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		o.Bucket = &vanishing{Bucket: o.Bucket}
		revision, err := bucket.Batch(t.Context(), func(tx *Tx[int]) error {
			tx.Create("a", 1)
			tx.Put("b", 2)
			return nil
		})
		if err != nil || revision != 2 {
			t.Errorf("got %d, %v", revision, err)
		}
	})
}
