package testkit

import (
	"slices"
)

// usedHandles lists the handles that modules of any program use.
func (h *Harness) usedHandles() []string {
	var all []string
	for _, p := range h.allPrograms() {
		for _, k := range p.topology.handles() {
			all = append(all, k.String())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// moduleNames lists the modules of all programs that use a handle.
func (h *Harness) moduleNames() []string {
	var all []string
	for _, p := range h.allPrograms() {
		all = append(all, p.topology.moduleNames()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// uses reports whether a module of any program uses a handle.
func (h *Harness) uses(k handleKey) bool {
	return slices.ContainsFunc(h.allPrograms(), func(p *Program) bool { return p.topology.uses(k) })
}

// isStored reports whether any program keeps the messages of a handle until they are handled.
func (h *Harness) isStored(k handleKey) bool {
	return slices.ContainsFunc(h.allPrograms(), func(p *Program) bool { return p.topology.uses(k) && p.topology.isStored(k) })
}

// provider returns the module that provides a service to a process, of its own program if
// possible.
func (h *Harness) provider(of *process, k handleKey) string {
	return h.lookUp(of, func(t *topology) string { return t.provider(k) })
}

// member returns the module of a process that receives in a group of a handle.
func (h *Harness) member(of *process, k handleKey, group string) string {
	return h.lookUp(of, func(t *topology) string { return t.member(k, group) })
}

// prefix is the namespace of the programs, or "".
func (h *Harness) prefix() string {
	return h.lookUp(nil, func(t *topology) string { return t.prefix() })
}

// lookUp asks the program of a process, which may be nil, and then the others. It returns the
// first answer that is not "".
func (h *Harness) lookUp(of *process, answer func(*topology) string) string {
	if of != nil {
		if found := answer(&of.program().topology); found != "" {
			return found
		}
	}
	for _, p := range h.allPrograms() {
		if found := answer(&p.topology); found != "" {
			return found
		}
	}
	return ""
}
