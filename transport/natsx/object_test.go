package natsx_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

func openStore(t *testing.T) driver.Store {
	t.Helper()
	s, err := inProcessOn(t, t.TempDir()).Objects().Open(t.Context(), &driver.Config{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// upload appends chunks, of which Commit stores the last one.
func upload(t *testing.T, s driver.Store, id string, chunks int) driver.Writer {
	t.Helper()
	w := s.Write(id, 0)
	for range chunks - 1 {
		if err := w.Append(t.Context(), driver.Chunk{Data: []byte("chunk")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// entryOf returns the write of an entry that expects a revision.
func entryOf(key, upload string, chunks int, expect uint64) kv.Write {
	value, _ := json.Marshal(driver.Entry{Name: key, Bucket: "s", Upload: upload, Chunks: uint32(chunks)})
	return kv.Write{Key: key, Value: value, Expect: &expect}
}

func wantCount(t *testing.T, s driver.Store, upload string, want int) {
	t.Helper()
	if n, err := s.Count(t.Context(), upload); n != want || err != nil {
		t.Errorf("%s has %d chunks, %v, want %d", upload, n, err, want)
	}
}

// discard discards an upload at its end.
func discard(t *testing.T, s driver.Store, upload string) error {
	t.Helper()
	last, err := s.Last(t.Context(), upload)
	if err != nil {
		t.Fatal(err)
	}
	return s.Discard(t.Context(), upload, last.Sequence)
}

// Discard removes no upload that has an entry, although an entry alone does not change the end of
// the upload, and also if the entry was moved.
func TestDiscardOfAnObject(t *testing.T) {
	t.Parallel()
	for _, chunks := range []int{1, 2, 5} {
		s := openStore(t)
		w := upload(t, s, "u", chunks)
		revision, err := w.Commit(t.Context(), &driver.Chunk{Data: []byte("last")}, entryOf("YQ", "u", chunks, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := discard(t, s, "u"); transport.CodeOf(err) != transport.Aborted {
			t.Errorf("%d chunks: %v", chunks, err)
		}
		moved := entryOf("Yg", "u", chunks, 0)
		if _, err := s.Entries().Put(t.Context(), kv.Write{Key: "YQ", Op: kv.Delete, Expect: &revision}, moved); err != nil {
			t.Fatal(err)
		}
		if err := discard(t, s, "u"); transport.CodeOf(err) != transport.Aborted {
			t.Errorf("%d chunks, after a rename: %v", chunks, err)
		}
		wantCount(t, s, "u", chunks)
		if _, err := s.Entries().Put(t.Context(), kv.Write{Key: "Yg", Op: kv.Delete}); err != nil {
			t.Fatal(err)
		}
		if err := discard(t, s, "u"); err != nil {
			t.Errorf("%d chunks, after a deletion: %v", chunks, err)
		}
		wantCount(t, s, "u", 0)
	}
}

// A Commit fails after its chunks were discarded, at whatever point. The one that failed over
// another entry is called again.
func TestCommitAfterDiscard(t *testing.T) {
	t.Parallel()
	for _, chunks := range []int{1, 2, 5} {
		s := openStore(t)
		w := upload(t, s, "u", chunks)
		last := driver.Chunk{Data: []byte("last")}
		if _, err := w.Commit(t.Context(), &last, entryOf("YQ", "u", chunks, 7)); transport.CodeOf(err) != transport.Aborted {
			t.Fatalf("%d chunks, another entry: %v", chunks, err)
		}
		if err := discard(t, s, "u"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(t.Context(), &last, entryOf("YQ", "u", chunks, 0)); transport.CodeOf(err) != transport.FailedPrecondition {
			t.Errorf("%d chunks: %v", chunks, err)
		}
		if _, err := s.Entries().Get(t.Context(), "YQ", 0, true); transport.CodeOf(err) != transport.NotFound {
			t.Errorf("%d chunks: the entry: %v", chunks, err)
		}
		wantCount(t, s, "u", 0)
	}
}

// Commits succeed while others write to the store all the time. One of two for the same entry is
// aborted.
func TestCommitInABusyStore(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for j := range 20 {
				id := fmt.Sprintf("u%d-%d", i, j)
				w := upload(t, s, id, 3)
				last := driver.Chunk{Data: []byte("last")}
				if _, err := w.Commit(t.Context(), &last, entryOf(id, id, 3, 0)); err != nil {
					t.Errorf("%s: %v", id, err)
				}
				wantCount(t, s, id, 3)
				second := upload(t, s, id+"x", 1)
				if _, err := second.Commit(t.Context(), &last, entryOf(id, id+"x", 1, 0)); transport.CodeOf(err) != transport.Aborted {
					t.Errorf("%s, created twice: %v", id, err)
				}
			}
		})
	}
	writers.Wait()
}

func TestStoreHook(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, func(o *natsx.Options) {
		o.Store = func(name string, c *jetstream.StreamConfig) {
			switch name {
			case "special":
				c.Compression, c.AllowAtomicPublish = jetstream.S2Compression, false
				c.Metadata["team"] = "sales"
			case "direct":
				c.AllowDirect = false
			case "rollup":
				c.AllowRollup = false
			case "generation":
				c.Metadata["mono-generation"] = "9"
			}
		}
	})
	for _, name := range []string{"direct", "rollup", "generation"} {
		_, err := tr.Objects().Open(t.Context(), &driver.Config{Name: name})
		wantOutcome(t, err, transport.InvalidArgument, transport.OutcomeNotDone)
	}
	for range 2 {
		s, err := tr.Objects().Open(t.Context(), &driver.Config{Name: "special"})
		if err != nil {
			t.Fatal(err)
		}
		is, err := s.Info(t.Context())
		if c := streamConfig(t, tr, "OBJ_special"); err != nil || c.Metadata["team"] != "sales" || !is.Config.Compressed || is.Batches {
			t.Errorf("%+v, %v", c, err)
		}
	}
}
