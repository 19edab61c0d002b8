package kv

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// onInproc runs a test with a bucket of its own, in virtual time.
func onInproc(t *testing.T, test func(t *testing.T, bucket *KeyValue[int], o *opened), options ...BucketOption) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := inproc.New(inproc.Options{})
		defer tr.Close(t.Context())
		bucket, err := Connect(t.Context(), tr, NewBucket[int]("numbers", options...))
		if err != nil {
			t.Fatal(err)
		}
		test(t, bucket, bucket.store.open.Load())
	})
}

func put(t *testing.T, bucket *KeyValue[int], key string, value int) {
	t.Helper()
	if _, err := bucket.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

// A Watch whose loop panics leaves nothing behind.
func TestWatchEndsWithPanic(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		func() {
			defer func() { _ = recover() }()
			for range bucket.Watch(t.Context()) {
				panic("the loop")
			}
		}()
		synctest.Wait()
		if len(o.feed.watchers) != 0 || o.feed.running {
			t.Errorf("%d watchers are left, and the feed runs: %v", len(o.feed.watchers), o.feed.running)
		}
	})
}

// A Watch ends with its context, also if there are always changes to give.
func TestWatchEndsWithContext(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], _ *opened) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := 0
		for _, err := range bucket.Watch(ctx) {
			if err != nil {
				if transport.CodeOf(err) != transport.Canceled || events != 3 {
					t.Errorf("got %v after %d events", err, events)
				}
				return
			}
			if events++; events == 3 {
				cancel()
			}
			if events == 10 {
				t.Fatal("the Watch continues")
			}
			put(t, bucket, "a", events)
			put(t, bucket, "a", -events)
			synctest.Wait()
		}
	})
}

// A watcher that has missed nothing gets no EventReplay when another one joins, whatever
// happened to other keys.
func TestWatchersJoinWithoutReplay(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		put(t, bucket, "a", 1)
		w := newWatcher([]string{"a"}, false)
		if _, err := o.feed.join(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		put(t, bucket, "b", 1)
		if err := bucket.Delete(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if err := bucket.PurgeDeletes(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := o.feed.join(t.Context(), newWatcher([]string{"c"}, false)); err != nil {
			t.Fatal(err)
		}
		put(t, bucket, "a", 2)
		synctest.Wait()
		if records, lost, err := w.take(); len(records) != 1 || lost || err != nil {
			t.Errorf("got %d records, changes are lost: %v, %v", len(records), lost, err)
		}
		_ = o.feed.stop(t.Context())
	})
}

// closing is a bucket whose transport is closed while changes are missing.
type closing struct {
	driver.Bucket
	gone bool
}

func (b *closing) Info(ctx context.Context) (driver.Info, error) {
	if b.gone {
		return driver.Info{}, notDone(transport.Unavailable, "closed")
	}
	return b.Bucket.Info(ctx)
}

func (b *closing) Follow(context.Context, driver.Follow, func(*driver.Record) bool) error {
	if b.gone {
		return notDone(transport.Unavailable, "closed")
	}
	b.gone = true
	return driver.ErrGap
}

// A Watch ends when the transport was closed, also if changes are missing then.
func TestWatchEndsWithTransport(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		o.Bucket = &closing{Bucket: o.Bucket}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for _, err := range bucket.Watch(ctx, UpdatesOnly()) {
			if transport.CodeOf(err) != transport.Unavailable {
				t.Errorf("got %v", err)
			}
		}
		_ = o.feed.stop(t.Context())
	})
}
