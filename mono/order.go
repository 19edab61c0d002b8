package mono

import (
	"fmt"
	"slices"
	"strings"
)

// edge is the rule that one unit must start after another.
type edge struct {
	to  *unit
	why *declaration
}

// hard returns the dependencies of a unit: the providers of the services and resources
// that it uses.
func (in *instance) hard(u *unit) []edge {
	var edges []edge
	for _, id := range u.order {
		if p := in.providers[id]; p != nil && p.unit != u {
			edges = append(edges, edge{p.unit, p.decl})
		}
	}
	for _, n := range u.needed {
		if r := in.resources[n.decl.identity()]; r != nil && r.unit != u {
			edges = append(edges, edge{r.unit, r.decl})
		}
	}
	return edges
}

// soft returns the preferred predecessors of a unit: the receivers of the channels that
// it sends to, which then stop later than it.
func (in *instance) soft(u *unit) []*unit {
	var units []*unit
	for _, c := range u.sends {
		for _, r := range c.receivers {
			if r != u {
				units = append(units, r)
			}
		}
	}
	return units
}

// sortUnits sorts the units in the order of their start: depth first, in the order of
// registration, dependencies first. It reports each cycle once.
func (in *instance) sortUnits() {
	s := &sorter{in: in, state: make(map[*unit]int)}
	for _, u := range in.units {
		in.checkPlugin(u)
		s.visit(u)
	}
	in.units = s.sorted
}

// checkPlugin reports a plugin that needs a module, because modules start after
// plugins.
func (in *instance) checkPlugin(u *unit) {
	for _, e := range in.hard(u) {
		if u.plugin && !e.to.plugin {
			in.report.add(u.name, e.why, "this plugin needs what module %s provides, and plugins start before modules: add that module with Plugin", e.to.name)
		}
	}
}

type sorter struct {
	in     *instance
	state  map[*unit]int
	path   []edge // from the first unit in progress to the last
	sorted []*unit
}

const (
	unseen = iota
	inProgress
	done
)

func (s *sorter) visit(u *unit) {
	if s.state[u] != unseen {
		return
	}
	s.state[u] = inProgress
	for _, e := range s.in.hard(u) {
		s.path = append(s.path, e)
		if s.state[e.to] == inProgress {
			s.cycle(e.to)
		}
		s.visit(e.to)
		s.path = s.path[:len(s.path)-1]
	}
	for _, v := range s.in.soft(u) {
		if u.plugin == v.plugin && !s.needsOneInProgress(v, make(map[*unit]bool)) {
			path := s.path
			s.path = nil
			s.visit(v)
			s.path = path
		}
	}
	s.state[u] = done
	s.sorted = append(s.sorted, u)
}

// needsOneInProgress reports whether v cannot start before a unit that is being
// visited. Then a preference must not order v first.
func (s *sorter) needsOneInProgress(v *unit, seen map[*unit]bool) bool {
	if s.state[v] == inProgress {
		return true
	}
	if seen[v] || s.state[v] == done {
		return false
	}
	seen[v] = true
	return slices.ContainsFunc(s.in.hard(v), func(e edge) bool { return s.needsOneInProgress(e.to, seen) })
}

// cycle reports the cycle that the path closes.
func (s *sorter) cycle(to *unit) {
	start := 0
	for i, e := range s.path[:len(s.path)-1] {
		if e.to == to {
			start = i + 1
		}
	}
	var b strings.Builder
	b.WriteString(to.name)
	for _, e := range s.path[start:] {
		fmt.Fprintf(&b, " → %s (%s)", e.to.name, e.why)
	}
	s.in.report.add("", nil, "modules need each other in a cycle, so none can start first: %s; replace one by an event, or move their common part into a separate module", b.String())
}
