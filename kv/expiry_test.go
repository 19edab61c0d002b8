package kv

import (
	"context"
	"testing"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// keeping is a bucket whose servers never remove what has expired.
type keeping struct {
	driver.Bucket
	behind time.Duration // of the leader's clock
	asked  int           // times
	failed error         // of Info
}

// kept gives a record a TTL that the bucket does not know. So the bucket keeps it.
func kept(r *driver.Record) *driver.Record {
	if r != nil && r.Key != "stays" {
		r.TTL = time.Second
	}
	return r
}

func (b *keeping) Info(ctx context.Context) (driver.Info, error) {
	b.asked++
	is, err := b.Bucket.Info(ctx)
	is.Now = time.Now().Add(-b.behind)
	return is, firstError(b.failed, err)
}

func (b *keeping) Get(ctx context.Context, key string, revision uint64, fresh bool) (*driver.Record, error) {
	r, err := b.Bucket.Get(ctx, key, revision, fresh)
	return kept(r), err
}

func (b *keeping) Read(ctx context.Context, keys []string) ([]*driver.Record, uint64, error) {
	records, revision, err := b.Bucket.Read(ctx, keys)
	for _, r := range records {
		kept(r)
	}
	return records, revision, err
}

func (b *keeping) Scan(ctx context.Context, s driver.Scan, yield func(*driver.Record) bool) error {
	return b.Bucket.Scan(ctx, s, func(r *driver.Record) bool { return yield(kept(r)) })
}

// read returns the number of values that each kind of read finds: Get, GetRevision, GetAll, Keys
// and List.
func read(t *testing.T, bucket *KeyValue[int], revision uint64) (found [5]int) {
	t.Helper()
	count := func(i int, err error) {
		t.Helper()
		switch {
		case err == nil:
			found[i]++
		case transport.CodeOf(err) != transport.NotFound:
			t.Error(err)
		}
	}
	for _, key := range []string{"a", "b", "stays"} {
		_, err := bucket.Get(t.Context(), key)
		count(0, err)
	}
	_, err := bucket.GetRevision(t.Context(), "a", revision)
	count(1, err)
	all, _, err := bucket.GetAll(t.Context(), "a", "b", "stays")
	if err != nil {
		t.Error(err)
	}
	found[2] = len(all)
	for _, err := range bucket.Keys(t.Context()) {
		count(3, err)
	}
	for _, err := range bucket.List(t.Context()) {
		count(4, err)
	}
	return found
}

// onKeeping runs a test on a bucket of the values a, b and stays. All but the last expire after
// a second, but are never removed.
func onKeeping(t *testing.T, test func(t *testing.T, bucket *KeyValue[int], b *keeping, revision uint64), options ...BucketOption) {
	t.Helper()
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		b := &keeping{Bucket: o.Bucket}
		o.Bucket = b
		for _, key := range []string{"stays", "b", "a"} {
			put(t, bucket, key, 1)
		}
		e, err := bucket.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		b.asked = 0
		test(t, bucket, b, e.Revision)
	}, options...)
}

// A value is gone for all reads from its expiry on, although the servers still have it. A read of
// several keys asks for the leader's clock once.
func TestExpiredValueIsNotRead(t *testing.T) {
	onKeeping(t, func(t *testing.T, bucket *KeyValue[int], b *keeping, revision uint64) {
		<-time.After(time.Second - 1)
		if found := read(t, bucket, revision); found != [5]int{3, 1, 3, 3, 3} || b.asked != 0 {
			t.Errorf("before: found %v, after the clock was asked for %d times", found, b.asked)
		}
		<-time.After(1)
		if found := read(t, bucket, revision); found != [5]int{1, 0, 1, 1, 1} || b.asked != 6 {
			t.Errorf("then: found %v, after the clock was asked for %d times", found, b.asked)
		}
	})
}

// A local clock that is ahead hides no value.
func TestClockAheadHidesNothing(t *testing.T) {
	for _, options := range [][]BucketOption{nil, {Cached()}} {
		t.Run("", func(t *testing.T) {
			onKeeping(t, func(t *testing.T, bucket *KeyValue[int], b *keeping, revision uint64) {
				b.behind = time.Hour
				<-time.After(time.Hour)
				if found := read(t, bucket, revision); found != [5]int{3, 1, 3, 3, 3} {
					t.Errorf("before: found %v", found)
				}
				<-time.After(time.Second)
				if found := read(t, bucket, revision); found != [5]int{1, 0, 1, 1, 1} {
					t.Errorf("then: found %v", found)
				}
			}, options...)
		})
	}
}

// A key whose value has expired has none for all writes, although the servers still have it.
func TestWritesOverAnExpiredValue(t *testing.T) {
	onKeeping(t, func(t *testing.T, bucket *KeyValue[int], b *keeping, _ uint64) {
		<-time.After(time.Second)
		if _, err := bucket.Touch(t.Context(), "a"); transport.CodeOf(err) != transport.NotFound {
			t.Errorf("Touch: %v", err)
		}
		if e, err := bucket.Create(t.Context(), "a", 2); err != nil {
			t.Errorf("Create: %+v, %v", e, err)
		}
		if _, err := bucket.Create(t.Context(), "stays", 2); transport.CodeOf(err) != transport.AlreadyExists {
			t.Errorf("Create of a value that stays: %v", err)
		}
		<-time.After(time.Second) // the new value expires too
		_, err := bucket.Batch(t.Context(), func(tx *Tx[int]) error {
			tx.Create("a", 3)
			tx.Create("b", 3)
			return nil
		})
		if err != nil {
			t.Errorf("Batch: %v", err)
		}
		<-time.After(time.Second)
		e, err := bucket.Modify(t.Context(), "a", func(was int) (int, error) { return was + 5, nil })
		if err != nil || e.Value != 5 {
			t.Errorf("Modify: %+v, %v", e, err)
		}
	})
}

// If the leader does not answer, nobody knows whether the value has expired.
func TestExpiryWithoutALeader(t *testing.T) {
	onKeeping(t, func(t *testing.T, bucket *KeyValue[int], b *keeping, revision uint64) {
		<-time.After(time.Second)
		b.failed = notDone(transport.Unavailable, "no leader")
		_, err := bucket.Get(t.Context(), "a")
		_, revisionErr := bucket.GetRevision(t.Context(), "a", revision)
		_, _, allErr := bucket.GetAll(t.Context(), "stays", "a")
		_, modifyErr := bucket.Modify(t.Context(), "a", func(int) (int, error) { return 0, nil })
		errs := []error{err, revisionErr, allErr, modifyErr}
		for _, err := range bucket.List(t.Context()) {
			if err != nil {
				errs = append(errs, err)
			}
		}
		for _, err := range errs {
			if transport.CodeOf(err) != transport.Unavailable {
				t.Errorf("got %v", err)
			}
		}
		if len(errs) != 5 {
			t.Errorf("got %v, want an error of List too", errs)
		}
		if _, err := bucket.Get(t.Context(), "stays"); err != nil {
			t.Error(err)
		}
	})
}
