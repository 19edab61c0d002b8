package kv

import (
	"context"
	"strings"
	"testing"

	"gomono.dev/kv/driver"
)

// setAgain is a bucket whose Scan is answered by a replica that lags: it has the mark of a
// deletion first, and then the value that was set again.
type setAgain struct {
	driver.Bucket
	removed []string
}

func (b *setAgain) Scan(_ context.Context, _ driver.Scan, yield func(*driver.Record) bool) error {
	for _, r := range []*driver.Record{{Key: "a", Revision: 2, Op: driver.Delete}, {Key: "b", Revision: 3, Op: driver.Delete}, {Key: "a", Revision: 4}} {
		if !yield(r) {
			break
		}
	}
	return nil
}

func (b *setAgain) Remove(_ context.Context, key string, _ uint64) error {
	b.removed = append(b.removed, key)
	return nil
}

// PurgeDeletes keeps the history of a key that was set again, although a replica that lags
// answers with its mark.
func TestPurgeDeletesOfLaggingReplica(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		replica := &setAgain{Bucket: o.Bucket}
		o.Bucket = replica
		if err := bucket.PurgeDeletes(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(replica.removed, " "); text != "b" {
			t.Errorf("removed %s", text)
		}
	})
}
