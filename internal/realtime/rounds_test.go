//go:build unix

package realtime_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
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
		r := realtime.Rounds{Stall: stall, Planned: 20}
		r.Run(t, func(t testing.TB) { standStill(t); t.Error("too late") })
	}, true, "2 of 20 rounds were discarded, and another is spoilt", 2},
	"a round that fails in its cleanup": {func(t *testing.T) {
		r := realtime.Rounds{Stall: time.Minute}
		r.Run(t, func(t testing.TB) { t.Cleanup(func() { t.Fatal("at the end") }) })
	}, true, "at the end", 0},
	"a round that fails its test": {func(t *testing.T) {
		r := realtime.Rounds{Stall: stall}
		r.Run(t, func(testing.TB) { standStill(t); t.Fatal("the test itself") })
	}, true, "the test itself", 0},
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
			out, err := c.CombinedOutput()
			if (err != nil) != h.fails || !strings.Contains(string(out), h.output) {
				t.Errorf("%v, want failure %v and %q in\n%s", err, h.fails, h.output, out)
			}
			list, err := os.ReadFile(discarded)
			if n := strings.Count(string(list), "\n"); n != h.discards || n > 0 && err != nil {
				t.Errorf("the file has %d discarded rounds, want %d: %q, %v", n, h.discards, list, err)
			}
		})
	}
}
