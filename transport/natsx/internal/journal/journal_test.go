package journal_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/transport/natsx/internal/journal"
)

var made = time.Unix(1, 0)

func open(t interface {
	Helper()
	Fatal(...any)
}, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// Records outlive the process, in any order and without a Close.
func TestRecordsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		j := open(t, dir)
		type key struct {
			consumer string
			sequence uint64
		}
		type begun struct {
			attempt journal.Attempt
			history journal.History
		}
		underway := make(map[key]begun)
		history, ids := make(map[key]journal.History), make(map[string]uint64)
		anyKey := func(t *rapid.T) key {
			return key{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "consumer"), rapid.Uint64Range(1, 5).Draw(t, "sequence")}
		}
		consumer := func(k key) *journal.Consumer { return j.Consumer("log", k.consumer, made) }
		stored := func(k key) time.Time { return time.Unix(int64(k.sequence), 7) }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k := anyKey(t)
				p := journal.History{Delivery: rapid.Uint64Range(1, 9).Draw(t, "delivery"), Attempts: rapid.IntRange(0, 9).Draw(t, "attempts")}
				if rapid.Bool().Draw(t, "due") {
					p.Due = time.Unix(1<<40, 5000)
				}
				consumer(k).Put(k.sequence, stored(k), p)
				history[k] = p
			},
			"forget": func(t *rapid.T) {
				k := anyKey(t)
				consumer(k).Forget(k.sequence)
				delete(history, k)
			},
			"remember": func(t *rapid.T) {
				id := fmt.Sprint("id", rapid.IntRange(0, 5).Draw(t, "id"))
				ids[id] = rapid.Uint64Range(1, 99).Draw(t, "sequence")
				j.Remember("log", made, id, ids[id], time.Now().Add(time.Hour))
			},
			"begin": func(t *rapid.T) {
				k := anyKey(t)
				p := journal.History{Delivery: rapid.Uint64Range(1, 9).Draw(t, "delivery"), Attempts: rapid.IntRange(0, 9).Draw(t, "attempts")}
				if a, begun := underway[k]; begun {
					a.attempt.End()
				}
				underway[k] = begun{consumer(k).Begin(k.sequence, stored(k), p), p}
			},
			"settle": func(t *rapid.T) {
				k := anyKey(t)
				if a, begun := underway[k]; begun {
					consumer(k).Forget(k.sequence)
					a.attempt.End()
					delete(history, k)
					delete(underway, k)
				}
			},
			"end": func(t *rapid.T) {
				j = open(t, dir)
				for k, a := range underway { // their process has died
					history[k] = a.history
				}
				clear(underway)
				for id, sequence := range ids {
					if got, ok := j.Recall("log", made, id); !ok || got != sequence {
						t.Fatalf("%s is %d, %v, want %d", id, got, ok, sequence)
					}
				}
			},
			"": func(t *rapid.T) {
				for _, name := range []string{"a", "b"} {
					for sequence := range uint64(6) {
						k := key{name, sequence}
						got, ok := consumer(k).History(sequence, stored(k))
						want, known := history[k]
						if ok != known || got.Delivery != want.Delivery || got.Attempts != want.Attempts || !got.Due.Equal(want.Due) {
							t.Fatalf("%v: %+v, %v, want %+v, %v", k, got, ok, want, known)
						}
						if _, ok := consumer(k).History(sequence, stored(k).Add(1)); ok {
							t.Fatalf("%v is taken for another message of its sequence", k)
						}
					}
				}
			},
		})
	})
}

// A consumer that was deleted and created again has no history.
func TestRecreatedConsumerHasNoHistory(t *testing.T) {
	t.Parallel()
	j := journal.Memory()
	j.Consumer("log", "a", made).Put(1, made, journal.History{Delivery: 1, Attempts: 1})
	if _, ok := j.Consumer("log", "a", made.Add(1)).History(1, made); ok {
		t.Error("it has a history")
	}
}

// The attempt is the delivery number without hand-backs. It continues when the server starts
// counting again.
func TestAttempt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		history  journal.History
		delivery uint64
		want     int
	}{
		{journal.History{}, 1, 1},
		{journal.History{}, 3, 3},
		{journal.History{Delivery: 3, Attempts: 1}, 4, 2},
		{journal.History{Delivery: 3, Attempts: 1}, 6, 4},
		{journal.History{Delivery: 3, Attempts: 3}, 1, 4},
		{journal.History{Delivery: 3, Attempts: 3}, 3, 4},
	} {
		if got := c.history.Attempt(c.delivery); got != c.want {
			t.Errorf("%+v, delivery %d: attempt %d, want %d", c.history, c.delivery, got, c.want)
		}
	}
}

// Unneeded segments are removed, and open records are kept.
func TestSegmentsAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir)
	c := j.Consumer("log", "a", made)
	c.Put(1, made, journal.History{Delivery: 7, Attempts: 7})
	for i := range uint64(300_000) {
		c.Put(2+i, made, journal.History{Delivery: 1, Attempts: 1})
		c.Forget(2 + i)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the files are %v, %v", files, err)
	}
	if !strings.HasSuffix(files[0], ".journal") || strings.HasSuffix(files[0], "00000001.journal") {
		t.Errorf("no second segment: the only file is %s", files[0])
	}
	if p, ok := open(t, dir).Consumer("log", "a", made).History(1, made); !ok || p.Attempts != 7 {
		t.Errorf("got %+v, %v", p, ok)
	}
}

// An id is forgotten when it expires.
func TestIDsExpire(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir).Remember("log", made, "x", 1, time.Now().Add(-time.Second))
	if _, ok := open(t, dir).Recall("log", made, "x"); ok {
		t.Error("it is remembered")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.journal"))
	if open(t, dir); len(files) > 2 {
		t.Errorf("the files are %v", files)
	}
}

// A closed journal works in memory.
func TestClosedJournalWorksInMemory(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	dir := t.TempDir()
	j, err := journal.Open(dir, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	c := j.Consumer("log", "a", made)
	c.Put(1, made, journal.History{Delivery: 1, Attempts: 1})
	if p, ok := c.History(1, made); !ok || p.Attempts != 1 {
		t.Errorf("got %+v, %v", p, ok)
	}
	if _, err := journal.Open(filepath.Join(dir, "00000001.journal"), nil); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// Damaged files cause no panic, and do not prevent later records.
func FuzzDamagedFiles(f *testing.F) {
	dir := f.TempDir()
	j := open(f, dir)
	j.Consumer("log", "a", made).Put(1, made, journal.History{Delivery: 2, Attempts: 2, Due: made})
	j.Remember("log", made, "x", 3, time.Now().Add(time.Hour))
	good, err := os.ReadFile(filepath.Join(dir, "00000001.journal"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000009.journal"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, dir)
		c := j.Consumer("log", "b", made)
		c.Put(5, made, journal.History{Delivery: 1, Attempts: 1})
		if p, ok := open(t, dir).Consumer("log", "b", made).History(5, made); !ok || p.Attempts != 1 {
			t.Errorf("a later record is %+v, %v", p, ok)
		}
	})
}
