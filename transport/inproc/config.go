package inproc

import (
	"maps"
	"slices"

	"gomono.dev/transport"
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

// update takes the lock, creates what is missing of c, and changes what differs if changes
// is set. It finds all errors before it changes anything.
func (l *log) update(c transport.LogConfig, changes bool) error {
	l.lock()
	defer l.unlock()
	for i := range c.Groups {
		if err := l.groups.check(&c.Groups[i]); err != nil {
			return err
		}
	}
	if changes {
		l.configure(c)
		l.enforce()
		l.tick()
	}
	for _, g := range c.Groups {
		l.groups.set(g)
	}
	return nil
}
