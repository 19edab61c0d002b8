package inproc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

func openBucket(t testing.TB, tr *inproc.Transport, c driver.Config) driver.Bucket {
	t.Helper()
	if c.Name == "" {
		c.Name = "b"
	}
	b, err := tr.Buckets().Open(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newBucket returns a bucket of a new Backend.
func newBucket(t testing.TB, c driver.Config) driver.Bucket {
	t.Helper()
	return openBucket(t, connect(t, inproc.NewBackend(inproc.Options{})), c)
}

func put(t testing.TB, b driver.Bucket, writes ...driver.Write) uint64 {
	t.Helper()
	revision, err := b.Put(t.Context(), writes...)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func set(key, value string) driver.Write { return driver.Write{Key: key, Value: []byte(value)} }

func expect(w driver.Write, revision uint64) driver.Write {
	w.Expect = &revision
	return w
}

func lasting(w driver.Write, ttl time.Duration) driver.Write {
	w.TTL = ttl
	return w
}

// text describes a record, for example "a=1@3" or "a:delete@4".
func text(r *driver.Record) string {
	if r.Op == driver.Put {
		return fmt.Sprintf("%s=%s@%d", r.Key, r.Value, r.Revision)
	}
	return fmt.Sprintf("%s:%s@%d", r.Key, [...]string{"put", "delete", "purge", "expire"}[r.Op], r.Revision)
}

func texts(records []*driver.Record) string {
	var all []string
	for _, r := range records {
		all = append(all, text(r))
	}
	return strings.Join(all, " ")
}

func scan(t testing.TB, b driver.Bucket, s driver.Scan) string {
	t.Helper()
	var all []*driver.Record
	if err := b.Scan(t.Context(), s, func(r *driver.Record) bool {
		all = append(all, r)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return texts(all)
}

// everything returns all records of a bucket.
func everything(t testing.TB, b driver.Bucket) string {
	t.Helper()
	return scan(t, b, driver.Scan{History: true})
}

// follower collects the records of a Follow, which ends with the test.
type follower struct {
	mu      sync.Mutex
	records []*driver.Record
	err     error
	done    chan struct{}
}

func follow(ctx context.Context, b driver.Bucket, c driver.Follow) *follower {
	f := &follower{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		err := b.Follow(ctx, c, func(r *driver.Record) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.records = append(f.records, r)
			return true
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
	}()
	return f
}

func (f *follower) got() string {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return texts(f.records)
}

func (f *follower) wait() error {
	<-f.done
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func wantText(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func wantCode(t testing.TB, err error, code transport.Code, outcome transport.Outcome) {
	t.Helper()
	var e *transport.Error
	if !errors.As(err, &e) || e.Code != code || e.Outcome != outcome {
		t.Errorf("got %v, want %s (%s)", err, code, outcome)
	}
}

func wantNotDone(t testing.TB, err error, code transport.Code) {
	t.Helper()
	wantCode(t, err, code, transport.OutcomeNotDone)
}

func TestBucketGet(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{History: 2})
	put(t, b, set("a", "1"))
	put(t, b, driver.Write{Key: "a", Value: []byte("2"), Header: transport.Header{{Name: "N", Value: "v"}}})
	put(t, b, set("b", "3"))
	r, err := b.Get(t.Context(), "a", 0, true)
	if err != nil || text(r) != "a=2@2" || r.Size != 1 || r.Header.Get("N") != "v" || r.Created.IsZero() {
		t.Errorf("got %+v, %v", r, err)
	}
	r.Value[0], r.Header[0].Value = 'x', "x" // belong to the caller
	if r, err = b.Get(t.Context(), "a", 1, false); err != nil || text(r) != "a=1@1" {
		t.Errorf("got %+v, %v", r, err)
	}
	wantText(t, "all", everything(t, b), "a=1@1 a=2@2 b=3@3")
	for revision, key := range []string{"c", "b", "b", "a", "a"} {
		_, err := b.Get(t.Context(), key, uint64(revision), false)
		wantNotDone(t, err, transport.NotFound)
	}
}

func TestBucketPut(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{})
	value := []byte("1")
	if n := put(t, b, expect(driver.Write{Key: "a", Value: value}, 0)); n != 1 {
		t.Errorf("got revision %d", n)
	}
	value[0] = 'x' // belongs to the caller again
	_, err := b.Put(t.Context(), expect(set("a", "2"), 0))
	wantNotDone(t, err, transport.Aborted)
	put(t, b, expect(set("a", "2"), 1))
	put(t, b, expect(driver.Write{Key: "a", Op: driver.Delete}, 2))
	put(t, b, driver.Write{Key: "missing", Op: driver.Delete})
	_, err = b.Put(t.Context(), expect(set("a", "3"), 0)) // the marker is a record
	wantNotDone(t, err, transport.Aborted)
	wantText(t, "all", everything(t, b), "a:delete@3 missing:delete@4")
}

func TestBucketBatch(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{History: 2})
	put(t, b, set("a", "1"))
	_, err := b.Put(t.Context(), set("b", "1"), expect(set("a", "2"), 7), set("c", "1"))
	wantNotDone(t, err, transport.Aborted)
	wantText(t, "nothing stored", everything(t, b), "a=1@1")
	n := put(t, b, expect(set("b", "1"), 0), expect(set("a", "2"), 1), driver.Write{Key: "c", Op: driver.Purge})
	if n != 4 {
		t.Errorf("got revision %d", n)
	}
	wantText(t, "stored", everything(t, b), "a=1@1 b=1@2 a=2@3 c:purge@4")
}

func TestBucketRead(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{History: 3})
	for i, key := range []string{"a", "b", "c", "a"} {
		put(t, b, set(key, fmt.Sprint(i)))
	}
	put(t, b, driver.Write{Key: "b", Op: driver.Delete})
	records, revision, err := b.Read(t.Context(), []string{"a", "b", "missing"})
	if err != nil || revision != 5 {
		t.Errorf("got revision %d, %v", revision, err)
	}
	wantText(t, "read", texts(records), "a=3@4 b:delete@5")
}

func TestBucketHistory(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{History: 3})
	for i := range 4 {
		put(t, b, set("a", fmt.Sprint(i)))
	}
	put(t, b, set("b", "0"))
	put(t, b, driver.Write{Key: "a", Op: driver.Delete})
	wantText(t, "delete", everything(t, b), "a=2@3 a=3@4 b=0@5 a:delete@6")
	put(t, b, driver.Write{Key: "a", Op: driver.Purge})
	wantText(t, "purge", everything(t, b), "b=0@5 a:purge@7")
	put(t, b, set("a", "4"))
	put(t, b, lasting(set("a", "5"), time.Hour))
	wantText(t, "with a TTL", everything(t, b), "b=0@5 a=5@9")
}

func TestBucketScan(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{History: 2})
	for i, key := range []string{"a.x", "b.x", "a.y", "a.x"} {
		put(t, b, set(key, fmt.Sprint(i)))
	}
	for _, c := range []struct {
		driver.Scan
		want string
	}{
		{driver.Scan{}, "b.x=1@2 a.y=2@3 a.x=3@4"},
		{driver.Scan{History: true}, "a.x=0@1 b.x=1@2 a.y=2@3 a.x=3@4"},
		{driver.Scan{Patterns: []string{"a.*"}}, "a.y=2@3 a.x=3@4"},
		{driver.Scan{Patterns: []string{"b.>", "a.y"}}, "b.x=1@2 a.y=2@3"},
		{driver.Scan{UpTo: 3}, "a.x=0@1 b.x=1@2 a.y=2@3"},
		{driver.Scan{UpTo: 9, History: true, Patterns: []string{"*.x"}}, "a.x=0@1 b.x=1@2 a.x=3@4"},
		{driver.Scan{Patterns: []string{"b.x", "a.x", "b.x"}, History: true}, "a.x=0@1 b.x=1@2 a.x=3@4"},
		{driver.Scan{Patterns: []string{"a.x", "missing"}, UpTo: 3}, "a.x=0@1"},
		{driver.Scan{UpTo: 2, HeadersOnly: true}, "a.x=@1 b.x=@2"},
	} {
		wantText(t, fmt.Sprintf("%+v", c.Scan), scan(t, b, c.Scan), c.want)
	}
	if err := b.Scan(t.Context(), driver.Scan{HeadersOnly: true}, func(r *driver.Record) bool {
		if r.Value != nil || r.Size != 1 {
			t.Errorf("got value %q, size %d", r.Value, r.Size)
		}
		return false
	}); err != nil {
		t.Error(err)
	}
}

// A long Scan returns every record, while others are stored and replaced.
func TestBucketLongScan(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{})
	const keys = 5000
	for i := range keys {
		put(t, b, set(fmt.Sprint("k", i), "v"))
	}
	n := 0
	if err := b.Scan(t.Context(), driver.Scan{}, func(r *driver.Record) bool {
		if n < keys && r.Key != fmt.Sprint("k", n) {
			t.Fatalf("record %d has key %s", n, r.Key)
		}
		n++
		put(t, b, set(r.Key, "v")) // makes the list compact
		put(t, b, set("new", "v"))
		return true
	}); err != nil || n < keys || n > 2*keys+1 {
		t.Errorf("got %d records, %v", n, err)
	}
}

func TestBucketRemove(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{History: 5})
	for range 3 {
		put(t, b, set("a", ""), set("b", ""))
	}
	for _, c := range []struct {
		key      string
		revision uint64
		want     string
	}{
		{"missing", 9, "a=@1 b=@2 a=@3 b=@4 a=@5 b=@6"},
		{"a", 4, "b=@2 b=@4 a=@5 b=@6"},
		{"b", 6, "a=@5"},
		{"a", 99, ""},
	} {
		if err := b.Remove(t.Context(), c.key, c.revision); err != nil {
			t.Error(err)
		}
		wantText(t, fmt.Sprintf("%s up to %d", c.key, c.revision), everything(t, b), c.want)
	}
	i, err := b.Info(t.Context())
	if err != nil || i.Records != 0 || i.Bytes != 0 || i.First != 7 || i.Last != 6 {
		t.Errorf("got %+v, %v", i, err)
	}
	if n := put(t, b, set("a", "")); n != 7 {
		t.Errorf("got revision %d", n)
	}
}

func TestBucketInfo(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{History: 2, Description: "d"})
	for _, key := range []string{"a", "b", "a", "a"} {
		put(t, b, set(key, "1234"))
	}
	i, err := b.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i.Config.Description != "d" || i.Records != 3 || i.First != 2 || i.Last != 4 || i.Bytes != 3*(1+4+16) || !i.Expires || !i.Batches {
		t.Errorf("got %+v", i)
	}
}

func TestBucketLimits(t *testing.T) {
	t.Parallel()
	const size = 1 + 4 + 16
	b := newBucket(t, driver.Config{MaxValue: 4, MaxBytes: 2 * size})
	_, err := b.Put(t.Context(), set("a", "12345"))
	wantNotDone(t, err, transport.InvalidArgument)
	put(t, b, set("a", "1234"))
	_, err = b.Put(t.Context(), set("b", "1234"), set("c", ""))
	wantNotDone(t, err, transport.ResourceExhausted)
	put(t, b, set("b", "1234"))
	_, err = b.Put(t.Context(), set("c", ""))
	wantNotDone(t, err, transport.ResourceExhausted)
	put(t, b, set("a", "4321"))                          // replaces as many bytes
	put(t, b, driver.Write{Key: "b", Op: driver.Delete}) // and fewer
	_, err = b.Put(t.Context(), set("c", ""))
	wantNotDone(t, err, transport.ResourceExhausted)
	if err := b.Remove(t.Context(), "b", 9); err != nil {
		t.Error(err)
	}
	put(t, b, set("c", ""))
	wantText(t, "all", everything(t, b), "a=4321@3 c=@5")

	small := openBucket(t, connect(t, inproc.NewBackend(inproc.Options{MaxPayload: 10})), driver.Config{})
	_, err = small.Put(t.Context(), set("a", "12345678901"))
	wantNotDone(t, err, transport.InvalidArgument)
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	backend := inproc.NewBackend(inproc.Options{})
	one, two := connect(t, backend), connect(t, backend)
	_, err := one.Buckets().Open(t.Context(), &driver.Config{Name: "a", Existing: true})
	wantNotDone(t, err, transport.NotFound)
	wantNotDone(t, one.Buckets().Delete(t.Context(), "a"), transport.NotFound)
	a := openBucket(t, one, driver.Config{Name: "a", History: 3})
	openBucket(t, one, driver.Config{Name: "b", Placement: &driver.Placement{Tags: []string{"x"}}, Replicas: 3, Compressed: true, Memory: true})
	put(t, a, set("k", "v"))
	_ = one.Close(t.Context())

	same := openBucket(t, two, driver.Config{Name: "a", Existing: true, History: 5})
	wantText(t, "of the other", everything(t, same), "k=v@1")
	if c := same.Config(); c.History != 3 || c.Existing {
		t.Errorf("got %+v", c)
	}
	var names []string
	for i, err := range two.Buckets().List(t.Context()) {
		names = append(names, fmt.Sprintf("%s %d %v", i.Config.Name, i.Last, err))
	}
	if !slices.Equal(names, []string{"a 1 <nil>", "b 0 <nil>"}) {
		t.Errorf("got %q", names)
	}
	if err := two.Buckets().Delete(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	_, err = same.Get(t.Context(), "k", 0, true)
	wantNotDone(t, err, transport.NotFound)
	openBucket(t, two, driver.Config{Name: "a"})
	put(t, same, set("k", "new"))
	wantText(t, "created again", everything(t, same), "k=new@1")
}

func TestBucketSettings(t *testing.T) {
	t.Parallel()
	tr := connect(t, inproc.NewBackend(inproc.Options{}))
	b := openBucket(t, tr, driver.Config{History: 3, MaxValue: 10, Description: "d", Generation: 2})
	for i := range 3 {
		put(t, b, set("a", fmt.Sprint(i)))
	}
	if c := openBucket(t, tr, driver.Config{Generation: 1, History: 1, Memory: true}).Config(); c.History != 3 || c.Generation != 2 {
		t.Errorf("an older generation changed it: %+v", c)
	}
	c := openBucket(t, tr, driver.Config{Generation: 2, History: 2, TTL: time.Hour}).Config()
	if c.History != 2 || c.MaxValue != 10 || c.Description != "d" || c.TTL != time.Hour || c.Generation != 2 {
		t.Errorf("got %+v", c)
	}
	wantText(t, "shorter history", everything(t, b), "a=1@2 a=2@3")
	if b.Config() != c {
		t.Error("another handle has other settings")
	}
	for code, c := range map[transport.Code]driver.Config{
		transport.FailedPrecondition: {Generation: 2, Memory: true},
		transport.Unimplemented:      {Generation: 2, Sources: []driver.Source{{Bucket: "x", Domain: "hub"}}},
	} {
		c.Name = "b"
		_, err := tr.Buckets().Open(t.Context(), &c)
		wantNotDone(t, err, code)
	}
	for _, c := range []driver.Config{
		{Name: "m", Republish: &driver.Republish{Source: "$KV.m.*", Destination: "out.{{wildcard(2)}}"}},
		{Name: "m", Republish: &driver.Republish{Source: ">", Destination: "out.{{partition(3,1)}}"}},
	} {
		_, err := tr.Buckets().Open(t.Context(), &c)
		wantNotDone(t, err, transport.Unimplemented)
	}
}

func TestBucketRepublish(t *testing.T) {
	t.Parallel()
	for source, c := range map[string]struct{ destination, want string }{
		"$KV.b.>":   {"out.>", "out.x.y=1 out.z= out.x.y=2"},
		">":         {"all.>", "all.$KV.b.x.y=1 all.$KV.b.z= all.$KV.b.x.y=2"},
		"$KV.b.*":   {"one.{{wildcard(1)}}", "one.z="},
		"$KV.*.*.*": {"$3.of.{{ Wildcard(1) }}", "y.of.b=1 y.of.b=2"},
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, backend *inproc.Backend) {
				tr := connect(t, backend)
				var mu sync.Mutex
				var got []string
				if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: ">"}, transport.Serial(func(m *transport.Message) {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, fmt.Sprintf("%s=%s", m.Subject, m.Body))
				})); err != nil {
					t.Fatal(err)
				}
				b := openBucket(t, tr, driver.Config{Republish: &driver.Republish{Source: source, Destination: c.destination}})
				put(t, b, set("x.y", "1"), driver.Write{Key: "z", Op: driver.Delete})
				put(t, b, set("x.y", "2"))
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				wantText(t, "published", strings.Join(got, " "), c.want)
			})
		})
	}
}

func TestBucketFollow(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, backend *inproc.Backend) {
		b := openBucket(t, connect(t, backend), driver.Config{History: 2})
		put(t, b, set("a", "1"), set("b", "1"), set("c", "1"))
		all := follow(t.Context(), b, driver.Follow{})
		some := follow(t.Context(), b, driver.Follow{Patterns: []string{"b", "x.*"}, After: 1, HeadersOnly: true})
		later := follow(t.Context(), b, driver.Follow{After: 3})
		wantText(t, "present", all.got(), "a=1@1 b=1@2 c=1@3")
		put(t, b, driver.Write{Key: "b", Op: driver.Purge})
		put(t, b, set("x.y", "1"), set("x", "1"))
		wantText(t, "all", all.got(), "a=1@1 b=1@2 c=1@3 b:purge@4 x.y=1@5 x=1@6")
		wantText(t, "some", some.got(), "b=@2 b:purge@4 x.y=@5")
		wantText(t, "later", later.got(), "b:purge@4 x.y=1@5 x=1@6")
		n := 0
		if err := b.Follow(t.Context(), driver.Follow{}, func(*driver.Record) bool { n++; return n < 2 }); err != nil || n != 2 {
			t.Errorf("got %d records, %v", n, err)
		}
	})
}

// An idle Follow does nothing, for as long as it takes.
func TestBucketFollowIsIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, driver.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		var calls []string
		f := follow(ctx, b, driver.Follow{Current: func(revision uint64, lasting bool) {
			calls = append(calls, fmt.Sprint(revision, lasting))
		}})
		<-time.After(time.Hour)
		put(t, b, set("a", "1"), set("b", "1"))
		<-time.After(time.Hour)
		cancel()
		if err := f.wait(); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		wantText(t, "calls of Current", strings.Join(calls, ", "), "0 true, 2 true")
	})
}

func TestBucketFollowEnds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, backend *inproc.Backend) {
		owner, killed, closed := connect(t, backend), connect(t, backend), connect(t, backend)
		b := openBucket(t, owner, driver.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		byContext := follow(ctx, b, driver.Follow{})
		byKill := follow(t.Context(), openBucket(t, killed, driver.Config{}), driver.Follow{})
		byClose := follow(t.Context(), openBucket(t, closed, driver.Config{}), driver.Follow{})
		byDelete := follow(t.Context(), b, driver.Follow{})
		synctest.Wait()
		cancel()
		killed.Kill()
		_ = closed.Close(t.Context())
		if err := byContext.wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		wantNotDone(t, byKill.wait(), transport.Unavailable)
		wantNotDone(t, byClose.wait(), transport.Unavailable)
		put(t, b, set("a", "1"))
		wantText(t, "still there", byDelete.got(), "a=1@1")
		if err := owner.Buckets().Delete(t.Context(), "b"); err != nil {
			t.Error(err)
		}
		wantNotDone(t, byDelete.wait(), transport.NotFound)
	})
}

// A closed Transport refuses everything, and ends a Scan in its middle.
func TestBucketKill(t *testing.T) {
	t.Parallel()
	backend := inproc.NewBackend(inproc.Options{})
	tr := connect(t, backend)
	b := openBucket(t, tr, driver.Config{})
	put(t, b, set("a", "1"), set("b", "1"))
	n := 0
	err := b.Scan(t.Context(), driver.Scan{}, func(*driver.Record) bool {
		tr.Kill()
		n++
		return true
	})
	wantNotDone(t, err, transport.Unavailable)
	if n != 1 {
		t.Errorf("got %d records after Kill", n)
	}
	ctx := t.Context()
	none := func(*driver.Record) bool { return true }
	for name, call := range map[string]func() error{
		"Get":    func() error { _, err := b.Get(ctx, "a", 0, true); return err },
		"Read":   func() error { _, _, err := b.Read(ctx, []string{"a"}); return err },
		"Put":    func() error { _, err := b.Put(ctx, set("a", "2")); return err },
		"Scan":   func() error { return b.Scan(ctx, driver.Scan{}, none) },
		"Follow": func() error { return b.Follow(ctx, driver.Follow{}, none) },
		"Remove": func() error { return b.Remove(ctx, "a", 9) },
		"Info":   func() error { _, err := b.Info(ctx); return err },
		"Open":   func() error { _, err := tr.Buckets().Open(ctx, &driver.Config{Name: "b"}); return err },
		"Delete": func() error { return tr.Buckets().Delete(ctx, "b") },
		"List": func() (last error) {
			for _, err := range tr.Buckets().List(ctx) {
				last = err
			}
			return last
		},
	} {
		t.Run(name, func(t *testing.T) { wantNotDone(t, call(), transport.Unavailable) })
	}
	wantText(t, "of another", everything(t, openBucket(t, connect(t, backend), driver.Config{})), "a=1@1 b=1@2")
}

// A call does nothing if its context has ended.
func TestBucketContext(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{})
	put(t, b, set("a", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	if err := b.Scan(ctx, driver.Scan{}, func(*driver.Record) bool {
		n++
		cancel()
		return true
	}); !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("got %d records, %v", n, err)
	}
	_, err := b.Get(ctx, "a", 0, true)
	wantNotDone(t, err, transport.Canceled)
	_, err = b.Put(ctx, set("a", "2"))
	wantNotDone(t, err, transport.Canceled)
	wantText(t, "all", everything(t, b), "a=1@1")
}

// Concurrent writers increment counters by conditional writes; no increment is lost, and a
// Follow gets each key's revisions in order.
func TestBucketConcurrency(t *testing.T) {
	t.Parallel()
	backend := inproc.NewBackend(inproc.Options{})
	const writers, rounds = 4, 50
	followed := openBucket(t, connect(t, backend), driver.Config{})
	var all sync.WaitGroup
	for range writers {
		b := openBucket(t, connect(t, backend), driver.Config{})
		all.Go(func() {
			for range rounds {
				for !increment(t, b) {
				}
			}
		})
	}
	var last uint64
	if err := followed.Follow(t.Context(), driver.Follow{}, func(r *driver.Record) bool {
		if r.Revision <= last {
			t.Errorf("revision %d after %d", r.Revision, last)
		}
		last = r.Revision
		return string(r.Value) != fmt.Sprint(writers*rounds)
	}); err != nil {
		t.Error(err)
	}
	all.Wait()
	wantText(t, "counters", everything(t, followed), fmt.Sprintf("x=%d@%d y=%[1]d@%[3]d", writers*rounds, 2*writers*rounds-1, 2*writers*rounds))
}

// increment adds 1 to two counters. It returns false if another writer was faster.
func increment(t *testing.T, b driver.Bucket) bool {
	records, _, err := b.Read(t.Context(), []string{"x", "y"})
	if err != nil {
		t.Error(err)
		return true
	}
	var n int
	var x, y uint64
	if len(records) == 2 {
		if string(records[0].Value) != string(records[1].Value) {
			t.Errorf("not a snapshot: %s", texts(records))
		}
		_, _ = fmt.Sscan(string(records[0].Value), &n)
		x, y = records[0].Revision, records[1].Revision
	}
	value := fmt.Sprint(n + 1)
	_, err = b.Put(t.Context(), expect(set("x", value), x), expect(set("y", value), y))
	if err != nil {
		wantNotDone(t, err, transport.Aborted)
	}
	return err == nil
}

// A record that was read belongs to the caller, however long its value is.
func TestReadValuesBelongToTheCaller(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{})
	for _, n := range []int{0, 1, 63, 64, 65, 1000} {
		want := strings.Repeat("v", n)
		put(t, b, set("k", want))
		for range 2 {
			r, err := b.Get(t.Context(), "k", 0, false)
			if err != nil || r.Value == nil || string(r.Value) != want {
				t.Fatalf("%d bytes: got %q, %v", n, r.Value, err)
			}
			for i := range r.Value {
				r.Value[i] = 'x'
			}
			_ = append(r.Value, "more"...)
		}
	}
}
