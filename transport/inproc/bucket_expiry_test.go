package inproc_test

import (
	"testing"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport/inproc"
)

// expiring runs a test on a new bucket in virtual time.
func expiring(t *testing.T, c driver.Config, body func(*testing.T, driver.Bucket)) {
	t.Helper()
	t.Parallel()
	bubble(t, func(t *testing.T, backend *inproc.Backend) {
		body(t, openBucket(t, connect(t, backend), c))
	})
}

// A value with a TTL becomes a marker, which goes after its life. No older revision
// appears again.
func TestBucketExpiry(t *testing.T) {
	expiring(t, driver.Config{History: 5}, func(t *testing.T, b driver.Bucket) {
		f := follow(t.Context(), b, driver.Follow{})
		put(t, b, set("a", "1"))
		wantText(t, "followed", f.got(), "a=1@1")
		put(t, b, lasting(set("a", "2"), 2*time.Second), set("b", "1"))
		began := time.Now()
		advance(2*time.Second - 1)
		wantText(t, "before", everything(t, b), "a=2@2 b=1@3")
		advance(1)
		wantText(t, "expired", everything(t, b), "b=1@3 a:expire@4")
		r, err := b.Get(t.Context(), "a", 0, true)
		if err != nil || r.Created.Sub(began) != 2*time.Second {
			t.Errorf("got %+v, %v", r, err)
		}
		advance(time.Until(r.Expiry(0)))
		wantText(t, "later", everything(t, b), "b=1@3")
		wantText(t, "followed", f.got(), "a=1@1 a=2@2 b=1@3 a:expire@4")
		if n := put(t, b, expect(set("a", "3"), 0)); n != 5 {
			t.Errorf("got revision %d", n)
		}
	})
}

// A Follow gets the marker of an expired value while nobody uses the bucket.
func TestBucketExpiryFollowed(t *testing.T) {
	expiring(t, driver.Config{}, func(t *testing.T, b driver.Bucket) {
		f := follow(t.Context(), b, driver.Follow{})
		put(t, b, lasting(set("b", ""), 2*time.Second), lasting(set("a", ""), time.Second))
		advance(time.Second)
		wantText(t, "first", f.got(), "b=@1 a=@2 a:expire@3")
		advance(time.Second)
		wantText(t, "second", f.got(), "b=@1 a=@2 a:expire@3 b:expire@4")
	})
}

// A write without a TTL replaces one with it, and stays.
func TestBucketExpiryReplaced(t *testing.T) {
	expiring(t, driver.Config{History: 2}, func(t *testing.T, b driver.Bucket) {
		put(t, b, lasting(set("a", "1"), time.Second))
		put(t, b, set("a", "2"))
		advance(time.Second)
		wantText(t, "expired", everything(t, b), "a=2@2")
		put(t, b, lasting(set("a", "3"), time.Second))
		put(t, b, lasting(set("a", "4"), time.Hour)) // renews it
		advance(time.Minute)
		wantText(t, "renewed", everything(t, b), "a=4@4")
	})
}

// The TTL of the bucket applies to all records, markers included. A Delete becomes a
// marker of the expiry; a Purge goes.
func TestBucketTTL(t *testing.T) {
	expiring(t, driver.Config{History: 3, TTL: 10 * time.Second}, func(t *testing.T, b driver.Bucket) {
		put(t, b, set("a", "1"), set("b", "1"), set("c", "1"))
		advance(time.Second)
		put(t, b, set("a", "2"), driver.Write{Key: "b", Op: driver.Delete}, driver.Write{Key: "c", Op: driver.Purge})
		put(t, b, lasting(set("d", "1"), time.Hour))
		advance(9 * time.Second)
		wantText(t, "first", everything(t, b), "a=2@4 b:delete@5 c:purge@6 d=1@7")
		advance(time.Second)
		wantText(t, "second", everything(t, b), "a:expire@8 b:expire@9 d:expire@10")
		advance(10 * time.Second)
		wantText(t, "third", everything(t, b), "")
	})
}

// A shorter TTL of the bucket applies at once, a longer one to what is left.
func TestBucketTTLChanged(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, backend *inproc.Backend) {
		tr := connect(t, backend)
		b := openBucket(t, tr, driver.Config{TTL: time.Hour})
		put(t, b, set("a", "1"))
		advance(time.Minute)
		put(t, b, set("b", "1"))
		openBucket(t, tr, driver.Config{TTL: 20 * time.Second})
		wantText(t, "shorter", everything(t, b), "b=1@2 a:expire@3")
		openBucket(t, tr, driver.Config{TTL: time.Hour})
		advance(time.Minute)
		wantText(t, "longer", everything(t, b), "b=1@2")
		advance(time.Hour - time.Minute)
		wantText(t, "expired", everything(t, b), "b:expire@4")
	})
}

// A Purge with a TTL goes without a further marker.
func TestBucketPurgeTTL(t *testing.T) {
	expiring(t, driver.Config{}, func(t *testing.T, b driver.Bucket) {
		put(t, b, set("a", "1"))
		put(t, b, lasting(driver.Write{Key: "a", Op: driver.Purge}, time.Second))
		advance(time.Second)
		wantText(t, "gone", everything(t, b), "")
	})
}

// A Follow reports a gap if a marker that it needs is gone.
func TestBucketGap(t *testing.T) {
	expiring(t, driver.Config{}, func(t *testing.T, b driver.Bucket) {
		gap := func(what string, after uint64, want error) {
			t.Helper()
			var last uint64
			err := b.Follow(t.Context(), driver.Follow{After: after}, func(r *driver.Record) bool {
				last = r.Revision
				return false
			})
			if err != want || want == nil && last != 4 {
				t.Errorf("%s: got %v, want %v", what, err, want)
			}
		}
		put(t, b, set("a", "1"), set("b", "1"))
		put(t, b, driver.Write{Key: "a", Op: driver.Purge}) // 3
		put(t, b, set("b", "2"))                            // 4
		gap("before", 3, nil)
		if err := b.Remove(t.Context(), "a", 3); err != nil {
			t.Fatal(err)
		}
		gap("from the beginning", 0, nil)
		gap("after the value", 1, driver.ErrGap)
		gap("after the marker", 3, nil)
		gap("after a revision of a former bucket", 5, driver.ErrGap)
	})
}

// A slow Follow reports a gap for a value that it has read. It needs no marker of others.
func TestBucketGapLive(t *testing.T) {
	for pattern, want := range map[string]error{">": driver.ErrGap, "a": driver.ErrGap, "x": nil, "late": nil} {
		t.Run(pattern, func(t *testing.T) {
			expiring(t, driver.Config{}, func(t *testing.T, b driver.Bucket) {
				put(t, b, set("x", ""), set("a", ""), set("late", ""))
				records := 0
				err := b.Follow(t.Context(), driver.Follow{Patterns: []string{pattern}}, func(r *driver.Record) bool {
					if records++; records == 1 {
						n := put(t, b, set("new", ""), driver.Write{Key: "a", Op: driver.Purge})
						put(t, b, driver.Write{Key: "new", Op: driver.Purge})
						for _, key := range []string{"a", "new"} {
							_ = b.Remove(t.Context(), key, n+1)
						}
						put(t, b, set("x", ""), set("late", ""))
					}
					return r.Revision < 7
				})
				if err != want {
					t.Errorf("got %v, want %v", err, want)
				}
			})
		})
	}
}
