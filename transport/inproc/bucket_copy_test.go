package inproc_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

func from(buckets ...string) (all []driver.Source) {
	for _, name := range buckets {
		all = append(all, driver.Source{Bucket: name})
	}
	return all
}

func mirrorOf(name string) *driver.Source { return &driver.Source{Bucket: name} }

// A JetStream domain is not supported, and a source twice is a mistake.
func TestBucketCopyRefused(t *testing.T) {
	t.Parallel()
	tr := connect(t, inproc.NewBackend(inproc.Options{}))
	for code, c := range map[transport.Code]driver.Config{
		transport.Unimplemented:      {Name: "m", Mirror: &driver.Source{Bucket: "b", Domain: "hub"}},
		transport.FailedPrecondition: {Name: "m", Sources: from("b", "c", "b")},
	} {
		_, err := tr.Buckets().Open(t.Context(), &c)
		wantNotDone(t, err, code)
	}
	if b := openBucket(t, tr, driver.Config{Name: "m"}); b.Config().Mirror != nil {
		t.Error("the bucket was created")
	}
	_, err := tr.Buckets().Open(t.Context(), &driver.Config{Name: "m", Sources: from("m")})
	wantNotDone(t, err, transport.FailedPrecondition)
}

// Copies of copies have all records. They go on after a bucket was deleted and created again.
func TestBucketCopyOfCopy(t *testing.T) {
	t.Parallel()
	tr := connect(t, inproc.NewBackend(inproc.Options{}))
	last := openBucket(t, tr, driver.Config{Name: "last", Sources: from("middle", "other")})
	mirror := openBucket(t, tr, driver.Config{Name: "mirror", Mirror: mirrorOf("last")})
	middle := openBucket(t, tr, driver.Config{Name: "middle", Sources: from("first")})
	first := openBucket(t, tr, driver.Config{Name: "first"})
	other := openBucket(t, tr, driver.Config{Name: "other"})
	put(t, first, set("a", "1"))
	put(t, other, set("b", "1"))
	put(t, middle, set("c", "1"), set("d", "1"))
	const want = "a=1@1 b=1@2 c=1@3 d=1@4"
	wantText(t, "the last", everything(t, last), want)
	wantText(t, "the mirror", everything(t, mirror), want)
	if err := tr.Buckets().Delete(t.Context(), "middle"); err != nil {
		t.Fatal(err)
	}
	put(t, first, set("a", "2"))
	wantText(t, "the last without the middle", everything(t, last), want)
	openBucket(t, tr, driver.Config{Name: "middle", Sources: from("first")})
	for i := range 4 { // the new bucket has to reach the revisions of the one before
		put(t, first, set("a", fmt.Sprint(i+3)))
	}
	wantText(t, "the last again", everything(t, last), "b=1@2 c=1@3 d=1@4 a=6@6")
	if err := tr.Buckets().Delete(t.Context(), "last"); err != nil {
		t.Fatal(err)
	}
	put(t, other, set("b", "2"))
	wantText(t, "the mirror of a deleted bucket", everything(t, mirror), "b=1@2 c=1@3 d=1@4 a=6@6")
}

// A source that is no longer named is not copied from, and others go on without a repetition.
func TestBucketSourcesChange(t *testing.T) {
	t.Parallel()
	tr := connect(t, inproc.NewBackend(inproc.Options{}))
	one, two := openBucket(t, tr, driver.Config{Name: "one"}), openBucket(t, tr, driver.Config{Name: "two"})
	put(t, one, set("a", "1"))
	put(t, two, set("b", "1"))
	b := openBucket(t, tr, driver.Config{Name: "sum", Sources: from("one")})
	openBucket(t, tr, driver.Config{Name: "sum", Sources: from("two", "one")})
	wantText(t, "both", everything(t, b), "a=1@1 b=1@2")
	openBucket(t, tr, driver.Config{Name: "sum", Sources: from("two")})
	put(t, one, set("a", "2"))
	put(t, two, set("b", "2"))
	wantText(t, "one", everything(t, b), "a=1@1 b=2@3")
}

// A value that expires leaves one marker in a bucket with sources, and that of the origin in a
// mirror. Follows get them in virtual time.
func TestBucketCopyExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := connect(t, inproc.NewBackend(inproc.Options{}))
		origin := openBucket(t, tr, driver.Config{Name: "origin", TTL: time.Hour, History: 2})
		sum := openBucket(t, tr, driver.Config{Name: "sum", Sources: from("origin"), History: 2})
		mirror := openBucket(t, tr, driver.Config{Name: "mirror", Mirror: mirrorOf("origin"), History: 2})
		sums, mirrors := follow(t.Context(), sum, driver.Follow{}), follow(t.Context(), mirror, driver.Follow{})
		put(t, sum, set("own", "1"))
		put(t, origin, set("old", "1"))
		put(t, origin, lasting(set("short", "1"), time.Minute))
		<-time.After(time.Minute + time.Second)
		wantText(t, "the sum", sums.got(), "own=1@1 old=1@2 short=1@3 short:expire@4")
		wantText(t, "the mirror", mirrors.got(), "old=1@1 short=1@2 short:expire@3")
		<-time.After(time.Hour)
		wantText(t, "the sum", sums.got(), "own=1@1 old=1@2 short=1@3 short:expire@4 old:expire@5")
		wantText(t, "the mirror", mirrors.got(), "old=1@1 short=1@2 short:expire@3 old:expire@4")
		<-time.After(time.Hour)
		wantText(t, "the sum at the end", everything(t, sum), "own=1@1")
		wantText(t, "the mirror at the end", everything(t, mirror), "")
		_ = tr.Close(t.Context())
	})
}

// Limits of a bucket do not stop what it copies.
func TestBucketCopyIgnoresLimits(t *testing.T) {
	t.Parallel()
	tr := connect(t, inproc.NewBackend(inproc.Options{}))
	origin := openBucket(t, tr, driver.Config{Name: "origin"})
	b := openBucket(t, tr, driver.Config{Name: "sum", Sources: from("origin"), MaxValue: 1, MaxBytes: 1})
	put(t, origin, set("a", "12345"))
	wantText(t, "the copy", everything(t, b), "a=12345@1")
	_, err := b.Put(t.Context(), set("b", ""))
	wantNotDone(t, err, transport.ResourceExhausted)
}

// Buckets are written, read, copied, opened and deleted concurrently.
func TestBucketCopyConcurrency(t *testing.T) {
	t.Parallel()
	backend := inproc.NewBackend(inproc.Options{})
	const writes = 200
	configs := []driver.Config{
		{Name: "one"}, {Name: "two", Sources: from("one")}, {Name: "three", Sources: from("one", "two", "passing")},
		{Name: "mirror", Mirror: mirrorOf("three")}, {Name: "passing", Sources: from("two")},
	}
	var all sync.WaitGroup
	for i, c := range configs[:3] {
		b := openBucket(t, connect(t, backend), c)
		all.Go(func() {
			for j := range writes {
				put(t, b, set(fmt.Sprintf("w%d.%d", i, j%7), fmt.Sprint(j)))
			}
		})
	}
	tr := connect(t, backend)
	all.Go(func() {
		for range writes / 4 {
			openBucket(t, tr, configs[4])
			if err := tr.Buckets().Delete(t.Context(), "passing"); err != nil {
				t.Error(err)
			}
		}
	})
	mirror := openBucket(t, tr, configs[3])
	all.Wait()
	three := openBucket(t, tr, configs[2])
	wantText(t, "the mirror", everything(t, mirror), everything(t, three))
	last := fmt.Sprint(writes - 1)
	for i := range 3 {
		r, err := mirror.Get(realtime.Patient(t), fmt.Sprintf("w%d.%d", i, (writes-1)%7), 0, true)
		if err != nil || string(r.Value) != last {
			t.Errorf("got %v, %v, want %s", r, err, last)
		}
	}
}
