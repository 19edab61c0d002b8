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

// declare adds the groups of t. It recreates those deleted since the log was opened.
func (l *log) declare(t *Transport, groups []transport.GroupConfig) {
	l.lock()
	defer l.unlock()
	if l.config.Retention != transport.InterestRetention {
		return
	}
	for _, g := range groups {
		l.declarations = slices.DeleteFunc(l.declarations, func(d declaration) bool {
			return d.transport.closed.Load() || d.transport == t && d.group.Name == g.Name
		})
		l.declarations = append(l.declarations, declaration{t, g})
		if l.group(g.Name) == nil {
			l.recreate(g.Name)
		}
	}
}

// recreate creates a deleted group again, if an open Transport declares it.
func (l *log) recreate(name string) {
	for _, d := range l.declarations {
		if d.group.Name == name && !d.transport.closed.Load() {
			d.group.Start = transport.Start{New: true}
			l.addGroup(d.group)
			return
		}
	}
}
