package kv

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"gomono.dev/kv/driver"
)

// lateReplica is a bucket whose Scans read from a replica that lags: an older record of a key comes
// first, and then its newest.
type lateReplica struct{ driver.Bucket }

func (b *lateReplica) Scan(ctx context.Context, s driver.Scan, yield func(*driver.Record) bool) error {
	s.History = true
	return b.Bucket.Scan(ctx, s, yield)
}

// A listing has the last writes of this process, and each key once, also from a replica that
// lags.
func TestListFromReplica(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		o.Bucket = &lateReplica{o.Bucket}
		_, err := o.Bucket.Put(t.Context(), driver.Write{Key: "other", Value: []byte("0")}, driver.Write{Key: "deleted", Value: []byte("0")})
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.Bucket.Put(t.Context(), driver.Write{Key: "other", Value: []byte("1")}) // by another process
		if err != nil {
			t.Fatal(err)
		}
		put(t, bucket, "a", 1)
		put(t, bucket, "a", 2)
		if err := bucket.Delete(t.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
		put(t, bucket, "again", 1)
		if err := bucket.Delete(t.Context(), "again"); err != nil {
			t.Fatal(err)
		}
		put(t, bucket, "again", 2)
		o.written.slot("other").Store(100) // another key of its slot has a newer revision
		list := func() (got []string) {
			for e, err := range bucket.List(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(e.Key, "=", e.Value))
			}
			slices.Sort(got)
			return got
		}
		if got := list(); fmt.Sprint(got) != "[a=2 again=2 other=1]" {
			t.Errorf("got %v", got)
		}
		for e, err := range bucket.List(t.Context()) {
			if err != nil || e.Key == "" {
				t.Errorf("got %+v, %v", e, err)
			}
			break
		}
	}, Replicas(3), History(5))
}
