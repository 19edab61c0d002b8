package testkit_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/testkit"
)

var (
	counts = kv.NewBucket[int]("counts", kv.TTL(time.Hour))
	cached = kv.NewBucket[int]("cached", kv.Cached())
	set    = mono.NewService[string, int]("counter.set")
	look   = mono.NewService[string, int]("counter.look")
	count  = mono.NewService[string, int]("counter.count")
)

// newCounter returns a module that counts in a bucket.
func newCounter() mono.Module {
	return mono.NewModule("counter", func(s *mono.Scope) error {
		bucket := counts.Open(s)
		cached.Open(s)
		set.Handle(s, func(ctx context.Context, key string) (int, error) {
			_, err := bucket.Put(ctx, key, 1)
			return 1, err
		})
		look.Handle(s, func(ctx context.Context, key string) (int, error) {
			e, err := bucket.Get(ctx, key)
			return e.Value, err
		})
		count.Handle(s, func(ctx context.Context, key string) (int, error) {
			e, err := bucket.Modify(ctx, key, func(n int) (int, error) { return n + 1, nil })
			return e.Value, err
		})
		return nil
	})
}

// call calls a service of the counter, and describes the result.
func call(t testing.TB, h *testkit.Harness, s mono.Service[string, int], key string) string {
	t.Helper()
	began := time.Now()
	n, err := s.Call(t.Context(), h, key)
	text := fmt.Sprint(n)
	if err != nil {
		text = string(mono.CodeOf(err))
	}
	if took := time.Since(began); took > 0 {
		text += fmt.Sprintf(" after %v", took)
	}
	return text
}

// stored returns the value of a key as the test finds it.
func stored(t testing.TB, b *kv.KeyValue[int], key string) string {
	t.Helper()
	e, err := b.Get(t.Context(), key)
	if err != nil {
		return string(mono.CodeOf(err))
	}
	return fmt.Sprint(e.Value)
}

// equal compares two texts.
func equal(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// Each fault has its effect on a write, on a read, and on what is stored. The call that follows
// succeeds.
func TestFaultsOfBuckets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault                testkit.Fault
		when                 testkit.Condition
		put, value, get, mod string
	}{
		"fail":             {testkit.Fail(mono.ResourceExhausted), testkit.Writes, "resource_exhausted", "not_found", "not_found", "resource_exhausted"},
		"fail a read":      {testkit.Fail(mono.ResourceExhausted), testkit.Reads, "1", "1", "resource_exhausted", "resource_exhausted"},
		"drop":             {testkit.Drop, testkit.Writes, "unavailable", "not_found", "not_found", "1 after 1ms"},
		"drop a read":      {testkit.Drop, testkit.Reads, "1", "1", "unavailable", "unavailable"},
		"late":             {testkit.Late(time.Second), testkit.Writes, "1 after 1s", "1", "1", "1 after 1s"},
		"late read":        {testkit.Late(time.Second), testkit.Reads, "1", "1", "1 after 1s", "1 after 1s"},
		"ambiguous":        {testkit.AmbiguousSend, testkit.Writes, "unavailable", "1", "1", "1 after 1ms"},
		"stale":            {testkit.Stale, testkit.Reads, "1", "1", "1", "1"}, // a process reads what it wrote
		"crash before":     {testkit.Crash(testkit.BeforeSend), testkit.Writes, "unavailable", "not_found", "not_found", "unavailable"},
		"crash after":      {testkit.Crash(testkit.AfterSend), testkit.Writes, "unavailable", "1", "1", "unavailable"},
		"another key":      {testkit.Fail(mono.Aborted), testkit.Key("b"), "1", "1", "1", "1"},
		"this key":         {testkit.Fail(mono.OutOfRange), testkit.Key("a/b c"), "out_of_range", "not_found", "not_found", "out_of_range"},
		"this value":       {testkit.Fail(mono.OutOfRange), testkit.Payload(func(b []byte) bool { return string(b) == "1" }), "out_of_range", "not_found", "not_found", "out_of_range"},
		"another value":    {testkit.Fail(mono.OutOfRange), testkit.Payload(func(b []byte) bool { return string(b) == "5" }), "1", "1", "1", "1"},
		"crash before any": {testkit.Crash(testkit.AnyPoint), testkit.Writes, "unavailable", "not_found", "not_found", "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, modify := range []bool{false, true} {
				testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
					testkit.FaultBucket(h, counts, c.fault).When(c.when).Sometimes(1)
					h.AddFunc(newCounter)
					h.MustStart()
					if modify {
						equal(t, "Modify", call(t, h, count, "a/b c"), c.mod)
						return
					}
					equal(t, "Put", call(t, h, set, "a/b c"), c.put)
					h.Settle()
					equal(t, "stored", stored(t, testkit.Bucket(h, counts), "a/b c"), c.value)
					equal(t, "Get", call(t, h, look, "a/b c"), c.get)
				})
			}
		})
	}
}

// A Modify whose answer is lost counts once, on every path.
func TestLostAnswerCountsOnce(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, h *testkit.Harness) {
		lost := testkit.FaultBucket(h, counts, testkit.AmbiguousSend).Times(2)
		h.AddFunc(newCounter)
		h.MustStart()
		for range 3 {
			if _, err := count.Call(t.Context(), h, "a"); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "counted", stored(t, testkit.Bucket(h, counts), "a"), "3")
		if n := lost.Triggered(); n != 2 {
			t.Errorf("%d answers were lost", n)
		}
	})
}

// Counts are exact under every schedule of three callers, although answers are lost, and reads
// are stale, and writes never arrive.
func TestCountsAreExact(t *testing.T) {
	t.Parallel()
	testkit.Explore(t, 50, func(t testing.TB, h *testkit.Harness) {
		for _, f := range []testkit.Fault{testkit.AmbiguousSend, testkit.Stale, testkit.Drop} {
			testkit.FaultBucket(h, counts, f).Sometimes(0.2).Times(3)
		}
		h.AddFunc(newCounter)
		h.MustStart()
		done := make(chan error)
		for range 3 {
			go func() {
				_, err := count.Call(t.Context(), h, "a")
				done <- err
			}()
		}
		succeeded, unknown := 0, 0
		for range 3 {
			switch err := <-done; {
			case err == nil:
				succeeded++
			case mono.CodeOf(err) == mono.Unavailable:
				unknown++
			default:
				t.Errorf("%v", err)
			}
		}
		e, err := testkit.Bucket(h, counts).Get(t.Context(), "a")
		if err != nil && succeeded > 0 || e.Value < succeeded || e.Value > succeeded+unknown {
			t.Errorf("%d calls succeeded, %d are unknown, and the count is %d: %v", succeeded, unknown, e.Value, err)
		}
	}).MustPass()
}

// A read that is stale does not see the last change of another process. A Modify reads the
// newest value.
func TestStaleReads(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		testkit.FaultBucket(h, counts, testkit.Stale).Always()
		h.AddFunc(newCounter)
		h.MustStart()
		bucket := testkit.Bucket(h, counts)
		put := func(n int) {
			t.Helper()
			if _, err := bucket.Put(t.Context(), "a", n); err != nil {
				t.Fatal(err)
			}
		}
		put(5)
		equal(t, "a new key", call(t, h, look, "a"), "not_found")
		put(6)
		equal(t, "a change", call(t, h, look, "a"), "5")
		equal(t, "the test", stored(t, bucket, "a"), "6")
		equal(t, "Modify", call(t, h, count, "a"), "7")
		equal(t, "an own change", call(t, h, look, "a"), "7")
	})
}

// A copy of a bucket follows it in steps: a read may come before a change. Time, expiry
// included, is virtual.
func TestCopiesOfBuckets(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]int)
	testkit.Explore(t, 20, func(t testing.TB, h *testkit.Harness) {
		bucket := testkit.Bucket(h, counts)
		mirror := testkit.Bucket(h, kv.NewBucket[int]("mirror", kv.MirrorOf(counts.StoredName(""), "")))
		sum := testkit.Bucket(h, kv.NewBucket[int]("sum", kv.SourcedFrom(counts.StoredName(""), "")))
		h.AddFunc(newCounter)
		h.MustStart()
		if _, err := bucket.Put(t.Context(), "a", 5, kv.TTL(time.Hour)); err != nil {
			t.Fatal(err)
		}
		early := stored(t, mirror, "a")
		mu.Lock()
		seen[early]++
		mu.Unlock()
		h.Settle()
		equal(t, "the mirror", stored(t, mirror, "a"), "5")
		equal(t, "the sum", stored(t, sum, "a"), "5")
		h.Advance(time.Hour + time.Second)
		equal(t, "the mirror", stored(t, mirror, "a"), "not_found")
		equal(t, "the sum", stored(t, sum, "a"), "not_found")
	}).MustPass()
	if seen["5"] == 0 || seen["not_found"] == 0 {
		t.Errorf("got %v, want reads before and after the copy", seen)
	}
}

// The test looks into a bucket before the start, and after a stop or a crash, which keep what
// was stored. The bucket is in the namespace of the App.
func TestBucketOutlivesTheApp(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]testkit.Option{
		"plain": nil, "free-running": {testkit.FreeRunning()}, "namespace": {testkit.AppOptions(mono.Namespace("shop.eu"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Run(t, outlives, opts...)
		})
	}
}

func outlives(t *testing.T, h *testkit.Harness) {
	bucket := testkit.Bucket(h, counts)
	if _, err := bucket.Put(t.Context(), "a", 1); err != nil {
		t.Fatal(err)
	}
	h.AddFunc(newCounter)
	h.MustStart()
	equal(t, "the App", call(t, h, count, "a"), "2")
	h.Crash()
	equal(t, "after a crash", stored(t, bucket, "a"), "2")
	equal(t, "the next process", call(t, h, count, "a"), "3")
	h.Stop()
	equal(t, "after a stop", stored(t, bucket, "a"), "3")
	equal(t, "opened after a stop", stored(t, testkit.Bucket(h, counts), "a"), "3")
	h.MustStart()
	equal(t, "after a restart", call(t, h, count, "a"), "4")
	h.Advance(time.Hour)
	equal(t, "expired", stored(t, bucket, "a"), "not_found")
	equal(t, "expired for the App", call(t, h, look, "a"), "not_found")
}

// The test sees at once what was stored, also in a bucket with a cache, and is outside the
// faults.
func TestTheTestIsOutside(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		h.AddFunc(newCounter)
		h.MustStart()
		in := testkit.FaultBucket(h, cached, testkit.Fail(mono.Aborted)).Always().Sometimes(1)
		one := testkit.Bucket(h, cached)
		another := testkit.Bucket(h, kv.NewBucket[int]("raw", kv.StoredAs("cached")))
		for n := range 5 {
			if _, err := another.Put(t.Context(), "a", n); err != nil {
				t.Fatal(err)
			}
			equal(t, "cached", stored(t, one, "a"), fmt.Sprint(n))
		}
		if in.Triggered() != 0 {
			t.Errorf("triggered %d times", in.Triggered())
		}
	})
}

// A Watch of the test ends with the test.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		bucket := testkit.Bucket(h, counts)
		go func() {
			for _, err := range bucket.Watch(context.Background()) {
				if err != nil {
					return
				}
			}
		}()
		h.AddFunc(newCounter)
		h.MustStart()
	})
}

// The history has the operations of the App and of the test.
func TestHistoryOfBuckets(t *testing.T) {
	t.Parallel()
	got := failing(t, func(t testing.TB, h *testkit.Harness) {
		testkit.FaultBucket(h, counts, testkit.AmbiguousSend)
		h.AddFunc(newCounter)
		h.MustStart()
		call(t, h, count, "a b")
		call(t, h, count, "a b")
		bucket := testkit.Bucket(h, counts)
		for range bucket.Keys(t.Context()) {
		}
		_, _, _ = bucket.GetAll(t.Context(), "a b", "c")
		_, _ = bucket.Batch(t.Context(), func(tx *kv.Tx[int]) error {
			tx.Put("x", 1)
			tx.Put("y", 2)
			return nil
		})
		_ = bucket.Delete(t.Context(), "x")
		_ = bucket.Purge(t.Context(), "x", kv.IfRevision(5))
		_ = bucket.PurgeDeletes(t.Context(), 0)
		_, _ = bucket.Get(t.Context(), "y")
		t.Error("enough")
	})
	expect(t, got, []string{
		`the App gets bucket counts "a b" → not_found: the record does not exist`,
		`— AmbiguousSend of bucket counts, key "a b"`,
		`the App creates bucket counts "a b" 1 → unavailable: put "a=20b": its acknowledgement was lost`,
		`the App gets bucket counts "a b" → #1 1`,
		`the App updates bucket counts "a b" of #1 2 → #2`,
		`the test lists bucket counts → 1 record`,
		`the test gets bucket counts "a b" and 1 more → 1 record as of #2`,
		`the test puts bucket counts "x" and 1 more 1 → #4`,
		`the test deletes bucket counts "x" → #5`,
		`the test purges bucket counts "x" of #5 → #6`,
		`the test removes bucket counts "x" up to #6 → done`,
		`the test gets bucket counts "y" → #4 2`,
	})
	if strings.Contains(got, "has not ended") {
		t.Errorf("%s", got)
	}
}

// Each misuse of buckets is a failure that names the mistake and the remedy.
func TestMisuseOfBuckets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body func(h *testkit.Harness)
		want []string
	}{
		"a fault of handlers": {
			func(h *testkit.Harness) { testkit.FaultBucket(h, counts, testkit.Duplicate) },
			[]string{"the fault Duplicate of bucket counts", "a bucket has writes and reads, and no handlers", "use Drop"}},
		"a slow handler": {
			func(h *testkit.Harness) { testkit.FaultBucket(h, counts, testkit.Slow(time.Second)) },
			[]string{"the fault Slow(1s) of bucket counts", "no handlers"}},
		"a crash of a handler": {
			func(h *testkit.Harness) {
				testkit.FaultBucket(h, counts, testkit.Crash(testkit.AfterHandle))
			},
			[]string{"Crash at a point of sending"}},
		"a module": {
			func(h *testkit.Harness) { testkit.FaultBucket(h, counts, testkit.Drop).From("counter") },
			[]string{"the modules of an App share its buckets", "When instead of From"}},
		"a stale message": {
			func(h *testkit.Harness) { h.Fault(count, testkit.Stale) },
			[]string{"only reads of a bucket or a store are stale", "testkit.FaultBucket"}},
		"never triggered": {
			func(h *testkit.Harness) { testkit.FaultBucket(h, counts, testkit.Stale) },
			[]string{"the fault Stale of bucket counts (bucket_test.go:", "was never triggered"}},
		"a missing bucket": {
			func(h *testkit.Harness) { testkit.Bucket(h, kv.NewBucket[int]("missing", kv.Existing())) },
			[]string{"testkit: opening bucket missing: ", "does not exist"}},
		"a type that cannot be stored": {
			func(h *testkit.Harness) { testkit.Bucket(h, kv.NewBucket[chan int]("channels")) },
			[]string{"testkit: opening bucket channels: ", "chan int"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, failing(t, func(_ testing.TB, h *testkit.Harness) {
				h.AddFunc(newCounter)
				c.body(h)
				h.MustStart()
			}), c.want)
		})
	}
}
