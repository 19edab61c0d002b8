package inproctest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
)

func openBucket(t testing.TB, tr *inproc.Transport) driver.Bucket {
	t.Helper()
	return openBucketAs(t, tr, driver.Config{Name: "b"})
}

func openBucketAs(t testing.TB, tr *inproc.Transport, c driver.Config) driver.Bucket {
	t.Helper()
	b, err := tr.Buckets().Open(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, b driver.Bucket, keys ...string) {
	t.Helper()
	var writes []driver.Write
	for _, key := range keys {
		writes = append(writes, driver.Write{Key: key, Value: []byte("v")})
	}
	if _, err := b.Put(t.Context(), writes...); err != nil {
		t.Fatal(err)
	}
}

// TestBucketFaults states the effect of each fault on a Put and on a Get: the error of the
// caller, and the last revision of the bucket.
func TestBucketFaults(t *testing.T) {
	t.Parallel()
	kill := func(p inproctest.Point) inproctest.FaultAction { return inproctest.FaultAction{Run: p.By.Kill} }
	fixed := func(a inproctest.FaultAction) func(inproctest.Point) inproctest.FaultAction {
		return func(inproctest.Point) inproctest.FaultAction { return a }
	}
	drop, twice, lose := fixed(inproctest.FaultAction{Drop: true}), fixed(inproctest.FaultAction{Duplicate: true}), fixed(inproctest.FaultAction{AmbiguousSend: true})
	fail, delay := fixed(inproctest.FaultAction{Err: errFault}), fixed(inproctest.FaultAction{Delay: time.Second})
	for _, c := range []struct {
		phase    inproctest.Phase
		name     string
		fault    func(inproctest.Point) inproctest.FaultAction
		put, get string
	}{
		{inproctest.Before, "none", fixed(inproctest.FaultAction{}), "ok@0s last 1", "ok@0s"},
		{inproctest.Before, "drop", drop, "unavailable(unknown)@0s last 0", "unavailable(unknown)@0s"},
		{inproctest.Before, "twice", twice, "ok@0s last 1", "ok@0s"},
		{inproctest.Before, "lose", lose, "unavailable(unknown)@0s last 1", "unavailable(unknown)@0s"},
		{inproctest.Before, "fail", fail, "unavailable(not done)@0s last 0", "unavailable(not done)@0s"},
		{inproctest.Before, "delay", delay, "ok@1s last 1", "ok@1s"},
		{inproctest.Before, "kill", kill, "unavailable(not done)@0s last 0", "unavailable(not done)@0s"},
		{inproctest.After, "lose", lose, "unavailable(unknown)@0s last 1", "unavailable(unknown)@0s"},
		{inproctest.After, "fail", fail, "unavailable(not done)@0s last 1", "unavailable(not done)@0s"},
		{inproctest.After, "delay", delay, "ok@1s last 1", "ok@1s"},
		{inproctest.After, "kill", kill, "unavailable(unknown)@0s last 1", "unavailable(unknown)@0s"},
	} {
		t.Run(fmt.Sprintf("%s put/%s", c.phase, c.name), func(t *testing.T) {
			t.Parallel()
			faulty(t, inproctest.Put, c.phase, c.fault, func(t *testing.T, b *inproctest.Backend) { faultyPut(t, b, c.put) })
		})
		t.Run(fmt.Sprintf("%s get/%s", c.phase, c.name), func(t *testing.T) {
			t.Parallel()
			faulty(t, inproctest.Get, c.phase, c.fault, func(t *testing.T, b *inproctest.Backend) { faultyGet(t, b, c.get) })
		})
	}
}

func faultyPut(t *testing.T, b *inproctest.Backend, want string) {
	f := fate{began: time.Now()}
	none := uint64(0)
	_, err := openBucket(t, connect(t, b)).Put(t.Context(), driver.Write{Key: "a", Expect: &none})
	f.record(err)
	info, _ := openBucket(t, connect(t, b)).Info(t.Context())
	if f.note("last %d", info.Last); f.String() != want {
		t.Errorf("%s, want %s", f.String(), want)
	}
}

func faultyGet(t *testing.T, b *inproctest.Backend, want string) {
	bucket := openBucket(t, connect(t, b))
	put(t, bucket, "a")
	f := fate{began: time.Now()}
	_, err := bucket.Get(t.Context(), "a", 0, true)
	if f.record(err); f.String() != want {
		t.Errorf("%s, want %s", f.String(), want)
	}
}

// A stale Get returns the record before the last change of the key, and a stale Read those
// before the last change of the bucket. A Get that must be fresh is not stale.
func TestStale(t *testing.T) {
	t.Parallel()
	fault := func(p inproctest.Point) inproctest.FaultAction {
		return inproctest.FaultAction{Stale: p.Action == inproctest.Get && p.Phase == inproctest.Before}
	}
	bubble(t, inproctest.Options{Fault: fault}, func(t *testing.T, b *inproctest.Backend) {
		bucket := openBucket(t, connect(t, b))
		for _, keys := range [][]string{{"a"}, {"b"}, {"c", "a"}} {
			put(t, bucket, keys...)
		}
		var f fate
		get := func(key string, revision uint64, fresh bool) {
			r, err := bucket.Get(t.Context(), key, revision, fresh)
			if err != nil {
				f.note("%s:%s", key, transport.CodeOf(err))
				return
			}
			f.note("%s@%d", key, r.Revision)
		}
		get("a", 0, false)
		get("a", 0, true)
		get("a", 4, false)
		get("b", 0, false)
		records, revision, err := bucket.Read(t.Context(), []string{"a", "b", "c"})
		if err != nil {
			t.Fatal(err)
		}
		f.note("read %d:", revision)
		for _, r := range records {
			f.note("%s@%d", r.Key, r.Revision)
		}
		if got, want := f.String(), "a@1 a@4 a@4 b:not_found read 2: a@1 b@2"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// Points and steps describe the bucket and the key.
func TestBucketSteps(t *testing.T) {
	t.Parallel()
	var points journal
	fault := func(p inproctest.Point) inproctest.FaultAction {
		if p.Phase == inproctest.Before {
			points.note("%s(%s %s)=%s;", p.Action, p.Bucket, p.Key, p.Message.Body)
		}
		return inproctest.FaultAction{}
	}
	bubble(t, inproctest.Options{Seed: 1, Quiesce: synctest.Wait, Fault: fault}, func(t *testing.T, b *inproctest.Backend) {
		bucket := openBucket(t, connect(t, b))
		put(t, bucket, "a", "b")
		_, _ = bucket.Get(t.Context(), "b", 0, true)
		_, _, _ = bucket.Read(t.Context(), []string{"b", "a"})
		_ = bucket.Scan(t.Context(), driver.Scan{}, func(*driver.Record) bool { return true })
		_ = bucket.Follow(t.Context(), driver.Follow{After: 1}, func(*driver.Record) bool { return false })
		var steps []string
		for _, s := range b.Steps() {
			steps = append(steps, s.String())
		}
		if got, want := strings.Join(steps, ", "), "t1 put a in b, t1 get b in b, t1 get b in b, t1 read #1 in b, t1 read #2 in b"; got != want {
			t.Errorf("got steps %s, want %s", got, want)
		}
	})
	if got, want := points.String(), "put(b a)=v; get(b b)=; get(b b)=;"; got != want {
		t.Errorf("got points %s, want %s", got, want)
	}
}

// A record is copied in a step of its own, so a read of the copy may come first.
func TestBucketCopySteps(t *testing.T) {
	t.Parallel()
	seen := make(map[string]int)
	for seed := range uint64(20) {
		bubble(t, inproctest.Options{Seed: seed + 1, Quiesce: synctest.Wait}, func(t *testing.T, b *inproctest.Backend) {
			tr := connect(t, b)
			bucket := openBucket(t, tr)
			mirror := openBucketAs(t, tr, driver.Config{Name: "m", Mirror: &driver.Source{Bucket: "b"}})
			put(t, bucket, "a", "b")
			_, err := mirror.Get(t.Context(), "b", 0, true)
			seen[fmt.Sprint(transport.CodeOf(err))]++
			if err := b.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r, err := mirror.Get(t.Context(), "b", 0, true); err != nil || r.Revision != 2 {
				t.Errorf("got %v, %v", r, err)
			}
			var copies []string
			for _, s := range b.Steps() {
				if s.Action == inproctest.Copy {
					copies = append(copies, s.String())
				}
			}
			if got, want := strings.Join(copies, ", "), "copy a #1 in m, copy b #2 in m"; got != want {
				t.Errorf("got steps %s, want %s", got, want)
			}
		})
	}
	if seen[""] == 0 || seen[string(transport.NotFound)] == 0 {
		t.Errorf("got %v, want a read before and one after the copy", seen)
	}
}

// Concurrent writes and a Follow happen in an order that the seed determines.
func TestSameSeedSameBucketSteps(t *testing.T) {
	t.Parallel()
	writers := func(t *testing.T, b *inproctest.Backend) {
		for i := range 3 {
			bucket := openBucket(t, connect(t, b))
			go func() {
				_ = bucket.Follow(t.Context(), driver.Follow{}, func(r *driver.Record) bool { return r.Revision < 9 })
			}()
			for j := range 3 {
				go func() {
					_, _ = bucket.Put(context.Background(), driver.Write{Key: fmt.Sprint("w", i)}, driver.Write{Key: fmt.Sprint("k", j)})
				}()
			}
		}
	}
	first := steps(t, 7, writers)
	for range 10 {
		if again := steps(t, 7, writers); differ(first, again) >= 0 {
			t.Fatalf("got\n%s\n\n%s", words(first), words(again))
		}
	}
}
