package mono

import (
	"fmt"
	"slices"
	"strings"
)

// plan is what the modules of an App declare, and what an instance runs. It does not
// change once the modules are bound and checked.
type plan struct {
	units     []*unit     // in the order of registration, then of starting
	receivers []*receiver // of the units, in their order
	handles   map[identity]*declaration
	providers map[identity]provider
	channels  map[identity]*channel
}

// provider is the provider of a service or a resource.
type provider struct {
	unit     *unit
	decl     *declaration
	place    string
	service  *receiver // nil for a resource
	resource *resource // nil for a service
}

func newPlan() plan {
	return plan{
		handles:   make(map[identity]*declaration),
		providers: make(map[identity]provider),
		channels:  make(map[identity]*channel),
	}
}

// groupsOf returns the groups of a handle that the App declares: those of the handle,
// and those of the receivers of its modules.
func (p *plan) groupsOf(d *declaration) []string {
	var groups []string
	if d.kind == KindQueue {
		groups = append(groups, d.config.groups()...)
	}
	for _, r := range p.receivers {
		if r.decl.identity() == d.identity() {
			groups = append(groups, r.group())
		}
	}
	return groups
}

// dependencies returns what a unit needs of others: the providers of the services and
// resources that it uses.
func (p *plan) dependencies(u *unit) []provider {
	ids := u.order
	for _, n := range u.needed {
		ids = append(ids[:len(ids):len(ids)], n.decl.identity())
	}
	var others []provider
	for _, id := range ids {
		if other, ok := p.providers[id]; ok && other.unit != u {
			others = append(others, other)
		}
	}
	return others
}

// sort sorts the units in the order of their start: depth first, in the order of
// registration, dependencies first. It reports each cycle once.
func (p *plan) sort(to *report) {
	s := &sorter{plan: p, report: to, state: make(map[*unit]int)}
	for _, u := range p.units {
		s.checkPlugin(u)
		s.visit(u)
	}
	p.units = s.sorted
	for _, u := range p.units {
		p.receivers = append(p.receivers, u.receivers...)
	}
}

type sorter struct {
	plan   *plan
	report *report
	state  map[*unit]int
	path   []provider // from the first unit in progress to the last
	sorted []*unit
}

const (
	unseen = iota
	inProgress
	done
)

// checkPlugin reports a plugin that needs a module, because modules start after
// plugins.
func (s *sorter) checkPlugin(u *unit) {
	for _, p := range s.plan.dependencies(u) {
		if u.plugin && !p.unit.plugin {
			s.report.add(u.name, p.decl, "this plugin needs what module %s provides, and plugins start before modules: add that module with Plugin", p.unit.name)
		}
	}
}

func (s *sorter) visit(u *unit) {
	if s.state[u] != unseen {
		return
	}
	s.state[u] = inProgress
	for _, p := range s.plan.dependencies(u) {
		s.path = append(s.path, p)
		if s.state[p.unit] == inProgress {
			s.cycle(p.unit)
		}
		s.visit(p.unit)
		s.path = s.path[:len(s.path)-1]
	}
	s.visitReceivers(u)
	s.state[u] = done
	s.sorted = append(s.sorted, u)
}

// visitReceivers visits the receivers of the channels that a unit sends to, which are
// preferred predecessors: they then stop later than it.
func (s *sorter) visitReceivers(u *unit) {
	path := s.path
	for _, c := range u.sends {
		for _, r := range c.receivers {
			if u.plugin == r.plugin && !s.needsOneInProgress(r, make(map[*unit]bool)) {
				s.path = nil
				s.visit(r)
			}
		}
	}
	s.path = path
}

// needsOneInProgress reports whether u cannot start before a unit that is being
// visited. Then a preference must not order u first.
func (s *sorter) needsOneInProgress(u *unit, seen map[*unit]bool) bool {
	if s.state[u] == inProgress {
		return true
	}
	if seen[u] || s.state[u] == done {
		return false
	}
	seen[u] = true
	return slices.ContainsFunc(s.plan.dependencies(u), func(p provider) bool { return s.needsOneInProgress(p.unit, seen) })
}

// cycle reports the cycle that the path closes.
func (s *sorter) cycle(to *unit) {
	start := 0
	for i, p := range s.path[:len(s.path)-1] {
		if p.unit == to {
			start = i + 1
		}
	}
	var b strings.Builder
	b.WriteString(to.name)
	for _, p := range s.path[start:] {
		fmt.Fprintf(&b, " → %s (%s)", p.unit.name, p.decl)
	}
	s.report.add("", nil, "modules need each other in a cycle, so none can start first: %s; replace one by an event, or move their common part into a separate module", b.String())
}
