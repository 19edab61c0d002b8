package kv

import (
	"context"
	"fmt"
	"strings"
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

// reading counts the reads of a bucket.
type reading struct {
	driver.Bucket
	gets, reads int
	failed      error           // of all Reads
	stale       []driver.Record // replaces the records of these keys in a Read
}

func (b *reading) Get(ctx context.Context, key string, revision uint64, fresh bool) (*driver.Record, error) {
	b.gets++
	return b.Bucket.Get(ctx, key, revision, fresh)
}

func (b *reading) Read(ctx context.Context, keys []string) ([]*driver.Record, uint64, error) {
	b.reads++
	records, revision, err := b.Bucket.Read(ctx, keys)
	for _, r := range records {
		for _, older := range b.stale {
			if r.Key == older.Key {
				*r = older
			}
		}
	}
	return records, revision, firstError(b.failed, err)
}

// A Batch finds the key of a conflict with one Read, and confirms it at the leader.
func TestBatchFindsConflict(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		b := &reading{Bucket: o.Bucket}
		o.Bucket = b
		const n = 500
		revisions := make(map[string]uint64)
		for i := range n {
			key := fmt.Sprint("key.", i)
			e, err := bucket.Put(t.Context(), key, i)
			if err != nil {
				t.Fatal(err)
			}
			revisions[key] = e.Revision
		}
		const conflict = "key.321"
		put(t, bucket, conflict, 0)
		b.stale = []driver.Record{{Key: "key.5", Revision: 1}}
		batch := func(create string) error {
			b.gets, b.reads = 0, 0
			_, err := bucket.Batch(t.Context(), func(tx *Tx[int]) error {
				tx.Create(create, 1)
				for key, revision := range revisions {
					tx.Update(key, revision, 1)
				}
				return nil
			})
			return err
		}
		wantConflict := func(err error, code transport.Code, key string, gets int) {
			t.Helper()
			if transport.CodeOf(err) != code || !strings.Contains(err.Error(), fmt.Sprintf("key %q", key)) || b.reads != 1 || b.gets > gets {
				t.Errorf("%v, after %d Reads and %d Gets", err, b.reads, b.gets)
			}
		}
		wantConflict(batch("new"), transport.Aborted, conflict, 2)
		delete(revisions, "key.7")
		wantConflict(batch("key.7"), transport.AlreadyExists, "key.7", 1)
		b.failed = notDone(transport.Unimplemented, "no Read")
		wantConflict(batch("new"), transport.Aborted, conflict, n)
	})
}
