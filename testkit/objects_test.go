package testkit_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/objstore"
	"gomono.dev/testkit"
)

var (
	photos  = objstore.NewStore("photos", objstore.ChunkSize(10), objstore.Index())
	save    = mono.NewService[string, int]("album.save")
	show    = mono.NewService[string, int]("album.show")
	replace = mono.NewService[string, int]("album.replace")
)

// photo is the content of an object: two chunks, and one that is stored with the description.
var photo = bytes.Repeat([]byte("12345"), 5)

// newAlbum returns a module that stores photos.
func newAlbum() mono.Module {
	return mono.NewModule("album", func(s *mono.Scope) error {
		store := photos.Open(s)
		save.Handle(s, func(ctx context.Context, name string) (int, error) {
			is, err := store.PutBytes(ctx, name, photo)
			return int(is.Size), err
		})
		show.Handle(s, func(ctx context.Context, name string) (int, error) {
			content, _, err := store.ReadAll(ctx, name)
			return len(content), err
		})
		replace.Handle(s, func(ctx context.Context, name string) (int, error) {
			is, err := store.Stat(ctx, name)
			if err != nil {
				return 0, err
			}
			is, err = store.PutBytes(ctx, name, photo, objstore.IfRevision(is.Revision))
			return int(is.Size), err
		})
		return nil
	})
}

// held describes an object as the test finds it.
func held(t testing.TB, o *objstore.Objects, name string) string {
	t.Helper()
	content, _, err := o.ReadAll(t.Context(), name)
	if err != nil {
		return string(mono.CodeOf(err))
	}
	return fmt.Sprint(len(content))
}

// leftOver returns the number of chunks that no object has, after it has removed them.
func leftOver(t testing.TB, o *objstore.Objects) int {
	t.Helper()
	swept, err := o.Sweep(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := o.Sweep(t.Context(), 0); again.Uploads > 0 || err != nil {
		t.Errorf("a second Sweep removes %+v, %v", again, err)
	}
	return swept.Chunks
}

// Each fault has its effect on a Put of three chunks over an object of seven bytes, and on what
// is stored and left over. Readers see the old object or the new one.
func TestFaultsOfStores(t *testing.T) {
	t.Parallel()
	commit := func(m testkit.Passing) bool { return testkit.Writes(m) && m.Key == "a/ä" }
	for name, c := range map[string]struct {
		fault  testkit.Fault
		when   testkit.Condition
		put    string
		stored string
		left   int
		get    string
	}{
		"no fault":             {testkit.Drop, testkit.Chunk(3), "25", "25", 0, "25"},
		"fail a chunk":         {testkit.Fail(mono.ResourceExhausted), testkit.Chunk(2), "resource_exhausted", "7", 0, "7"},
		"fail the commit":      {testkit.Fail(mono.ResourceExhausted), commit, "resource_exhausted", "7", 0, "7"},
		"drop a chunk":         {testkit.Drop, testkit.Chunk(1), "unavailable", "7", 0, "unavailable"},
		"drop the commit":      {testkit.Drop, commit, "unavailable", "7", 0, "7"},
		"late chunk":           {testkit.Late(time.Second), testkit.Chunk(2), "25 after 1s", "25", 0, "25"},
		"late commit":          {testkit.Late(time.Second), commit, "25 after 1s", "25", 0, "25"},
		"ambiguous chunk":      {testkit.AmbiguousSend, testkit.Chunk(2), "unavailable", "7", 0, "7"},
		"ambiguous commit":     {testkit.AmbiguousSend, commit, "25", "25", 0, "25"},
		"crash before a chunk": {testkit.Crash(testkit.BeforeSend), testkit.Chunk(2), "unavailable", "7", 1, "7"},
		"crash after a chunk":  {testkit.Crash(testkit.AfterSend), testkit.Chunk(2), "unavailable", "7", 2, "7"},
		"crash before commit":  {testkit.Crash(testkit.BeforeSend), commit, "unavailable", "7", 2, "7"},
		"crash after commit":   {testkit.Crash(testkit.AfterSend), commit, "unavailable", "25", 1, "25"},
		"fail the first read":  {testkit.Fail(mono.ResourceExhausted), testkit.Reads, "resource_exhausted", "7", 0, "resource_exhausted"},
		"another object":       {testkit.Fail(mono.Aborted), testkit.Key("b"), "25", "25", 0, "25"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
				inside := testkit.Objects(h, photos)
				if _, err := inside.PutBytes(t.Context(), "a/ä", []byte("before.")); err != nil {
					t.Fatal(err)
				}
				testkit.FaultObjects(h, photos, c.fault).When(c.when).Sometimes(1).Times(2)
				h.AddFunc(newAlbum)
				h.MustStart()
				equal(t, "Put", call(t, h, save, "a/ä"), c.put)
				h.Settle()
				equal(t, "stored", held(t, inside, "a/ä"), c.stored)
				equal(t, "read", call(t, h, show, "a/ä"), c.get)
				if n := leftOver(t, inside); n != c.left {
					t.Errorf("%d chunks were left over, want %d", n, c.left)
				}
				equal(t, "after the Sweep", held(t, inside, "a/ä"), c.stored)
			})
		})
	}
}

// A Put whose answer is lost is stored once, on every path: the Put with a condition that
// follows finds its revision.
func TestLostAnswerOfPut(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		lost := testkit.FaultObjects(h, photos, testkit.AmbiguousSend).When(testkit.Key("a")).Times(3)
		h.AddFunc(newAlbum)
		h.MustStart()
		equal(t, "Put", call(t, h, save, "a"), "25")
		inside := testkit.Objects(h, photos)
		before, err := inside.Stat(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "replace", call(t, h, replace, "a"), "25")
		equal(t, "replace", call(t, h, replace, "a"), "25")
		after, err := inside.Stat(t.Context(), "a")
		if err != nil || after.Revision != before.Revision+2 {
			t.Errorf("revision %d, %d before, %v", after.Revision, before.Revision, err)
		}
		if n := lost.Triggered(); n != 3 {
			t.Errorf("%d answers were lost", n)
		}
	})
}

// A read of a description that is stale does not see another process's last Put. A Put that
// depends on it is refused.
func TestStaleReadsOfStores(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		testkit.FaultObjects(h, photos, testkit.Stale).Always()
		h.AddFunc(newAlbum)
		h.MustStart()
		inside := testkit.Objects(h, photos)
		for n := range 2 {
			if _, err := inside.PutBytes(t.Context(), "a", photo[:n+1]); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "the test", held(t, inside, "a"), "2")
		equal(t, "replace", call(t, h, replace, "a"), "aborted")
		equal(t, "stored", held(t, inside, "a"), "2")
		if n := leftOver(t, inside); n != 0 {
			t.Errorf("%d chunks were left over", n)
		}
	})
}

// Whatever fails, and in whatever order: an object is whole, and after a Sweep the chunks of the
// store are those of its objects.
func TestObjectsAreWhole(t *testing.T) {
	t.Parallel()
	testkit.Explore(t, 30, func(t testing.TB, h *testkit.Harness) {
		for _, f := range []testkit.Fault{testkit.AmbiguousSend, testkit.Drop, testkit.Crash(testkit.AfterSend)} {
			testkit.FaultObjects(h, photos, f).Sometimes(0.1).Times(2)
		}
		h.AddFunc(newAlbum)
		h.MustStart()
		done := make(chan struct{})
		for range 3 {
			go func() {
				_, _ = save.Call(t.Context(), h, "a")
				_, _ = show.Call(t.Context(), h, "a")
				done <- struct{}{}
			}()
		}
		for range 3 {
			<-done
		}
		inside := testkit.Objects(h, photos)
		leftOver(t, inside)
		if got := held(t, inside, "a"); got != "25" && got != "not_found" {
			t.Errorf("read %s", got)
		}
	}).MustPass()
}

// The test looks into a store before the start, and after a crash, on every path.
func TestStoreOutlivesTheApp(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, h *testkit.Harness) {
		inside := testkit.Objects(h, photos)
		if _, err := inside.PutBytes(t.Context(), "a", photo[:1]); err != nil {
			t.Fatal(err)
		}
		h.AddFunc(newAlbum)
		h.MustStart()
		equal(t, "the App", strings.Fields(call(t, h, show, "a"))[0], "1")
		if h.Virtual() {
			h.Crash()
		}
		equal(t, "the App", strings.Fields(call(t, h, save, "a"))[0], "25")
		equal(t, "the test", held(t, inside, "a"), "25")
		if is, err := inside.Stat(t.Context(), "a"); err != nil || is.Size != 25 {
			t.Errorf("the test: got %+v, %v", is, err)
		}
	})
}

// The history has the operations of the App and of the test.
func TestHistoryOfStores(t *testing.T) {
	t.Parallel()
	got := failing(t, func(t testing.TB, h *testkit.Harness) {
		testkit.FaultObjects(h, photos, testkit.Late(time.Second)).When(testkit.Chunk(2))
		h.AddFunc(newAlbum)
		h.MustStart()
		call(t, h, save, "a b")
		inside := testkit.Objects(h, photos)
		held(t, inside, "a b")
		_ = inside.Delete(t.Context(), "a b")
		t.Error("enough")
	})
	expect(t, got, []string{
		`the App gets store photos "a b" → not_found: the record does not exist`,
		`the App puts store photos a chunk 10 bytes → done`,
		`— Late(1s) of store photos, chunk 2`,
		`the App puts store photos a chunk 10 bytes → done`,
		`the App creates store photos "a b" 25 bytes → #1`,
		`the test gets store photos "a b" → #1 25 bytes`,
		`the test reads store photos chunks → 3 chunks`,
		`the test deletes store photos "a b" of #1 → #2`,
		`the test removes store photos chunks → done`,
	})
}

// Each misuse of stores is a failure that names the mistake and the remedy.
func TestMisuseOfStores(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body func(h *testkit.Harness)
		want []string
	}{
		"a fault of handlers": {
			func(h *testkit.Harness) { testkit.FaultObjects(h, photos, testkit.Duplicate) },
			[]string{"the fault Duplicate of store photos", "a store has writes and reads, and no handlers", "use Drop"}},
		"a module": {
			func(h *testkit.Harness) { testkit.FaultObjects(h, photos, testkit.Drop).From("album") },
			[]string{"the modules of an App share its stores", "When instead of From"}},
		"never triggered": {
			func(h *testkit.Harness) { testkit.FaultObjects(h, photos, testkit.Stale) },
			[]string{"the fault Stale of store photos (objects_test.go:", "was never triggered"}},
		"a missing store": {
			func(h *testkit.Harness) { testkit.Objects(h, objstore.NewStore("missing", objstore.Existing())) },
			[]string{"testkit: opening store missing: ", "does not exist"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, failing(t, func(_ testing.TB, h *testkit.Harness) {
				h.AddFunc(newAlbum)
				c.body(h)
				h.MustStart()
			}), c.want)
		})
	}
}
