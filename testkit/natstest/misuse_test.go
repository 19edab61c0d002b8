package natstest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/testkit/natstest"
)

// programs are mistakes of users, each run in a separate process.
var programs = map[string]func(t *testing.T){
	"a client that is left": func(t *testing.T) {
		if _, err := natstest.NATS(t).Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
	},
	"a fault on a server": func(t *testing.T) {
		natstest.Run(t, func(t *testing.T, h *testkit.Harness) { h.Fault(done, testkit.Drop) })
	},
	"a crash on a server that kills no client": func(t *testing.T) {
		s := natstest.Server()
		s.Kill = nil
		testkit.RunOn(t, s, func(t *testing.T, h *testkit.Harness) {
			h.AddFunc(func() mono.Module {
				return mono.NewModule("m", func(s *mono.Scope) error { s.Use(done); return nil })
			})
			h.MustStart()
			h.Crash()
		})
	},
	"a restart of a server": func(t *testing.T) {
		natstest.Run(t, func(t *testing.T, h *testkit.Harness) { h.RestartServer() })
	},
	"a small cluster": func(t *testing.T) { natstest.Cluster(t, 2) },
}

// TestUser is the test of a user, if the environment names one.
func TestUser(t *testing.T) {
	if program := programs[os.Getenv("NATSTEST_PROGRAM")]; program != nil {
		program(t)
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		"a client that is left":                    "1 clients are still connected to",
		"a fault on a server":                      "a real server has no faults: check h.Virtual() first",
		"a crash on a server that kills no client": "a client of this server cannot crash",
		"a restart of a server":                    "a Harness cannot restart a real server: check h.Virtual() first",
		"a small cluster":                          "want at least 3",
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestUser$")
			cmd.Env = append(os.Environ(), "NATSTEST_PROGRAM="+program)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%v, and no %q in\n%s", err, want, out)
			}
		})
	}
}
