package transporttest_test

import (
	"bytes"
	"cmp"
	"flag"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/transporttest"
)

var update = flag.Bool("update", false, "run every case on every broken transport and save which case catches it")

// Each transport that breaks a rule fails the case that tests it, and the failure names
// the rule.
//
// A case is useful if it can fail. Nine in ten fail on some broken transport, which
// catches.txt names. With -update, which takes minutes, every case runs on all of them.
func TestSuiteCatches(t *testing.T) {
	t.Parallel()
	m := &matrix{all: everyCase(t), caught: make(map[string][]string)}
	wanted := readCatches(t)
	t.Cleanup(func() { m.check(t) })
	for name, b := range breakages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases := m.all
			if !*update {
				cases = append(wanted[name], b.fails)
			}
			out, failed := runBroken(t, name, cases...)
			for n := 0; n < 3 && !(slices.Contains(failed, b.fails) && strings.Contains(out, b.output)); n++ {
				out, failed = runBroken(t, name, cases...) // with racing goroutines, one run may not be enough
			}
			m.add(name, failed)
			if !slices.Contains(failed, b.fails) {
				t.Fatalf("%s passed:\n%s", b.fails, out)
			}
			if !strings.Contains(out, b.output) {
				t.Errorf("want %q in\n%s", b.output, out)
			}
			t.Logf("caught by %s", b.fails)
		})
	}
}

// catchesFile lists for each case a broken transport that fails it.
const catchesFile = "testdata/catches.txt"

// matrix records which broken transports each case has caught.
type matrix struct {
	all []string

	mu     sync.Mutex
	ran    int
	caught map[string][]string
}

func (m *matrix) add(breakage string, failed []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ran++
	for _, c := range failed {
		if !slices.Contains(m.caught[c], breakage) {
			m.caught[c] = append(m.caught[c], breakage)
		}
	}
}

// check fails if more than one case in ten has caught nothing. With racing goroutines, a
// case may not catch its breakage each time.
func (m *matrix) check(t *testing.T) {
	if m.ran < len(breakages) {
		return // only some of them were run
	}
	if *update {
		writeCatches(t, m.all, m.caught)
	}
	var uncaught []string
	for _, c := range m.all {
		if len(m.caught[c]) == 0 {
			uncaught = append(uncaught, c)
		}
	}
	t.Logf("%d of %d cases fail on one of %d broken transports; those that do not:\n\t%s",
		len(m.all)-len(uncaught), len(m.all), len(breakages), strings.Join(uncaught, "\n\t"))
	if 10*len(uncaught) > len(m.all) {
		t.Errorf("%d of %d cases fail on no broken transport, want at most one in ten", len(uncaught), len(m.all))
	}
}

const (
	breakageVariable = "TRANSPORTTEST_BREAKAGE"
	faultless        = "breaks nothing"
)

// runBroken runs cases on a broken transport, in separate processes, because a case may
// end its process with a deadlock in its bubble. It returns their output and the failed
// cases.
func runBroken(t *testing.T, name string, cases ...string) (out string, failed []string) {
	t.Helper()
	left := slices.Clone(cases)
	for len(left) > 0 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+anyOf(left), "-test.v", "-test.parallel=1", "-test.timeout="+realtime.Patience.String())
		cmd.Env = append(os.Environ(), breakageVariable+"="+name)
		output, err := cmd.CombinedOutput()
		out += string(output)
		results, running := resultsOf(output)
		if err != nil && running != "" {
			results[running] = "FAIL"
		}
		ran := len(left)
		left = slices.DeleteFunc(left, func(c string) bool {
			if results[c] == "FAIL" {
				failed = append(failed, c)
			}
			return results[c] != ""
		})
		if len(left) == ran {
			t.Errorf("on the transport that %s, none of %q ran (%v):\n%s", name, left, err, output)
			return out, failed
		}
	}
	return out, failed
}

// anyOf returns a pattern that matches the given cases.
func anyOf(names []string) string {
	var patterns []string
	for _, name := range names {
		patterns = append(patterns, "^TestBreakage$/^"+strings.ReplaceAll(regexp.QuoteMeta(name), "/", "$/^")+"$")
	}
	return strings.Join(patterns, "|")
}

var testLine = regexp.MustCompile(`(?m)^(?:=== (RUN|CONT|NAME)\s+|\s*--- (PASS|FAIL|SKIP): )TestBreakage/(\S+)`)

// resultsOf reads the results of cases from the output of a test, and which case was
// running at the end without a result.
func resultsOf(output []byte) (results map[string]string, running string) {
	results = make(map[string]string)
	for _, m := range testLine.FindAllSubmatch(output, -1) {
		name := string(m[3])
		if len(m[2]) > 0 {
			results[name] = string(m[2])
		} else {
			running = name
		}
	}
	if results[running] != "" || !bytes.Contains(output, []byte("panic: ")) {
		running = ""
	}
	return results, running
}

// TestBreakage is run by runBroken. On its own it tests nothing.
func TestBreakage(t *testing.T) {
	name := os.Getenv(breakageVariable)
	b, ok := breakages[name]
	switch {
	case name == faultless:
		b.broken = func(tr *inproc.Transport) transport.Transport { return tr }
	case !ok:
		return
	}
	transporttest.RunInBubble(t, func(*testing.T) transport.Transport { return b.broken(inproc.New(inproc.Options{})) })
}

// everyCase lists the cases of the suite by running it.
func everyCase(t *testing.T) (names []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBreakage$", "-test.v")
	cmd.Env = append(os.Environ(), breakageVariable+"="+faultless)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the suite fails on a correct transport (%v):\n%s", err, output)
	}
	results, _ := resultsOf(output)
	delete(results, "skipped")
	for name := range results {
		parent := func(other string) bool { return strings.HasPrefix(other, name+"/") }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(results)), parent) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// readCatches returns the recorded cases that fail on each broken transport.
func readCatches(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(catchesFile)
	if err != nil {
		t.Fatal(err)
	}
	cases := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		name, by, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok && !strings.HasPrefix(line, "#") {
			cases[by] = append(cases[by], name)
		}
	}
	return cases
}

// writeCatches writes for each case the broken transport that fails the fewest other
// cases. A transport that fails more than a third of them is not specific to any.
func writeCatches(t *testing.T, cases []string, caught map[string][]string) {
	t.Helper()
	fails := make(map[string]int)
	for _, by := range caught {
		for _, name := range by {
			fails[name]++
		}
	}
	for c, by := range caught {
		caught[c] = slices.DeleteFunc(by, func(name string) bool { return 3*fails[name] > len(cases) })
	}
	text := "# For each case, a broken transport that fails it. Written by -update.\n"
	for _, c := range cases {
		if by := caught[c]; len(by) > 0 {
			text += c + ": " + slices.MinFunc(by, func(a, b string) int {
				return cmp.Or(cmp.Compare(fails[a], fails[b]), strings.Compare(a, b))
			}) + "\n"
		}
	}
	if err := os.WriteFile(catchesFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.SortedFunc(maps.Keys(fails), func(a, b string) int { return fails[b] - fails[a] }) {
		t.Logf("%3d cases fail on the transport that %s", fails[name], name)
	}
}
