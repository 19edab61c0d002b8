package objstore_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	kvdriver "gomono.dev/kv/driver"
	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// counted is a transport that counts reads of the entries, and can be cut off from their
// changes.
type counted struct {
	*inproc.Transport
	reads, scans atomic.Int64
	silent       atomic.Bool   // a Follow gives nothing
	broken       chan struct{} // ends a Follow
}

func (t *counted) Objects() driver.Stores { return countedStores{t.Transport.Objects(), t} }

type countedStores struct {
	driver.Stores
	by *counted
}

func (s countedStores) Open(ctx context.Context, c *driver.Config) (driver.Store, error) {
	o, err := s.Stores.Open(ctx, c)
	return countedStore{o, s.by}, err
}

type countedStore struct {
	driver.Store
	by *counted
}

func (s countedStore) Entries() kvdriver.Bucket { return countedEntries{s.Store.Entries(), s.by} }

type countedEntries struct {
	kvdriver.Bucket
	by *counted
}

func (b countedEntries) Get(ctx context.Context, key string, revision uint64, fresh bool) (*kvdriver.Record, error) {
	b.by.reads.Add(1)
	return b.Bucket.Get(ctx, key, revision, fresh)
}

func (b countedEntries) Scan(ctx context.Context, s kvdriver.Scan, yield func(*kvdriver.Record) bool) error {
	b.by.scans.Add(1)
	return b.Bucket.Scan(ctx, s, yield)
}

// Follow is not lasting, as over a network.
func (b countedEntries) Follow(ctx context.Context, f kvdriver.Follow, yield func(*kvdriver.Record) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-b.by.broken:
			cancel()
		case <-ctx.Done():
		}
	}()
	current := f.Current
	f.Current = func(revision uint64, lasting bool) {
		if !b.by.silent.Load() {
			current(revision, false)
		}
	}
	return b.Bucket.Follow(ctx, f, func(r *kvdriver.Record) bool { return b.by.silent.Load() || yield(r) })
}

func openCounted(t testing.TB, options ...objstore.StoreOption) (*objstore.Objects, *counted) {
	t.Helper()
	tr := &counted{Transport: inproc.New(inproc.Options{}), broken: make(chan struct{})}
	t.Cleanup(func() { tr.Close(context.Background()) })
	o, err := objstore.Connect(t.Context(), tr, objstore.NewStore("files", options...))
	if err != nil {
		t.Fatal(err)
	}
	return o, tr
}

// list returns a listing as text.
func list(t testing.TB, objects iter.Seq2[objstore.Info, error]) string {
	t.Helper()
	var all []string
	for is, err := range objects {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, is.Name)
	}
	return strings.Join(all, " ")
}

// An index answers without a request, in the order of names, with what this process wrote.
func TestIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, tr := openCounted(t, objstore.Index())
		for _, name := range []string{"b/2", "c", "b/1/x", "a", "b/1/y", "b/1/", "d"} {
			put(t, o, name, objstore.Header("H", name), objstore.ContentType("text/plain"))
		}
		must(t, o.Delete(t.Context(), "d"))
		list(t, o.List(t.Context())) // begins to follow
		synctest.Wait()
		tr.reads.Store(0)
		tr.scans.Store(0)
		for _, c := range []struct {
			want    string
			options []objstore.ListOption
		}{
			{"a b/1/ b/1/x b/1/y b/2 c", nil},
			{"b/1/ b/1/x b/1/y b/2", []objstore.ListOption{objstore.Prefix("b/")}},
			{"a b/ c", []objstore.ListOption{objstore.Delimiter("/")}},
			{"b/1/ b/2", []objstore.ListOption{objstore.Prefix("b/"), objstore.Delimiter("/")}},
			{"", []objstore.ListOption{objstore.Prefix("bb")}},
		} {
			if got := list(t, o.List(t.Context(), c.options...)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		}
		is, err := o.Stat(t.Context(), "b/1/x")
		if err != nil || is.Size != 16 || is.ContentType != "text/plain" || is.Header["H"] != "b/1/x" || is.Modified.IsZero() {
			t.Errorf("got %+v, %v", is, err)
		}
		is.Header["H"] = "changed"
		if is, _ := o.Stat(t.Context(), "b/1/x"); is.Header["H"] != "b/1/x" {
			t.Error("callers share a header")
		}
		_, err = o.Stat(t.Context(), "d")
		wantCode(t, err, transport.NotFound)
		if tr.reads.Load()+tr.scans.Load() > 0 {
			t.Errorf("%d reads, %d scans", tr.reads.Load(), tr.scans.Load())
		}
		for n := range 100 {
			name := fmt.Sprint("new", n)
			put(t, o, name)
			if got := list(t, o.List(t.Context(), objstore.Prefix("new"))); got != name {
				t.Fatalf("got %q, want %q", got, name)
			}
			must(t, o.Delete(t.Context(), name))
			if got := list(t, o.List(t.Context(), objstore.Prefix("new"))); got != "" {
				t.Fatalf("got %q after the deletion", got)
			}
		}
		if tr.scans.Load() > 0 {
			t.Errorf("%d scans", tr.scans.Load())
		}
		must(t, o.Close(t.Context())) // or the bubble does not end
	})
}

// An index without news answers for MaxStale only, and never without what this process wrote.
func TestStaleIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, tr := openCounted(t, objstore.Index(), objstore.MaxStale(5*time.Second))
		other, err := objstore.Connect(t.Context(), tr.Transport, objstore.NewStore("files"))
		must(t, err)
		put(t, o, "a")
		list(t, o.List(t.Context()))
		synctest.Wait()
		tr.silent.Store(true)
		put(t, other, "b")
		if got := list(t, o.List(t.Context())); got != "a" {
			t.Errorf("got %q, want what the index knows", got)
		}
		if _, err := o.Stat(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		put(t, o, "c")
		if is, err := o.Stat(t.Context(), "c"); err != nil || is.Name != "c" {
			t.Errorf("its own write: got %+v, %v", is, err)
		}
		<-time.After(5*time.Second + 1)
		if got := list(t, o.List(t.Context())); got != "a b c" {
			t.Errorf("got %q from a stale index", got)
		}
	})
}

// The index has no object after its expiry, although the server reports no end.
func TestIndexOfExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, tr := openCounted(t, objstore.Index(), objstore.MaxStale(time.Hour))
		put(t, o, "a/1", objstore.TTL(time.Minute))
		put(t, o, "a/2", objstore.TTL(time.Minute))
		put(t, o, "b", objstore.TTL(time.Hour))
		list(t, o.List(t.Context()))
		synctest.Wait()
		tr.scans.Store(0)
		if got := list(t, o.List(t.Context(), objstore.Delimiter("/"))); got != "a/ b" {
			t.Errorf("got %q", got)
		}
		tr.silent.Store(true)
		<-time.After(time.Minute)
		if got := list(t, o.List(t.Context(), objstore.Delimiter("/"))); got != "b" {
			t.Errorf("got %q after a minute", got)
		}
		_, err := o.Stat(t.Context(), "a/1")
		wantCode(t, err, transport.NotFound)
		if tr.scans.Load() > 0 {
			t.Errorf("%d scans", tr.scans.Load())
		}
	})
}

// A store that was deleted and created again begins a new index.
func TestIndexOfRecreatedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, tr := openCounted(t, objstore.Index())
		for range 5 {
			put(t, o, "a")
		}
		list(t, o.List(t.Context()))
		synctest.Wait()
		must(t, objstore.DeleteStore(t.Context(), tr, "files"))
		synctest.Wait()
		_, err := o.Stat(t.Context(), "a")
		wantCode(t, err, transport.NotFound)
		again, err := objstore.Connect(t.Context(), tr, objstore.NewStore("files"))
		must(t, err)
		put(t, again, "b")
		synctest.Wait()
		for range 3 {
			if got := list(t, o.List(t.Context())); got != "b" {
				t.Errorf("got %q", got)
			}
			synctest.Wait()
		}
		tr.scans.Store(0)
		if got := list(t, o.List(t.Context())); got != "b" || tr.scans.Load() > 0 {
			t.Errorf("got %q with %d scans", got, tr.scans.Load())
		}
	})
}

// A listing is complete, although the index ends in the middle of it.
func TestIndexEndsWhileItLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, tr := openCounted(t, objstore.Index())
		want := 0
		for n := range 300 {
			put(t, o, fmt.Sprintf("%03d", n))
			want += n
		}
		list(t, o.List(t.Context()))
		synctest.Wait()
		got := 0
		for is, err := range o.List(t.Context()) {
			must(t, err)
			var n int
			fmt.Sscan(strings.TrimLeft(is.Name, "0"), &n)
			if got += n; n == 10 {
				tr.broken <- struct{}{}
				synctest.Wait()
			}
		}
		if got != want {
			t.Errorf("the numbers of the objects add up to %d, want %d", got, want)
		}
	})
}

// Any changes leave an index that lists what is there, in order.
func TestIndexOfAnyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := openCounted(t, objstore.Index(), objstore.ChunkSize(16))
		r := rand.New(rand.NewPCG(1, 1))
		exists := make(map[string]bool)
		list(t, o.List(t.Context()))
		synctest.Wait()
		for n := range 6000 {
			name := fmt.Sprint(r.IntN(2000))
			if put := r.IntN(3) > 0 == (n < 4000); put {
				_, err := o.PutBytes(t.Context(), name, nil)
				must(t, err)
				exists[name] = true
			} else if err := o.Delete(t.Context(), name); (err == nil) != exists[name] {
				t.Fatal(err)
			} else {
				delete(exists, name)
			}
			if n%500 != 0 && n < 5990 {
				continue
			}
			var want []string
			for name := range exists {
				want = append(want, name)
			}
			slices.Sort(want)
			if got := list(t, o.List(t.Context())); got != strings.Join(want, " ") {
				t.Fatalf("after %d changes: got %q, want %q", n, got, want)
			}
		}
	})
}

func TestIndexOptions(t *testing.T) {
	for name, options := range map[string][]objstore.StoreOption{
		"MaxStale without Index":  {objstore.MaxStale(time.Minute)},
		"a MaxStale of 1s: want ": {objstore.Index(), objstore.MaxStale(time.Second)},
	} {
		func() {
			defer func() {
				if v := recover(); !strings.Contains(fmt.Sprint(v), name) {
					t.Errorf("got %v, want %s", v, name)
				}
			}()
			objstore.NewStore("files", options...)
		}()
	}
}

// BenchmarkIndexMemory measures the memory for each name of an index.
func BenchmarkIndexMemory(b *testing.B) {
	for name, options := range map[string][]objstore.PutOption{
		"plain": {objstore.ContentType("text/plain")}, "expiring": {objstore.ContentType("text/plain"), objstore.TTL(time.Hour)},
	} {
		b.Run(name, func(b *testing.B) {
			const n = 50_000
			o, tr := openCounted(b, objstore.Index(), objstore.ChunkSize(16))
			for i := range n {
				if _, err := o.PutBytes(b.Context(), fmt.Sprintf("2026/reports/%017d", i), nil, options...); err != nil {
					b.Fatal(err)
				}
			}
			var before, after runtime.MemStats
			for b.Loop() {
				tr.scans.Store(0)
				runtime.GC()
				runtime.ReadMemStats(&before)
				list(b, o.List(b.Context()))
				for tr.scans.Store(0); ; tr.scans.Store(0) { // until the index answers
					if list(b, o.List(b.Context(), objstore.Prefix("-"))); tr.scans.Load() == 0 {
						break
					}
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/name")
		})
	}
}

// Changes of an object that the index knows read nothing. If what it knows is old, they decide with
// what is stored, as without an index.
func TestChangesWithIndex(t *testing.T) {
	describe := func(text string) func(*objstore.Info) error {
		return func(is *objstore.Info) error { is.Description += text; return nil }
	}
	synctest.Test(t, func(t *testing.T) {
		o, tr := openCounted(t, objstore.Index(), objstore.MaxStale(time.Hour))
		other, err := objstore.Connect(t.Context(), tr.Transport, objstore.NewStore("files"))
		must(t, err)
		known := func(names ...string) {
			for _, name := range names {
				put(t, o, name)
			}
			list(t, o.List(t.Context()))
			synctest.Wait()
			tr.reads.Store(0)
		}
		known("deleted", "renamed", "updated")
		must(t, o.Delete(t.Context(), "deleted"))
		synctest.Wait()
		_, err = o.Rename(t.Context(), "renamed", "new")
		must(t, err)
		synctest.Wait()
		_, err = o.Update(t.Context(), "updated", describe("a"))
		must(t, err)
		if n := tr.reads.Load(); n > 0 {
			t.Errorf("%d reads", n)
		}

		known("deleted", "renamed", "refused", "changed", "gone")
		tr.silent.Store(true)
		_, err = other.Update(t.Context(), "updated", describe("b"))
		must(t, err)
		first := put(t, other, "changed")
		for _, name := range []string{"deleted", "renamed", "refused", "late"} {
			put(t, other, name, objstore.Description("other"))
		}
		must(t, other.Delete(t.Context(), "gone"))
		is, err := o.Update(t.Context(), "updated", describe("c"))
		if err != nil || is.Description != "abc" {
			t.Errorf("got %+v, %v", is, err)
		}
		wantCode(t, o.Delete(t.Context(), "changed", objstore.IfRevision(first.Revision-1)), transport.Aborted)
		must(t, o.Delete(t.Context(), "changed", objstore.IfRevision(first.Revision)))
		must(t, o.Delete(t.Context(), "deleted"))
		must(t, o.Delete(t.Context(), "late"))
		wantCode(t, o.Delete(t.Context(), "gone"), transport.NotFound)
		if is, err = o.Rename(t.Context(), "renamed", "second"); err != nil || is.Description != "other" {
			t.Errorf("got %+v, %v", is, err)
		}
		calls := 0
		_, err = o.Update(t.Context(), "refused", func(is *objstore.Info) error {
			calls++
			return fmt.Errorf("refused %q", is.Description)
		})
		if err == nil || !strings.Contains(err.Error(), `refused "other"`) || calls > 2 {
			t.Errorf("got %v after %d calls", err, calls)
		}
		left := strings.Fields(list(t, other.List(t.Context())))
		if slices.Sort(left); !slices.Equal(left, []string{"new", "refused", "second", "updated"}) {
			t.Errorf("got %q", left)
		}
		must(t, o.Close(t.Context()))
	})
}
