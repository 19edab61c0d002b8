package transporttest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// view is the observable state of a program between two steps.
type view struct {
	Log           logView
	Groups        []groupView // in the order of their creation
	Subscriptions [][]string  // bodies, in order, of those without a group
	Shared        []string    // the messages of each group of subscriptions
}

type logView struct {
	First, Last, Delayed uint64
	Holds                []string // the result of a Read
}

type groupView struct {
	Name        string
	Deleted     bool
	Vague       bool // its Undelivered is not compared: NATS may count too few
	Keyed       bool // messages of waiting keys may be in flight or undelivered
	Undelivered int
	InFlight    int
	Held        []string            // deliveries that are not settled
	Given       map[string]int      // deliveries by body
	Keys        map[string][]string // deliveries by key, in order, if it is ordered
}

// lines returns the view as text, for people and for comparison.
func (v *view) lines() []string {
	lines := []string{fmt.Sprintf("log: first %d, last %d, %d messages, %d delayed", v.Log.First, v.Log.Last, len(v.Log.Holds), v.Log.Delayed)}
	for _, m := range v.Log.Holds {
		lines = append(lines, "log: "+m)
	}
	for i, g := range v.Groups {
		lines = append(lines, g.lines(fmt.Sprintf("group %d (%s)", i, g.Name))...)
	}
	for i, got := range v.Subscriptions {
		lines = append(lines, fmt.Sprintf("subscription %d: %s", i, strings.Join(got, " ")))
	}
	for _, got := range v.Shared {
		lines = append(lines, "subscriptions of group "+got)
	}
	return lines
}

func (g *groupView) lines(name string) (lines []string) {
	line := func(format string, args ...any) { lines = append(lines, name+": "+fmt.Sprintf(format, args...)) }
	if g.Deleted {
		line("deleted")
	} else {
		switch {
		case !g.Keyed:
			if !g.Vague {
				line("%d undelivered", g.Undelivered)
			}
			line("%d in flight", g.InFlight)
		case !g.Vague:
			line("%d undelivered or in flight", g.Undelivered+g.InFlight)
		}
		line("held: %s", strings.Join(slices.Sorted(slices.Values(g.Held)), " "))
	}
	given := []string{}
	for _, body := range slices.Sorted(maps.Keys(g.Given)) {
		given = append(given, fmt.Sprintf("%s×%d", body, g.Given[body]))
	}
	line("received: %s", strings.Join(given, " "))
	for _, key := range slices.Sorted(maps.Keys(g.Keys)) {
		line("of key %q: %s", key, strings.Join(g.Keys[key], " "))
	}
	return lines
}

// differences returns the lines in which two texts differ, each with the name of its
// side.
func differences(name string, a []string, other string, b []string) string {
	var lines strings.Builder
	for i := range max(len(a), len(b)) {
		switch {
		case i < len(a) && i < len(b) && a[i] == b[i]:
			continue
		case i < len(a):
			fmt.Fprintf(&lines, "  %s\t%s\n", name, a[i])
		}
		if i < len(b) {
			fmt.Fprintf(&lines, "  %s\t%s\n", other, b[i])
		}
	}
	return lines.String()
}
