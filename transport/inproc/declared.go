package inproc

import (
	"slices"

	"gomono.dev/transport"
)

// declaration is a group in the LogConfig of a Transport. It must exist as long as the
// Transport is open.
type declaration struct {
	transport *Transport
	group     transport.GroupConfig
}

// declare takes the lock, and adds the groups of t. It recreates those deleted since the log
// was opened.
func (l *log) declare(t *Transport, groups []transport.GroupConfig) {
	l.lock()
	defer l.unlock()
	if !l.byInterest() {
		return
	}
	for _, g := range groups {
		l.groups.declare(declaration{t, g})
	}
}

func (gs *groups) declare(d declaration) {
	gs.declarations = slices.DeleteFunc(gs.declarations, func(was declaration) bool {
		return was.transport.closed.Load() || was.transport == d.transport && was.group.Name == d.group.Name
	})
	gs.declarations = append(gs.declarations, d)
	if gs.find(d.group.Name) == nil {
		gs.recreate(d.group.Name)
	}
}

// recreate creates a deleted group again, if an open Transport declares it.
func (gs *groups) recreate(name string) {
	for _, d := range gs.declarations {
		if d.group.Name == name && !d.transport.closed.Load() {
			d.group.Start = transport.Start{New: true}
			gs.add(d.group)
			return
		}
	}
}
