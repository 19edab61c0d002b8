package kv

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// hooked is a bucket whose steps a test observes and delays. A nil hook does nothing.
type hooked struct {
	driver.Bucket
	info func()
	got  func(*driver.Record) (*driver.Record, error)
}

func (b *hooked) Info(ctx context.Context) (driver.Info, error) {
	if b.info != nil {
		b.info()
	}
	return b.Bucket.Info(ctx)
}

func (b *hooked) Get(ctx context.Context, key string, revision uint64, fresh bool) (*driver.Record, error) {
	r, err := b.Bucket.Get(ctx, key, revision, fresh)
	if err == nil && b.got != nil {
		return b.got(r)
	}
	return r, err
}

// hook puts a hooked bucket between a cache and its bucket. It returns that bucket too.
func hook(o *opened) (b *hooked, beneath driver.Bucket) {
	b = &hooked{Bucket: o.Bucket}
	beneath, o.Bucket = o.Bucket, b
	return b, beneath
}

func change(t *testing.T, b driver.Bucket, key, value string) {
	t.Helper()
	if _, err := b.Put(t.Context(), driver.Write{Key: key, Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

func wantCached(t *testing.T, bucket *KeyValue[int], key string, want int) {
	t.Helper()
	<-time.After(2 * DefaultMaxStale)
	if e, err := bucket.Get(t.Context(), key); err != nil || e.Value != want {
		t.Errorf("got %+v, %v after MaxStale, want %d", e, err, want)
	}
}

// A Get while another one begins to follow the bucket remembers nothing that is not followed.
func TestCacheIsFilledWhileItJoins(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		put(t, bucket, "a", 1)
		b, beneath := hook(o)
		goOn := make(chan struct{})
		b.info = sync.OnceFunc(func() { <-goOn })
		go func() { _, _ = bucket.Get(t.Context(), "b") }()
		synctest.Wait()
		if e, err := bucket.Get(t.Context(), "a"); err != nil || e.Value != 1 {
			t.Errorf("got %+v, %v", e, err)
		}
		change(t, beneath, "a", "2")
		close(goOn)
		wantCached(t, bucket, "a", 2)
	}, Cached())
}

// A Get that began before changes were lost does not fill the place that another one made
// since.
func TestCacheIsFilledLate(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		put(t, bucket, "a", 1)
		b, beneath := hook(o)
		goOn := make(chan struct{})
		b.got = func(r *driver.Record) (*driver.Record, error) { <-goOn; return r, nil }
		go func() { _, _ = bucket.Get(t.Context(), "a") }()
		synctest.Wait()
		change(t, beneath, "a", "2")
		synctest.Wait()
		o.cache.lose()
		b.got = func(*driver.Record) (*driver.Record, error) {
			return nil, notDone(transport.Unavailable, "a fault")
		}
		_, err := bucket.Get(t.Context(), "a")
		b.got = nil
		if transport.CodeOf(err) != transport.Unavailable {
			t.Errorf("got %v", err)
		}
		close(goOn)
		wantCached(t, bucket, "a", 2)
	}, Cached())
}

// A cached Get returns no value after its expiry, also if the server has not removed it yet.
func TestCacheOfExpiredValue(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		put(t, bucket, "a", 1)
		b, _ := hook(o)
		b.got = func(r *driver.Record) (*driver.Record, error) {
			r.TTL = time.Second
			return r, nil
		}
		<-time.After(time.Second)
		if e, err := bucket.Get(t.Context(), "a"); transport.CodeOf(err) != transport.NotFound {
			t.Errorf("got %+v, %v", e, err)
		}
	}, Cached())
}

// A process reads what it wrote to a bucket that was deleted and created again, before the
// cache knows of that.
func TestCacheOfRecreatedBucket(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		put(t, bucket, "a", 1)
		if _, err := bucket.Get(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		o.cache.push(&driver.Record{Key: "a", Revision: 9, Value: []byte("9")}) // of the bucket before
		put(t, bucket, "a", 2)
		if e, err := bucket.Get(t.Context(), "a"); err != nil || e.Value != 2 {
			t.Errorf("got %+v, %v", e, err)
		}
	}, Cached())
}

// What a feed followed before does not prove that it has all changes that it follows now.
func TestStalenessOfNewKeys(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		w := newWatcher([]string{"a"}, false)
		if _, err := o.feed.join(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := o.feed.turn
		o.feed.add(newWatcher([]string{"b"}, false), 0)
		synctest.Wait()
		is := o.feed.current.Load()
		<-time.After(time.Nanosecond)
		o.feed.markCurrent(before, 0, false)
		if o.feed.current.Load() != is {
			t.Error("an old Follow marks the feed as current")
		}
		_ = o.feed.stop(t.Context())
	})
}

// A cache of a bucket that does not change stays as new as the bucket, without a request.
func TestCacheOfIdleBucket(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		put(t, bucket, "a", 1)
		get := func(want int) {
			t.Helper()
			if e, err := bucket.Get(t.Context(), "a"); err != nil || e.Value != want {
				t.Errorf("got %+v, %v, want %d", e, err, want)
			}
		}
		get(1)
		synctest.Wait()
		get(1)
		b, beneath := hook(o)
		b.got = func(*driver.Record) (*driver.Record, error) {
			return nil, notDone(transport.Internal, "a request")
		}
		<-time.After(24 * time.Hour)
		get(1)
		change(t, beneath, "a", "2")
		synctest.Wait()
		get(2)
		if is := bucket.CacheStats(); is.Stale != 1 || is.Staleness != 0 {
			t.Errorf("got %+v", is) // the first Get began to follow
		}
		_ = o.feed.stop(t.Context())
		<-time.After(time.Second)
		if is := bucket.CacheStats(); is.Staleness != time.Second {
			t.Errorf("got %+v a second after the end", is)
		}
	}, Cached())
}

// A write with an unknown outcome makes the cache forget, also that a key has no value.
func TestDoubtfulWriteEvicts(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		put(t, bucket, "a", 1)
		for _, key := range []string{"a", "b"} {
			_, _ = bucket.Get(t.Context(), key)
			if o.cache.known(key) == nil {
				t.Errorf("%s is not remembered", key)
			}
			o.cache.wrote(key, 0)
			if o.cache.known(key) != nil {
				t.Errorf("%s is still remembered", key)
			}
		}
	}, Cached())
}
