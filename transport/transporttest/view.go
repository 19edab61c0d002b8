package transporttest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// view is what is to be seen of a program between two steps.
type view struct {
	Log           logView
	Groups        []groupView // in the order of their making
	Subscriptions [][]string  // bodies, in order, of those without a group
	Shared        []string    // what each group of subscriptions got
}

type logView struct {
	First, Last, Delayed uint64
	Holds                []string // what a Read yields
}

type groupView struct {
	Name        string
	Deleted     bool
	Vague       bool // its Undelivered says nothing: NATS may count too few
	Undelivered int
	InFlight    int
	Held        []string            // deliveries that are not settled
	Given       map[string]int      // deliveries by body
	Lanes       map[string][]string // deliveries by lane, in order, where it is ordered
}

// lines returns what a view says, for people and for comparing it.
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
	say := func(format string, args ...any) { lines = append(lines, name+": "+fmt.Sprintf(format, args...)) }
	if g.Deleted {
		say("deleted")
	} else {
		if !g.Vague {
			say("%d undelivered", g.Undelivered)
		}
		say("%d in flight", g.InFlight)
		say("held: %s", strings.Join(slices.Sorted(slices.Values(g.Held)), " "))
	}
	given := []string{}
	for _, body := range slices.Sorted(maps.Keys(g.Given)) {
		given = append(given, fmt.Sprintf("%s×%d", body, g.Given[body]))
	}
	say("was given: %s", strings.Join(given, " "))
	for _, lane := range slices.Sorted(maps.Keys(g.Lanes)) {
		say("in lane %s: %s", lane, strings.Join(g.Lanes[lane], " "))
	}
	return lines
}

// differences returns the lines in which two texts differ, each with whose it is.
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
