package journal_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/transport/natsx/internal/journal"
)

// life is the life of a process that opens the journal, and ends without a Close.
func life(t *testing.T, dir string, exclusive bool, live func(*journal.Journal)) {
	t.Helper()
	j := open(t, dir)
	if err := j.SetExclusive(exclusive); err != nil {
		t.Fatal(err)
	}
	live(j)
}

func segments(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	return names
}

// A segment is removed when its own ids have expired, whatever others hold.
func TestSegmentsOfEarlierProcessesAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	life(t, dir, true, func(j *journal.Journal) { j.Remember("log", made, "x", 1, time.Now().Add(time.Hour)) })
	life(t, dir, true, func(j *journal.Journal) { j.Remember("log", made, "y", 2, time.Now().Add(-time.Second)) })
	life(t, dir, true, func(*journal.Journal) {})
	life(t, dir, true, func(j *journal.Journal) {
		if _, ok := j.Recall("log", made, "x"); !ok {
			t.Error("the id that has not expired is forgotten")
		}
	})
	if got, want := segments(t, dir), []string{"00000001.journal", "00000004.journal"}; !slices.Equal(got, want) {
		t.Errorf("the segments are %v, want %v", got, want)
	}
}

// Ids belong to a log by its creation, and to messages that it has.
func TestIDsOfLostMessagesAreDiscarded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	life(t, dir, true, func(j *journal.Journal) {
		j.Remember("log", made, "x", 1, time.Now().Add(time.Hour))
		j.Remember("log", made, "y", 2, time.Now().Add(time.Hour))
	})
	life(t, dir, true, func(j *journal.Journal) {
		j.Discard("log", made, 1)
		for id, want := range map[string]bool{"x": true, "y": false} {
			if _, ok := j.Recall("log", made, id); ok != want {
				t.Errorf("%s: %v, want %v", id, ok, want)
			}
		}
		if _, ok := j.Recall("log", made.Add(1), "x"); ok {
			t.Error("another log of the name has the id")
		}
	})
}

// A journal whose files cannot be created knows what it has read, and writes what it
// has taken down when they can be.
func TestFilesAreOpenedLater(t *testing.T) {
	t.Parallel()
	for _, obstacle := range []string{"00000002.journal.tmp", "slots"} {
		t.Run(obstacle, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			life(t, dir, true, func(j *journal.Journal) {
				j.Consumer("log", "a", made).Put(1, made, journal.History{Delivery: 1, Attempts: 1})
				j.Remember("log", made, "x", 1, time.Now().Add(time.Hour))
			})
			path := filepath.Join(dir, obstacle)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(path, "file"), 0o700); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			j, err := journal.Open(dir, slog.New(slog.NewTextHandler(&said, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if err := j.SetExclusive(true); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(said.String(), "cannot be written") {
				t.Errorf("the log is %q", said.String())
			}
			c := j.Consumer("log", "a", made)
			if p, ok := c.History(1, made); !ok || p.Attempts != 1 {
				t.Errorf("got %+v, %v", p, ok)
			}
			if sequence, ok := j.Recall("log", made, "x"); !ok || sequence != 1 {
				t.Errorf("x is %d, %v", sequence, ok)
			}
			j.Remember("log", made, "y", 2, time.Now().Add(time.Hour))
			c.Begin(2, made, journal.History{Delivery: 1, Attempts: 1})
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			for attempts := 2; ; attempts++ {
				c.Put(1, made, journal.History{Delivery: 9, Attempts: attempts})
				_, err := os.Stat(filepath.Join(dir, "slots"))
				if _, err2 := os.Stat(filepath.Join(dir, "00000002.journal")); err == nil && err2 == nil {
					break
				}
				<-time.After(10 * time.Millisecond)
			}
			c.Begin(3, made, journal.History{Delivery: 3, Attempts: 3})
			life(t, dir, true, func(j *journal.Journal) {
				c := j.Consumer("log", "a", made)
				for sequence, want := range map[uint64]uint64{1: 9, 2: 1, 3: 3} {
					if p, ok := c.History(sequence, made); !ok || p.Delivery != want {
						t.Errorf("message %d: %+v, %v", sequence, p, ok)
					}
				}
				if sequence, ok := j.Recall("log", made, "y"); !ok || sequence != 2 {
					t.Errorf("y is %d, %v", sequence, ok)
				}
			})
		})
	}
}

// Attempts that were begun are known of the messages that no other worker can have had.
func TestBegunAttempts(t *testing.T) {
	t.Parallel()
	before, after := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	check := func(t *testing.T, j *journal.Journal, what string, sequence uint64, stored time.Time, want int, wantKnown bool) {
		t.Helper()
		p, known := j.Consumer("log", "a", made).Begun(sequence, stored)
		if p.Attempts != want || known != wantKnown {
			t.Errorf("%s: %d attempts, known %v; want %d, %v", what, p.Attempts, known, want, wantKnown)
		}
	}
	run := func(name string, lives ...func(*testing.T, string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, live := range lives {
				live(t, dir)
			}
		})
	}
	first := func(t *testing.T, dir string) {
		life(t, dir, true, func(j *journal.Journal) {
			c := j.Consumer("log", "a", made)
			c.Begin(1, after, journal.History{Delivery: 2, Attempts: 2})
			check(t, j, "under way", 1, after, 2, true)
			check(t, j, "of another message", 1, after.Add(1), 0, true)
			c.Put(2, after, journal.History{Delivery: 3, Attempts: 1})
			check(t, j, "retried", 2, after, 1, true)
			check(t, j, "not begun", 3, after, 0, true)
			check(t, j, "stored before there was a journal", 4, before, 0, false)
		})
	}
	again := func(known bool) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			life(t, dir, true, func(j *journal.Journal) {
				for sequence, want := range map[uint64]int{1: 2, 2: 1, 3: 0} {
					if !known {
						want = 0
					}
					check(t, j, "in the next life", sequence, after, want, known)
				}
			})
		}
	}
	forget := func(t *testing.T, dir string) { // as if all was long ago
		text := []byte("1")
		if err := os.WriteFile(filepath.Join(dir, "exclusive"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("lives without others", first, again(true), again(true))
	run("a life with others", first, func(t *testing.T, dir string) {
		life(t, dir, false, func(j *journal.Journal) { check(t, j, "with others", 1, after, 0, false) })
		if _, err := os.Stat(filepath.Join(dir, "exclusive")); err == nil {
			t.Error("the file is there")
		}
	}, func(t *testing.T, dir string) {
		life(t, dir, true, func(j *journal.Journal) { check(t, j, "without others again", 1, before, 0, false) })
	})
	run("a damaged segment", first, forget, func(t *testing.T, dir string) {
		f, err := os.OpenFile(filepath.Join(dir, segments(t, dir)[0]), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write([]byte{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, dir string) {
		life(t, dir, true, func(j *journal.Journal) { check(t, j, "after the damage", 1, before, 0, false) })
	})
	run("an unwritable life", first, forget, func(t *testing.T, dir string) {
		if err := os.MkdirAll(filepath.Join(dir, "00000002.journal.tmp", "file"), 0o700); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, dir string) {
		life(t, dir, true, func(j *journal.Journal) { check(t, j, "unwritable", 1, before, 0, false) })
		if err := os.RemoveAll(filepath.Join(dir, "00000002.journal.tmp")); err != nil {
			t.Fatal(err)
		}
		life(t, dir, true, func(j *journal.Journal) { check(t, j, "after that", 1, before, 0, false) })
	})
}
