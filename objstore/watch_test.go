package objstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/transport"
)

// watched collects the events of a Watch as text.
type watched struct {
	mu     sync.Mutex
	events []string
	err    error
}

var kinds = map[objstore.EventKind]string{
	objstore.EventPut: "put", objstore.EventDelete: "delete", objstore.EventExpire: "expire",
	objstore.EventCurrent: "current", objstore.EventReplay: "replay",
}

func watch(ctx context.Context, o *objstore.Objects, options ...objstore.WatchOption) *watched {
	w := new(watched)
	go func() {
		for e, err := range o.Watch(ctx, options...) {
			w.mu.Lock()
			if w.err = err; err == nil {
				w.events = append(w.events, strings.TrimSpace(kinds[e.Kind]+" "+e.Name))
			}
			w.mu.Unlock()
		}
	}()
	return w
}

// take waits until nothing more comes, and returns what came.
func (w *watched) take() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.events, ", ")
	w.events = nil
	return all
}

func (w *watched) want(t *testing.T, what, want string) {
	t.Helper()
	if got := w.take(); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func put(t *testing.T, o *objstore.Objects, name string, options ...objstore.PutOption) objstore.Info {
	t.Helper()
	is, err := o.PutBytes(t.Context(), name, []byte("content of "+name), options...)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t)
		put(t, o, "a/1")
		put(t, o, "b")
		ctx, cancel := context.WithCancel(t.Context())
		all, some := watch(ctx, o), watch(ctx, o, objstore.Prefix("a/"))
		later, stored := watch(ctx, o, objstore.UpdatesOnly()), watch(ctx, o, objstore.IgnoreDeletes())
		all.want(t, "all", "put a/1, put b, current")
		some.want(t, "a prefix", "put a/1, current")
		later.want(t, "later", "")
		stored.want(t, "stored", "put a/1, put b, current")
		is := put(t, o, "a/2")
		synctest.Wait() // otherwise its deletion replaces it
		_, err := o.Update(t.Context(), "b", func(is *objstore.Info) error { is.Description = "d"; return nil })
		must(t, err)
		_, err = o.Rename(t.Context(), "a/1", "c")
		must(t, err)
		must(t, o.Delete(t.Context(), "a/2"))
		all.want(t, "all", "put a/2, put b, delete a/1, put c, delete a/2")
		some.want(t, "a prefix", "put a/2, delete a/1, delete a/2")
		later.want(t, "later", "put a/2, put b, delete a/1, put c, delete a/2")
		stored.want(t, "stored", "put a/2, put b, put c")
		watch(ctx, o, objstore.FromRevision(is.Revision+1)).want(t, "from a revision", "put b, delete a/1, put c, delete a/2, current")
		cancel()
		all.take()
		wantCode(t, all.err, transport.Canceled)
	})
}

// An object that expires gives its end to the watchers that got it, unless it was stored again.
func TestWatchOfExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t)
		put(t, o, "a", objstore.TTL(time.Minute))
		put(t, o, "b", objstore.TTL(time.Minute))
		put(t, o, "c", objstore.TTL(2*time.Minute))
		all, later := watch(t.Context(), o), watch(t.Context(), o, objstore.UpdatesOnly())
		stored := watch(t.Context(), o, objstore.IgnoreDeletes())
		synctest.Wait()
		put(t, o, "a")
		all.want(t, "all", "put a, put b, put c, current, put a")
		stored.take()
		later.want(t, "later", "put a")
		<-time.After(time.Minute)
		all.want(t, "after a minute", "expire b")
		must(t, o.Delete(t.Context(), "c"))
		<-time.After(time.Hour)
		all.want(t, "after an hour", "delete c")
		later.want(t, "later", "delete c")
		stored.want(t, "stored", "")
		if _, err := o.Stat(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		must(t, o.Close(t.Context()))
		all.take()
		wantCode(t, all.err, transport.Unavailable)
	})
}

func TestWatchErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t)
		first := func(options ...objstore.WatchOption) (failed error) {
			for _, err := range o.Watch(t.Context(), options...) {
				failed = err
				break
			}
			return failed
		}
		wantCode(t, first(nil), transport.InvalidArgument)
		wantCode(t, first(objstore.FromRevision(0)), transport.InvalidArgument)
		wantCode(t, first(objstore.FromRevision(9)), transport.OutOfRange)
		wantCode(t, first(objstore.FromRevision(1), objstore.UpdatesOnly()), transport.InvalidArgument)
		if err := first(objstore.FromRevision(9)); !strings.HasPrefix(err.Error(), `out_of_range: store "files": FromRevision(9)`) {
			t.Errorf("got %q", err)
		}
		must(t, o.Close(t.Context()))
		wantCode(t, first(), transport.FailedPrecondition)
		must(t, o.Close(t.Context()))
	})
}

// A loop may be left, or panic, at any event.
func TestLeaveWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t)
		put(t, o, "a", objstore.TTL(time.Minute))
		put(t, o, "b", objstore.TTL(time.Minute))
		for n := range 5 {
			var got []string
			for e := range o.Watch(t.Context()) {
				if got = append(got, kinds[e.Kind]); len(got) > n {
					break
				}
			}
			if len(got) != n+1 {
				t.Errorf("%d events: %v", n, got)
			}
			if n == 4 {
				break
			}
			put(t, o, "a", objstore.TTL(time.Minute))
			put(t, o, "b", objstore.TTL(time.Minute))
		}
		defer func() {
			if v := recover(); fmt.Sprint(v) != "enough" {
				t.Errorf("got %v", v)
			}
		}()
		put(t, o, "a")
		for range o.Watch(t.Context()) {
			panic("enough")
		}
	})
}
