//go:build unix

package realtime_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/internal/recorder"
)

const stall = 100 * time.Millisecond

// Each harness runs in its own process, since some fail.
const roundsVariable = "MONO_TEST_ROUNDS"

var harnesses = map[string]struct {
	run      func(t *testing.T)
	fails    bool
	output   string
	discards int
}{
	"a round that passes": {func(t *testing.T) {
		var r realtime.Rounds
		r.Run(t, func(t testing.TB) { t.Log("passed") })
	}, false, "passed", 0},
	"a round that passes although the machine stood still": {func(t *testing.T) {
		r := realtime.Rounds{Stall: stall}
		r.Run(t, func(t testing.TB) { standStill(t); t.Log("passed") })
	}, false, "passed", 0},
	"a round that fails": {func(t *testing.T) {
		r := realtime.Rounds{Stall: time.Minute}
		r.Run(t, func(t testing.TB) { t.Fatal("broken") })
	}, true, "rounds_test.go", 0},
	"a round that fails because the machine stood still": {func(t *testing.T) {
		n, ended := 0, 0
		r := realtime.Rounds{Stall: stall}
		r.Run(t, func(t testing.TB) {
			ctx := t.Context()
			t.Cleanup(func() {
				if ended++; ctx.Err() == nil {
					t.Error("the context of the round has not ended")
				}
			})
			if n++; n == 1 {
				standStill(t)
				t.Fatal("too late")
			}
		})
		if n != 2 || ended != 2 {
			t.Errorf("%d rounds began and %d ended, want 2", n, ended)
		}
	}, false, "the machine stood still for", 1},
	"a round that fails each time the machine stands still": {func(t *testing.T) {
		r := realtime.Rounds{Stall: stall}
		r.Run(t, func(t testing.TB) { standStill(t); t.Error("too late") })
	}, true, "was repeated 3 times, and the machine stood still each time", 3},
	"two rounds in twenty are discarded":        {spoils(2, 18), false, "2 of 20 rounds were discarded", 2},
	"two rounds in nineteen are discarded":      {spoils(2, 17), true, "FAIL: at most 1 may be discarded", 2},
	"two of three rounds, of several harnesses": {func(t *testing.T) { spoils(1, 1)(t); spoils(1, 1)(t) }, true, "2 of 4 rounds were discarded", 2},
	withoutMain + ", the first round is spoilt": {spoils(1, 1), false, "1 of 1 so far", 0},
	withoutMain + ", another round is spoilt":   {spoils(2, 9), true, "1 of 3 rounds were discarded, and another is spoilt", 0},
	withoutMain + ", the rounds are to be counted": {func(t *testing.T) {
		t.Setenv("MONO_DISCARDED_ROUNDS", filepath.Join(t.TempDir(), "discarded"))
		spoils(0, 1)(t)
	}, true, "call realtime.Main in its TestMain", 0},
	"a round that fails in its cleanup": {func(t *testing.T) {
		r := realtime.Rounds{Stall: time.Minute}
		r.Run(t, func(t testing.TB) { t.Cleanup(func() { t.Fatal("at the end") }) })
	}, true, "at the end", 0},
	"a round that fails its test": {func(t *testing.T) {
		r := realtime.Rounds{Stall: stall}
		r.Run(t, func(testing.TB) { standStill(t); t.Fatal("the test itself") })
	}, true, "the test itself", 0},
}

// withoutMain is the prefix of the names of harnesses that run without Main.
const withoutMain = "without Main"

// spoils returns a test of n rounds. The first few of them fail once each, because the
// machine stands still.
func spoils(few, n int) func(*testing.T) {
	return func(t *testing.T) {
		r := realtime.Rounds{Stall: stall}
		for i := range n {
			spoilt := i >= few
			r.Run(t, func(t testing.TB) {
				if !spoilt {
					spoilt = true
					standStill(t)
					t.Fatal("too late")
				}
			})
		}
	}
}

func TestMain(m *testing.M) {
	if strings.HasPrefix(os.Getenv(roundsVariable), withoutMain) {
		os.Exit(m.Run())
	}
	os.Exit(realtime.Main(m))
}

// TestHarness runs one harness of the table for TestRounds.
func TestHarness(t *testing.T) {
	if h, ok := harnesses[os.Getenv(roundsVariable)]; ok {
		h.run(t)
	}
}

func TestRounds(t *testing.T) {
	t.Parallel()
	for name, h := range harnesses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			discarded := filepath.Join(t.TempDir(), "discarded")
			c := exec.Command(os.Args[0], "-test.run=^TestHarness$", "-test.v")
			c.Env = append(os.Environ(), roundsVariable+"="+name, "MONO_DISCARDED_ROUNDS="+discarded)
			if strings.HasPrefix(name, withoutMain) {
				c.Env = append(c.Env, "MONO_DISCARDED_ROUNDS=")
			}
			out, err := c.CombinedOutput()
			if (err != nil) != h.fails || !strings.Contains(string(out), h.output) {
				t.Errorf("%v, want failure %v and %q in\n%s", err, h.fails, h.output, out)
			}
			list, err := os.ReadFile(discarded)
			if n := strings.Count(string(list), "round discarded"); n != h.discards || n > 0 && err != nil {
				t.Errorf("the file has %d discarded rounds, want %d: %q, %v", n, h.discards, list, err)
			}
			if total := fmt.Sprintf(": %d of ", h.discards); !strings.HasPrefix(name, withoutMain) && !strings.Contains(string(list), total) {
				t.Errorf("the file has no total: %q", list)
			}
		})
	}
}

// The heartbeat of a round ends with the round, also if the round ends its goroutine.
func TestTryStopsItsHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it panics if a goroutine still runs
		var r realtime.Rounds
		recorder.Apart(func() {
			_ = r.Try(t, func() error { runtime.Goexit(); return nil })
		})
	})
}

// .ci/rounds adds up the totals of all packages, and fails above one round in ten.
func TestTotalOfDiscardedRounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file   string
		fails  bool
		output string
	}{
		"no rounds":      {"", false, "0 of 0 rounds"},
		"one of a few":   {"TestX: round discarded, 1 of 2 so far: …\na.test: 1 of 2 rounds were discarded\n", false, "TestX: round discarded"},
		"one in ten":     {"a.test: 1 of 2 rounds were discarded\nb.test: 1 of 18 rounds were discarded\n", false, "2 of 20 rounds"},
		"more than that": {"a.test: 1 of 2 rounds were discarded\nb.test: 1 of 17 rounds were discarded\n", true, "2 of 19 rounds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "discarded")
			if err := os.WriteFile(path, []byte(c.file), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("../../.ci/rounds", path).CombinedOutput()
			if (err != nil) != c.fails || !strings.Contains(string(out), c.output) {
				t.Errorf("%v, want failure %v and %q in\n%s", err, c.fails, c.output, out)
			}
		})
	}
	if out, err := exec.Command("../../.ci/rounds", filepath.Join(t.TempDir(), "none")).CombinedOutput(); err != nil {
		t.Errorf("without a file: %v, %s", err, out)
	}
}
