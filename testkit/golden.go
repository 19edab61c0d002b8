package testkit

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gomono.dev/mono"
)

var updateFlag = flag.Bool("testkit.update", false, "rewrite the files of testkit.Golden")

// Golden compares the system and its history with two files in testdata/testkit, which
// are named after the test: a text, and a Mermaid diagram for documents.
// -testkit.update writes them.
//
// The history is the same in every run with the seed of the file, which the text names.
// With another seed, and on a real server, Golden does nothing.
func Golden(t testing.TB, h *Harness) {
	t.Helper()
	if !h.Virtual() {
		return
	}
	h.Settle()
	name, _, _ := strings.Cut(t.Name(), "/seed=") // without the seed, if the test runs with several
	base := strings.TrimSuffix(seedFile(name), ".seeds")
	seed := fmt.Sprintf("seed %d\n", h.seed)
	if written, err := os.ReadFile(base + ".txt"); err == nil && !strings.HasPrefix(string(written), seed) && !*updateFlag {
		return
	}
	golden(t, base+".txt", seed+"\n"+h.describe()+"\nwhat happened, in order\n"+indent(h.journal.lines()))
	golden(t, base+".mmd", h.diagram())
}

func golden(t testing.TB, file, got string) {
	t.Helper()
	if *updateFlag {
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, []byte(got), 0o644)
		}
		if err != nil {
			t.Errorf("testkit: Golden: %v", err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("testkit: Golden: %v: write it with -testkit.update, and review it", err)
		return
	}
	if string(want) != got {
		t.Errorf("testkit: Golden: it differs from %s: %s\nif that is intended, rewrite it with -testkit.update", file, firstDifference(string(want), got))
	}
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := "(the end)", "(the end)"
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d is\n\t%s\nand was\n\t%s", i+1, b, a)
		}
	}
	return "it is the same"
}

func indent(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	return b.String()
}

// describe lists the modules of the programs that run.
func (h *Harness) describe() string {
	live := h.allPrograms().live()
	if len(live) == 0 {
		return describe(h.App().Describe()) // it fails the test
	}
	var b strings.Builder
	for _, p := range live {
		if p.programName() != "" {
			fmt.Fprintf(&b, "program %s\n", p.programName())
		}
		b.WriteString(describe(p.app.Describe()))
	}
	return b.String()
}

// describe lists the modules of an App.
func describe(t mono.Topology) string {
	var b strings.Builder
	for _, m := range t.Modules {
		fmt.Fprintf(&b, "module %s\n", m.Name)
		for _, list := range []struct {
			verb string
			what []string
		}{{"provides", m.Provides}, {"needs", m.Needs}, {"produces", m.Produces}, {"consumes", m.Consumes}} {
			for _, what := range list.what {
				fmt.Fprintf(&b, "\t%-8s %s\n", list.verb, what)
			}
		}
	}
	return b.String()
}
