package natsx_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
)

// storages are the two stores of the server, which implement expiry separately.
var storages = map[string]bool{"file": false, "memory": true}

// An expired value leaves a marker, whatever the history. No older value reappears.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for storage, memory := range storages {
		for _, history := range []int{1, 5} {
			t.Run(fmt.Sprint(storage, history), func(t *testing.T) {
				t.Parallel()
				tr := inProcessOn(t, t.TempDir())
				b := openBucket(t, tr, driver.Config{History: history, Memory: memory})
				f := startFollow(t, b, driver.Follow{})
				put(t, b, "a", "old")
				f.wants(t, "1:a=old")
				write(t, b, driver.Write{Key: "a", Value: []byte("v"), TTL: time.Second})
				f.wants(t, "2:a=v")
				if r, err := b.Get(t.Context(), "a", 0, false); err != nil || r.TTL != time.Second || r.Expiry(0).Sub(r.Created) != time.Second {
					t.Errorf("%+v, %v", r, err)
				}
				f.wants(t, "3:a~")
				if history == 1 { // the marker lives for minutes
					if r, err := b.Get(t.Context(), "a", 0, false); err != nil || describe(r) != "3:a~" || r.TTL != 5*time.Minute {
						t.Errorf("%+v, %v", r, err)
					}
				}
				if history > 1 { // the marker goes without a trace
					eventually(t, "the marker to go", func() bool { return scan(t, b, driver.Scan{History: true}) == "" })
				}
				info, err := b.Info(t.Context())
				if err != nil || info.Last != 3 {
					t.Errorf("%+v, %v", info, err)
				}
			})
		}
	}
}

// A deletion marker that expires gets the marker of a value. A purge marker gets none.
func TestExpiryOfMarkers(t *testing.T) {
	t.Parallel()
	for storage, memory := range storages {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			b := openBucket(t, inProcessOn(t, t.TempDir()), driver.Config{History: 5, Memory: memory})
			f := startFollow(t, b, driver.Follow{})
			put(t, b, "a", "1")
			f.wants(t, "1:a=1")
			write(t, b, driver.Write{Key: "a", Op: driver.Delete, TTL: time.Second})
			write(t, b, driver.Write{Key: "b", Op: driver.Purge, TTL: time.Second})
			f.wants(t, "2:a-", "3:b!", "4:a~")
			eventually(t, "all markers to go", func() bool { return scan(t, b, driver.Scan{History: true}) == "" })
		})
	}
}

// The bucket's TTL removes values with a marker each, and markers without.
func TestBucketTTL(t *testing.T) {
	t.Parallel()
	for storage, memory := range storages {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			b := openBucket(t, inProcessOn(t, t.TempDir()), driver.Config{TTL: time.Second, History: 3, Memory: memory})
			f := startFollow(t, b, driver.Follow{})
			put(t, b, "a", "1")
			put(t, b, "a", "2")
			write(t, b, driver.Write{Key: "b", Op: driver.Delete})
			write(t, b, driver.Write{Key: "c", Op: driver.Purge})
			f.wants(t, "1:a=1", "2:a=2", "3:b-", "4:c!", "5:a~", "6:b~")
			eventually(t, "all records to go", func() bool { return scan(t, b, driver.Scan{History: true}) == "" })
		})
	}
}

// With history, the server silently raises a TTL below the life of markers. Buckets of this
// package therefore have the shortest life.
func TestServerRaisesTTL(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	js := jetStream(t, tr)
	for history, want := range map[uint8]time.Duration{1: time.Second, 2: time.Minute} {
		bucket := fmt.Sprint("history", history)
		if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket, History: history, LimitMarkerTTL: time.Minute, Storage: jetstream.MemoryStorage}); err != nil {
			t.Fatal(err)
		}
		b := openBucket(t, tr, driver.Config{Name: bucket})
		write(t, b, driver.Write{Key: "a", TTL: time.Second})
		if r, err := b.Get(t.Context(), "a", 0, false); err != nil || r.TTL != want {
			t.Errorf("history %d: %+v, %v", history, r, err)
		}
	}
}

// A value of another client with the TTL "never" outlives the TTL of the bucket.
func TestNeverExpires(t *testing.T) {
	t.Parallel()
	for storage, memory := range storages {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			tr := inProcessOn(t, t.TempDir())
			b := openBucket(t, tr, driver.Config{TTL: time.Second, Memory: memory})
			msg := &nats.Msg{Subject: "$KV.b.a", Data: []byte("v"), Header: nats.Header{"Nats-TTL": {"Never"}}}
			if _, err := jetStream(t, tr).PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
			put(t, b, "b", "v")
			eventually(t, "the other value to go", func() bool { return scan(t, b, driver.Scan{}) == "1:a=v" })
			if r, err := b.Get(t.Context(), "a", 0, false); err != nil || !r.Expiry(time.Second).IsZero() {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// Info has the time of the server, which is not before that of any record.
func TestInfoHasTheTime(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	put(t, b, "a", "1")
	r, err := b.Get(t.Context(), "a", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	is, err := b.Info(t.Context())
	if err != nil || is.Now.Before(r.Created) || is.Now.After(time.Now()) {
		t.Errorf("%v after %v, %v", is.Now, r.Created, err)
	}
}

// A fraction of a second counts as a whole one.
func TestTTLIsRoundedUp(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	for ttl, want := range map[time.Duration]time.Duration{1: time.Second, 1900 * time.Millisecond: 2 * time.Second, time.Hour: time.Hour} {
		write(t, b, driver.Write{Key: "a", TTL: ttl})
		if r, err := b.Get(t.Context(), "a", 0, false); err != nil || r.TTL != want {
			t.Errorf("%v: %+v, %v", ttl, r, err)
		}
	}
}

// Without a rollup, an older value of another client's key reappears.
func TestOlderValueReappearsWithoutRollup(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{History: 2})
	put(t, b, "a", "old")
	msg := &nats.Msg{Subject: "$KV.b.a", Data: []byte("new"), Header: nats.Header{"Nats-TTL": {"1"}}}
	if _, err := jetStream(t, tr).PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the value to expire", func() bool { return scan(t, b, driver.Scan{}) == "1:a=old" })
}

// Records of the jetstream package are read here.
func TestBucketInteropIn(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	ctx := realtime.Patient(t)
	theirs, err := jetStream(t, tr).CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "theirs", History: 5, LimitMarkerTTL: time.Second, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	b := openBucket(t, tr, driver.Config{Name: "theirs"})
	f := startFollow(t, b, driver.Follow{})
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(theirs.Put(ctx, "a", []byte("1")))
	must(theirs.Create(ctx, "b", []byte("2"), jetstream.KeyTTL(time.Second)))
	must(nil, theirs.Delete(ctx, "a"))
	must(theirs.Put(ctx, "c", nil))
	f.wants(t, "1:a=1", "2:b=2", "3:a-", "4:c=")
	must(nil, theirs.Purge(ctx, "c"))
	f.wants(t, "5:c!", "6:b~")
}

// The jetstream package reads records that are written here.
func TestBucketInteropOut(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	ctx := realtime.Patient(t)
	ours := openBucket(t, tr, driver.Config{Name: "ours", History: 5})
	put(t, ours, "a", "1")
	write(t, ours, driver.Write{Key: "b", Value: []byte("2"), TTL: time.Second}, driver.Write{Key: "c", Value: []byte("3")})
	write(t, ours, driver.Write{Key: "a", Op: driver.Delete})
	write(t, ours, driver.Write{Key: "c", Op: driver.Purge})
	w, err := keyValue(t, tr, "ours").WatchAll(ctx, jetstream.IncludeHistory())
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for range 6 {
		e := receive(t, w.Updates())
		if e == nil {
			got += "| "
			continue
		}
		got += fmt.Sprintf("%d:%s=%v:%s ", e.Revision(), e.Key(), e.Operation(), e.Value())
	}
	if want := "1:a=KeyValuePutOp:1 2:b=KeyValuePutOp:2 4:a=KeyValueDeleteOp: 5:c=KeyValuePurgeOp: | 6:b=KeyValuePurgeOp: "; got != want {
		t.Errorf("they watched %s, want %s", got, want)
	}
}
