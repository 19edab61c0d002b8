package natsx_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// openFull returns a store with one object, and without room.
func openFull(t *testing.T, limit int64) (s driver.Store, revision uint64) {
	t.Helper()
	tr := inProcessOn(t, t.TempDir())
	s, err := tr.Objects().Open(t.Context(), &driver.Config{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	w := upload(t, s, "u", 2)
	none := uint64(0)
	value, _ := json.Marshal(driver.Entry{Name: "a", Bucket: "s", Upload: "u", Chunks: 2, Size: 9, Digest: "SHA-256=" + strings.Repeat("x", 44)})
	if revision, err = w.Commit(t.Context(), &driver.Chunk{Data: []byte("last")}, kv.Write{Key: "YQ", Value: value, Expect: &none}); err != nil {
		t.Fatal(err)
	}
	is, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if limit == 0 {
		limit = int64(is.Bytes)
	}
	if s, err = tr.Objects().Open(t.Context(), &driver.Config{Name: "s", MaxBytes: limit}); err != nil {
		t.Fatal(err)
	}
	return s, revision
}

// Of concurrent deletions of a revision in a full store, and a write that expects it, one succeeds.
func TestDeletionsOfAFullStore(t *testing.T) {
	t.Parallel()
	s, revision := openFull(t, 0)
	results := make([]error, 8)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			_, results[i] = s.Entries().Put(t.Context(), kv.Write{Key: "YQ", Op: kv.Delete, Expect: &revision})
		})
	}
	all.Wait()
	succeeded := 0
	for _, err := range results {
		switch {
		case err == nil:
			succeeded++
		case transport.CodeOf(err) != transport.Aborted:
			t.Errorf("got %v, want aborted", err)
		}
	}
	if succeeded != 1 {
		t.Errorf("%d deletions succeeded: %v", succeeded, results)
	}
	if r, err := s.Entries().Get(t.Context(), "YQ", 0, true); err != nil || r.Op != kv.Delete {
		t.Errorf("got %+v, %v, want a mark", r, err)
	}
}

// A deletion whose mark has no room without the object either deletes nothing.
func TestDeletionOfASmallObjectInALoweredStore(t *testing.T) {
	t.Parallel()
	s, revision := openFull(t, 100)
	_, err := s.Entries().Put(t.Context(), kv.Write{Key: "YQ", Op: kv.Delete, Expect: &revision})
	if transport.CodeOf(err) != transport.ResourceExhausted {
		t.Errorf("got %v, want resource_exhausted", err)
	}
	if r, err := s.Entries().Get(t.Context(), "YQ", 0, true); err != nil || r.Op != kv.Put || r.Revision != revision {
		t.Errorf("got %+v, %v, want the object", r, err)
	}
	wantCount(t, s, "u", 2)
}
