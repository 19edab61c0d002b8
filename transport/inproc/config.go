package inproc

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// declared returns the part of a log's configuration that is kept.
func declared(c transport.LogConfig) transport.LogConfig {
	c.Subjects = slices.Clone(c.Subjects)
	c.Metadata = maps.Clone(c.Metadata)
	c.Groups, c.Update, c.Existing = nil, false, false
	return c
}

func declaredGroup(c transport.GroupConfig) transport.GroupConfig {
	c.Filter, c.Metadata = slices.Clone(c.Filter), updated(nil, c.Metadata)
	c.Update = false
	return c
}

// updated returns the metadata of a group after an update.
func updated(is, update map[string]string) map[string]string {
	m := make(map[string]string)
	maps.Copy(m, is)
	maps.Copy(m, update)
	maps.DeleteFunc(m, func(_, value string) bool { return value == "" })
	if len(m) == 0 {
		return nil
	}
	return m
}

// update creates what is missing of c, and changes what differs if changes is set. It
// finds all errors before it changes anything.
func (l *log) update(c transport.LogConfig, changes bool) error {
	l.lock()
	defer l.unlock()
	for i := range c.Groups {
		if err := l.checkGroup(&c.Groups[i]); err != nil {
			return err
		}
	}
	if changes {
		l.configure(c)
		l.enforce()
		l.tick()
	}
	for _, g := range c.Groups {
		l.setGroup(g)
	}
	return nil
}

// checkGroup returns an error for a setting of a group that cannot be changed.
func (l *log) checkGroup(c *transport.GroupConfig) error {
	g := l.group(c.Name)
	if g == nil || !g.changes(c) || g.config.Ordered == c.Ordered {
		return nil
	}
	return driver.About("group "+strconv.Quote(g.name), g.fixed())
}

// fixed returns the error for a change of Ordered.
func (g *group) fixed() error {
	return driver.CannotChange("Ordered", g.config.Ordered, !g.config.Ordered)
}

// changes reports whether c changes the group.
func (g *group) changes(c *transport.GroupConfig) bool {
	return c.Update && c.Generation >= g.config.Generation
}

func (l *log) group(name string) *group {
	for _, g := range l.groups {
		if g.config.Name == name {
			return g
		}
	}
	return nil
}

// ensureGroup finds, creates or changes the group of a member. A different value of
// Ordered is an error, whether the group is to be changed or not.
func (l *log) ensureGroup(c transport.GroupConfig) (*group, error) {
	if g := l.group(c.Name); g != nil && g.config.Ordered != c.Ordered {
		return nil, g.fixed()
	}
	return l.setGroup(c), nil
}

func (l *log) setGroup(c transport.GroupConfig) *group {
	g := l.group(c.Name)
	if g == nil {
		return l.addGroup(c)
	}
	if g.changes(&c) {
		c.Metadata = updated(g.config.Metadata, c.Metadata)
		g.update(declaredGroup(c))
	}
	return g
}

// update changes the group in place. Its deliveries in flight stay with it, even if its
// filter no longer matches them.
func (g *group) update(c transport.GroupConfig) {
	c.Start = g.config.Start
	refiltered := !slices.Equal(g.config.Filter, c.Filter)
	g.config = c
	if !refiltered {
		return
	}
	g.log.epoch++
	for _, n := range g.lines {
		g.settleCursor(n)
	}
	g.count()
	g.log.removeSettled()
	g.offer()
}

// deleteGroup ends a group and its members. A declared group is recreated.
func (l *log) deleteGroup(name string) error {
	l.lock()
	defer l.unlock()
	g := l.group(name)
	if g == nil {
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such group")
	}
	g.gone = true
	l.groups = slices.DeleteFunc(l.groups, func(other *group) bool { return other == g })
	l.epoch++
	for _, m := range slices.Clone(g.members) {
		m.deleted(transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "%s was deleted", g))
	}
	l.removeSettled()
	l.recreate(name)
	return nil
}

// pauseGroup pauses a group, or resumes it.
func (l *log) pauseGroup(name string, until time.Time) error {
	l.lock()
	defer l.unlock()
	g := l.group(name)
	if g == nil {
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such group")
	}
	g.paused = l.backend.clock.at(until)
	l.alarm.set(g.due(), l.now)
	g.offer()
	return nil
}

// String returns the name of the group for errors.
func (g *group) String() string { return fmt.Sprintf("group %q of log %q", g.name, g.log.name) }
