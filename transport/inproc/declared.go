package inproc

import (
	"slices"

	"gomono.dev/transport"
)

// declaration is a group that a Transport has named when it opened a log. Under
// InterestRetention the group is made again for as long as the Transport is open.
type declaration struct {
	transport *Transport
	group     transport.GroupConfig
}

// declare notes the groups that t names, and makes one that somebody has deleted since
// the log was opened.
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
			l.remake(g.Name)
		}
	}
}

// remake makes a group again that was deleted, if a Transport that is open names it.
func (l *log) remake(name string) {
	for _, d := range l.declarations {
		if d.group.Name == name && !d.transport.closed.Load() {
			d.group.Start = transport.Start{New: true}
			l.addGroup(d.group)
			return
		}
	}
}
