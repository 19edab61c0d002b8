package objtest_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore/objtest"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// breakageVariable has the name of the breakage of TestBreakage.
const breakageVariable = "OBJTEST_BREAKAGE"

// Each backend with a fault fails the case that tests it, and the failure names the rule. A
// case may end its process with a deadlock in its bubble, so it runs in another process.
func TestSuiteCatches(t *testing.T) {
	t.Parallel()
	for name, b := range breakages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out string
			for range 3 { // with racing goroutines, one run may not be enough
				var failed bool
				if out, failed = runBroken(t, name, b.fails); failed {
					return
				}
			}
			t.Errorf("%s passed:\n%s", b.fails, out)
		})
	}
}

// runBroken runs a case on a broken backend. It reports whether the case failed, and not for
// another reason.
func runBroken(t *testing.T, name, c string) (out string, failed bool) {
	t.Helper()
	pattern := "^TestBreakage$/^" + strings.ReplaceAll(regexp.QuoteMeta(c), "/", "$/^") + "$"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.v", "-test.timeout="+realtime.Patience.String())
	cmd.Env = append(os.Environ(), breakageVariable+"="+name)
	output, err := cmd.CombinedOutput()
	out = string(output)
	if !strings.Contains(out, "=== RUN   TestBreakage/"+c) {
		t.Fatalf("%s did not run:\n%s", c, out)
	}
	return out, err != nil && (strings.Contains(out, "rule: ") || strings.Contains(out, "deadlock"))
}

// TestBreakage is run by runBroken. On its own it tests nothing.
func TestBreakage(t *testing.T) {
	b, ok := breakages[os.Getenv(breakageVariable)]
	if !ok {
		return
	}
	objtest.Run(t, objtest.Target{Virtual: true, Start: func(*testing.T) func() transport.Transport {
		backend := inproc.NewBackend(inproc.Options{})
		fault := b.fault()
		return func() transport.Transport { return &broken{backend.Connect(), fault} }
	}})
}
