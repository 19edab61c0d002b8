package testkit

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gomono.dev/mono"
)

var updateFlag = flag.Bool("testkit.update", false, "write the files of testkit.Golden anew")

// Golden compares the system and all that has happened in it with two files in
// testdata/testkit, which are named after the test: one of text, and a Mermaid
// diagram for documents. -testkit.update writes them.
//
// It is the same in every run with a seed, and only in memory: on a real server it
// does nothing.
func Golden(t testing.TB, h *Harness) {
	t.Helper()
	if !h.Virtual() {
		return
	}
	h.Settle()
	base := strings.TrimSuffix(seedFile(t.Name()), ".seeds")
	golden(t, base+".txt", describe(h.App().Describe())+"\nwhat happened, in order\n"+indent(h.journal.lines()))
	golden(t, base+".mmd", h.journal.diagram(h.topology.provider))
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
		t.Errorf("testkit: Golden: %v: write it with -testkit.update, and look at it", err)
		return
	}
	if string(want) != got {
		t.Errorf("testkit: Golden: it is not as in %s: %s\nwhere that is meant, write it anew with -testkit.update", file, firstDifference(string(want), got))
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

// describe says what the system consists of.
func describe(t mono.Topology) string {
	var b strings.Builder
	for _, m := range t.Modules {
		fmt.Fprintf(&b, "module %s\n", m.Name)
		for _, list := range []struct {
			verb string
			what []string
		}{{"provides", m.Provides}, {"needs", m.Needs}, {"emits", m.Emits}, {"hears", m.Hears}} {
			for _, what := range list.what {
				fmt.Fprintf(&b, "\t%-8s %s\n", list.verb, what)
			}
		}
	}
	return b.String()
}

// diagram draws the journal as a Mermaid sequence diagram.
func (j *journal) diagram(provider func(handleKey) string) string {
	type arrow struct {
		order int
		text  string
	}
	var arrows []arrow
	participants := []string{}
	name := func(module string) string {
		if module == "" {
			module = "test"
		}
		if !slices.Contains(participants, module) {
			participants = append(participants, module)
		}
		return strings.ReplaceAll(module, "-", "_")
	}
	add := func(order int, format string, args ...any) {
		arrows = append(arrows, arrow{order, fmt.Sprintf(format, args...)})
	}
	name("")
	all := j.all(func(*entry) bool { return true })
	for _, e := range all {
		switch {
		case e.side == mono.Sending && e.handle.kind == mono.KindService:
			from, to := name(e.module), name(provider(e.handle))
			add(e.begun, "%s->>%s: %s", from, to, e.handle.name)
			switch {
			case !e.ended:
			case e.err != nil:
				add(e.over, "%s--x%s: %s", to, from, mono.CodeOf(e.err))
			default:
				add(e.over, "%s-->>%s: reply", to, from)
			}
		case e.side == mono.Sending && !slices.ContainsFunc(all, e.isReceived):
			add(e.begun, "Note over %s: %s %s", name(e.module), sendVerb(e.handle.kind), e.handle.name)
		case e.side == mono.Receiving && e.handle.kind != mono.KindService:
			from, to := name(e.from), name(e.module)
			text := e.handle.name
			if e.attempt > 1 {
				text += fmt.Sprintf(", attempt %d", e.attempt)
			}
			if outcome := j.outcome(&e, e.id, e.err); outcome != Done {
				text += ", " + string(outcome)
			}
			add(e.begun, "%s-)%s: %s", from, to, text)
		case e.died != nil:
			add(e.begun, "Note over %s: gives up %s", name(e.module), e.handle.name)
		case e.side == "":
			text, _, _ := strings.Cut(e.text, ":")
			add(e.begun, "Note over %s: %s", everybody, text)
		}
	}
	slices.SortStableFunc(arrows, func(a, b arrow) int { return cmp.Compare(a.order, b.order) })
	var b strings.Builder
	b.WriteString("sequenceDiagram\n")
	for _, p := range participants {
		fmt.Fprintf(&b, "    participant %s as %s\n", strings.ReplaceAll(p, "-", "_"), p)
	}
	for _, a := range arrows {
		b.WriteString("    " + strings.Replace(a.text, everybody, span(participants), 1) + "\n")
	}
	return b.String()
}

// everybody stands for all participants while they are not known yet.
const everybody = "*"

// span is the first and the last of the participants.
func span(participants []string) string {
	first, last := participants[0], participants[len(participants)-1]
	if first == last {
		return first
	}
	return strings.ReplaceAll(first+","+last, "-", "_")
}

// isReceived reports whether other is a handler that got the message of e.
func (e *entry) isReceived(other entry) bool {
	return other.side == mono.Receiving && other.handle == e.handle && other.id == e.id
}
