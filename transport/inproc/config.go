package inproc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gomono.dev/transport"
)

// declared returns the part of a log's configuration that is kept, with its defaults.
func declared(c transport.LogConfig) transport.LogConfig {
	c.DedupWindow = c.Window()
	c.Subjects = slices.Clone(c.Subjects)
	c.Metadata = maps.Clone(c.Metadata)
	c.Groups, c.Update = nil, false
	return c
}

func declaredGroup(c transport.GroupConfig) transport.GroupConfig {
	if c.AckWait == 0 {
		c.AckWait = transport.DefaultAckWait
	}
	c.Filter = slices.Clone(c.Filter)
	c.Update = false
	return c
}

// groupInfos returns the states of the groups, by name.
func (l *log) groupInfos() []transport.GroupInfo {
	l.lock()
	defer l.unlock()
	var infos []transport.GroupInfo
	for _, g := range l.groups {
		infos = append(infos, g.info())
	}
	slices.SortFunc(infos, func(a, b transport.GroupInfo) int { return strings.Compare(a.Config.Name, b.Config.Name) })
	return infos
}

// update creates what is missing of c, and changes what differs if changes is set. It
// finds all errors before it changes anything.
func (l *log) update(c transport.LogConfig, changes bool) error {
	l.lock()
	defer l.unlock()
	if changes {
		if err := l.checkFixed(&c); err != nil {
			return err
		}
	}
	groups := slices.Clone(c.Groups)
	for i := range groups {
		groups[i].Update = groups[i].Update || c.Update
		if err := l.checkGroup(&groups[i]); err != nil {
			return err
		}
	}
	if changes {
		l.configure(c)
		l.enforce()
		l.tick()
	}
	for _, g := range groups {
		l.setGroup(g)
	}
	return nil
}

// checkFixed returns an error for a setting that cannot be changed.
func (l *log) checkFixed(c *transport.LogConfig) error {
	for _, s := range []struct{ name, is, want string }{
		{"Storage", l.config.Storage.String(), c.Storage.String()},
		{"Retention", l.config.Retention.String(), c.Retention.String()},
		{"Lanes", fmt.Sprint(l.config.Lanes), fmt.Sprint(c.Lanes)},
	} {
		if s.is != s.want {
			return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
				"log %q: %s is %s and cannot be changed to %s: declare the existing value, or create a log of another name and move the messages", c.Name, s.name, s.is, s.want)
		}
	}
	return nil
}

// checkGroup returns an error for a setting of a group that cannot be changed.
func (l *log) checkGroup(c *transport.GroupConfig) error {
	g := l.group(c.Name)
	if g == nil || !g.changes(c) || g.config.Ordered == c.Ordered {
		return nil
	}
	return g.fixed(c)
}

// fixed returns the error for a change of Ordered.
func (g *group) fixed(c *transport.GroupConfig) error {
	return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
		"%s: Ordered is %t and cannot be changed to %t: declare the existing value, or use a group of another name", g, g.config.Ordered, c.Ordered)
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
		return nil, g.fixed(&c)
	}
	return l.setGroup(c), nil
}

func (l *log) setGroup(c transport.GroupConfig) *group {
	g := l.group(c.Name)
	if g == nil {
		return l.addGroup(c)
	}
	if g.changes(&c) {
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
	for _, n := range g.lanes {
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
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "log %q has no group %q to delete", l.name, name)
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

// String returns the name of the group for errors.
func (g *group) String() string { return fmt.Sprintf("group %q of log %q", g.name, g.log.name) }
