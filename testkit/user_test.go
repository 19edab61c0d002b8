package testkit_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// programs are tests of a user, each run by TestProgram in a separate process: some end in ways
// that a test cannot survive.
var programs = map[string]func(t *testing.T){
	"passes": func(t *testing.T) {
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			open(h, fine)
			buy(t, h)
		})
	},
	"fails": func(t *testing.T) {
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			open(h, fine)
			buy(t, h)
			testkit.RequireNone(t, h, updated)
		})
	},
	"sometimes": func(t *testing.T) {
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			h.Fault(updated, testkit.Drop).Sometimes(0.2)
			open(h, fine)
			buy(t, h)
			testkit.RequireConsumed(t, h, updated)
		})
	},
	"explores": func(t *testing.T) {
		testkit.Explore(t, 50, func(t testing.TB, h *testkit.Harness) {
			h.Fault(updated, testkit.Drop).Sometimes(0.2)
			open(h, fine)
			buy(t, h)
			testkit.RequireConsumed(t, h, updated)
		}).MustPass()
	},
	"parallel": func(t *testing.T) {
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) { t.Parallel() })
	},
	"subtest": func(t *testing.T) {
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) { t.Run("x", func(*testing.T) {}) })
	},
	"leak": func(t *testing.T) {
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			open(h, fine)
			go func() { <-make(chan int) }()
		})
	},
	"hang": func(t *testing.T) {
		outside := make(chan int)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) { <-outside }, testkit.Watchdog(time.Second))
	},
	"outside": func(*testing.T) {
		testkit.Run(nil, func(*testing.T, *testkit.Harness) {})
	},
	"kept": func(t *testing.T) {
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) { t.Logf("seed %d", h.Seed()) })
	},
}

// TestUser is the test of a user, if the environment names one.
func TestUser(t *testing.T) {
	if program := programs[os.Getenv("TESTKIT_PROGRAM")]; program != nil {
		program(t)
	}
}

// runProgram runs a user's test in a directory, and reports whether it passed.
func runProgram(t *testing.T, dir, program string, flags ...string) (string, bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-test.run=^TestUser$", "-test.v"}, flags...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TESTKIT_PROGRAM="+program)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	for program, want := range map[string][]string{
		"passes":   {"--- PASS: TestUser"},
		"fails":    {"event shop.updated was published once, and should not have been", "the test calls shop.place", "-testkit.seed=1"},
		"parallel": {"t.Parallel was called in the body of testkit.Run", "call it before testkit.Run"},
		"subtest":  {"t.Run was called in the body of testkit.Run", "call testkit.Run in each subtest instead"},
		"leak":     {"goroutines still run after all modules have stopped", "user_test.go"},
		"hang":     {"has not ended after 1s of real time", "made outside the bubble", "user_test.go"},
		"outside":  {"testkit.Run: the test is nil", "call it in a function TestX(t *testing.T)"},
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			got, passed := runProgram(t, t.TempDir(), program)
			if passed != (program == "passes") {
				t.Errorf("passed: %t", passed)
			}
			expect(t, got, want)
		})
	}
}

// A seed that failed is printed and kept, and tried first from then on.
func TestSeedsAreKept(t *testing.T) {
	t.Parallel()
	for program, flags := range map[string][]string{"sometimes": {"-testkit.runs=50"}, "explores": nil} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if got, passed := runProgram(t, dir, program, flags...); passed || !strings.Contains(got, "-testkit.seed=") {
				t.Fatalf("no schedule has failed: %s", got)
			}
			file := filepath.Join(dir, "testdata", "testkit", "TestUser.seeds")
			kept, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			seed := strings.TrimSpace(string(kept))
			if seed == "1" || strings.Contains(seed, "\n") {
				t.Fatalf("kept %q", kept)
			}
			if got, passed := runProgram(t, dir, program, "-testkit.seed="+seed); passed {
				t.Errorf("the seed %s passes: %s", seed, got)
			}
			if got, passed := runProgram(t, dir, program, "-testkit.seed=1"); !passed {
				t.Errorf("the seed 1 fails: %s", got)
			}
			got, _ := runProgram(t, dir, "kept")
			if first, then := strings.Index(got, "seed "+seed), strings.Index(got, "seed 1\n"); first < 0 || then < first {
				t.Errorf("the seed %s is not first: %s", seed, got)
			}
			if err := os.WriteFile(file, []byte("x\n7 # why\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			got, passed := runProgram(t, dir, "kept")
			if passed {
				t.Error("a file without seeds passes")
			}
			expect(t, got, []string{`"x" is not a seed`, "seed 7"})
		})
	}
}

// A process may crash while it starts, and while it stops.
func TestCrashAtTheEnds(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		starts := 0
		h.Fault(updated, testkit.Crash(testkit.BeforeSend))
		h.Fault(ledger, testkit.Crash(testkit.AfterSend))
		h.AddFunc(func() mono.Module { return &greeter{starts: &starts} })
		h.MustStart()
		if starts != 2 {
			t.Errorf("started %d times", starts)
		}
		testkit.RequirePublished(t, h, updated)
		h.Stop()
		testkit.RequireAppended(t, h, ledger)
		h.MustStart()
		if starts != 3 || len(testkit.Published(h, updated)) != 2 {
			t.Errorf("started %d times", starts)
		}
	})
}

// greeter reports when it starts, and records that it stops.
type greeter struct {
	scope  *mono.Scope
	starts *int
}

func (g *greeter) Name() string { return "greeter" }

func (g *greeter) Bind(s *mono.Scope) error {
	g.scope = s
	s.Use(updated, ledger)
	return nil
}

func (g *greeter) Start(ctx context.Context) error {
	*g.starts++
	return updated.Publish(ctx, g.scope, order{})
}

func (g *greeter) Stop(ctx context.Context) error { return ledger.Append(ctx, g.scope, order{}) }

func TestDiscard(t *testing.T) {
	t.Parallel()
	ticks := mono.NewChannel[int]("test.ticks")
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		var out chan<- int
		h.Add(mono.NewModule("clock", func(s *mono.Scope) error {
			out = ticks.Send(s)
			return nil
		}))
		testkit.Discard(h, ticks)
		h.MustStart()
		for n := range 3 {
			out <- n
		}
		h.Stop()
		h.MustStart()
		out <- 3
	})
}
