package natsx

import (
	"slices"
	"strconv"
	"testing"

	"gomono.dev/transport"
)

// oddWords are the parts of names that natsx derives from other names.
var oddWords = []string{"a", "partition", "0", "1", "10", "later", "dead", "source"}

// oddWordNames returns these words, alone and joined in the ways of natsx.
func oddWordNames() []string {
	names := slices.Clone(oddWords)
	for _, join := range []string{"_", "__", "-"} {
		for _, a := range oddWords {
			for _, b := range oddWords {
				names = append(names, a+join+b, a+join+b+"_0", a+"_"+b+join+"1")
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Two groups of a log never share a consumer.
func TestGroupsShareNoConsumer(t *testing.T) {
	t.Parallel()
	l := &settings{config: transport.LogConfig{Name: "l", Subjects: []string{"l.*"}}, partitions: newPartitions(12, []string{"l.*"})}
	of := make(map[string]string)
	for _, name := range oddWordNames() {
		for _, ordered := range []bool{false, true} {
			g := transport.GroupConfig{Name: name, Ordered: ordered}
			if g.Validate() != nil {
				continue
			}
			names, _, err := l.consumers(&g)
			if err != nil {
				t.Fatal(err)
			}
			this := name + " ordered " + strconv.FormatBool(ordered)
			for _, n := range names {
				if other := of[n]; other != "" {
					t.Errorf("the consumer %s belongs to the groups %s and %s", n, other, this)
				}
				of[n] = this
			}
		}
	}
	if len(of) < 1000 {
		t.Errorf("only %d consumers", len(of))
	}
}

// Two logs never share a stream or a subject of delayed messages.
func TestLogsShareNoStream(t *testing.T) {
	t.Parallel()
	of := make(map[string]string)
	for _, name := range oddWordNames() {
		c := transport.LogConfig{Name: name, Subjects: []string{"l.x"}, Delays: true}
		if c.Validate() != nil {
			continue
		}
		for _, n := range []string{name, name + delayedSuffix, delayedSubject(name, "at.*"), delayedSubject(name, "due.>"), delayedSubject(name, "deliver")} {
			if other := of[n]; other != "" {
				t.Errorf("%s belongs to the logs %s and %s", n, other, name)
			}
			of[n] = name
		}
	}
	if len(of) < 1000 {
		t.Errorf("only %d names", len(of))
	}
}
