package testkit

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"gomono.dev/transport"
)

// programs are the programs of a Harness, in the order of their declaration.
type programs []*Program

// allPrograms returns the programs so far.
func (h *Harness) allPrograms() programs {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.programs[:len(h.programs):len(h.programs)]
}

// live returns the running processes, one of each program.
func (ps programs) live() []*process {
	var all []*process
	for _, program := range ps {
		if p := program.live(); p != nil {
			all = append(all, p)
		}
	}
	return all
}

// usedHandles lists the handles that modules of any program use.
func (ps programs) usedHandles() []string {
	var all []string
	for _, p := range ps {
		for _, k := range p.topology.handles() {
			all = append(all, k.String())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// moduleNames lists the modules of all programs that use a handle.
func (ps programs) moduleNames() []string {
	var all []string
	for _, p := range ps {
		all = append(all, p.topology.moduleNames()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// uses reports whether a module of any program uses a handle.
func (ps programs) uses(k handleKey) bool {
	return slices.ContainsFunc(ps, func(p *Program) bool { return p.topology.uses(k) })
}

// isStored reports whether any program keeps the messages of a handle until they are handled.
func (ps programs) isStored(k handleKey) bool {
	return slices.ContainsFunc(ps, func(p *Program) bool { return p.topology.uses(k) && p.topology.isStored(k) })
}

// provider returns the module that provides a service to a process, of its own program if
// possible.
func (ps programs) provider(of *process, k handleKey) string {
	return ps.lookUp(of, func(t *topology) string { return t.provider(k) })
}

// member returns the module of a process that receives in a group of a handle.
func (ps programs) member(of *process, k handleKey, group string) string {
	return ps.lookUp(of, func(t *topology) string { return t.member(k, group) })
}

// prefix is the namespace of the programs, or "".
func (ps programs) prefix() string {
	return ps.lookUp(nil, func(t *topology) string { return t.prefix() })
}

// lookUp asks the program of a process, which may be nil, and then the others. It returns the
// first answer that is not "".
func (ps programs) lookUp(of *process, answer func(*topology) string) string {
	if of != nil {
		if found := answer(&of.program().topology); found != "" {
			return found
		}
	}
	for _, p := range ps {
		if found := answer(&p.topology); found != "" {
			return found
		}
	}
	return ""
}

// eachGroup calls f with the state of every group of the stored handles that modules of any
// program consume, running or not.
func (ps programs) eachGroup(tr transport.Transport, f func(handleKey, transport.GroupInfo, error)) {
	consumed := ps.consumed()
	for _, subject := range slices.Sorted(maps.Keys(consumed)) {
		k := consumed[subject]
		groups, err := groupsOf(tr, subject)
		if err != nil {
			f(k, transport.GroupInfo{}, err)
		}
		for _, g := range groups {
			f(k, g, nil)
		}
	}
}

// consumed returns the stored handles that modules consume, by subject.
func (ps programs) consumed() map[string]handleKey {
	consumed := make(map[string]handleKey)
	for _, p := range ps {
		for _, d := range p.describe().Handles {
			k := handleKey{d.Kind, cmp.Or(d.Settings["Formerly"], d.Name)}
			if len(d.Consumes) > 0 && p.topology.isStored(k) {
				subject, _, _ := strings.Cut(d.Subject, "._k")
				consumed[subject] = k
			}
		}
	}
	return consumed
}

// groupsOf returns the state of the groups of a stored handle.
func groupsOf(tr transport.Transport, subject string) ([]transport.GroupInfo, error) {
	log, err := tr.Log(context.Background(), transport.LogConfig{Name: strings.ReplaceAll(subject, ".", "_"), Subjects: []string{subject}})
	if err != nil {
		return nil, err
	}
	return log.Groups(context.Background())
}
