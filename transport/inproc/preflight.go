package inproc

import (
	"context"
	"slices"

	kv "gomono.dev/kv/driver"
	objstore "gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// Preflight implements [transport.Preflighter]. This backend has no limits and denies nothing,
// so only logs, buckets and stores that exist can be findings.
func (c conn) Preflight(ctx context.Context, needs []transport.Need) (transport.Preflight, error) {
	result := transport.Preflight{Logs: make(map[string]transport.ExistingLog)}
	for _, n := range needs {
		if n.Log != nil {
			l, err := c.t.backend.checkLog(n.Log, n.Groups)
			if err != nil && !n.Log.Existing {
				result.Findings = append(result.Findings, driver.Finding(n.Object, "the log "+n.Log.Name, err))
			}
			if l != nil {
				h := newHandle(c.t, l)
				info, _ := h.Info(ctx) // neither fails
				groups, _ := h.Groups(ctx)
				result.Logs[n.Log.Name] = transport.ExistingLog{Info: info, Groups: groups}
			}
		}
		if err := c.t.backend.checkStored(n.Stored); err != nil {
			result.Findings = append(result.Findings, driver.Finding(n.Object, n.Object, err))
		}
	}
	return result, nil
}

// checkLog returns a log, if it exists, and the error of opening it and receiving with some of
// its groups.
func (b *Backend) checkLog(c *transport.LogConfig, receives []string) (*log, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.logs[c.Name]
	switch {
	case l == nil && c.Existing:
		return nil, nil
	case l == nil:
		return nil, b.checkSubjects(c)
	}
	changes, err := driver.ChangesLog(l.settings.Load(), c)
	if err == nil && changes {
		err = b.checkSubjects(c)
	}
	if err == nil {
		l.lock()
		err = l.groups.preflight(c.Groups, receives)
		l.unlock()
	}
	return l, err
}

// preflight returns an error for a group with a setting that cannot be changed.
func (gs *groups) preflight(configs []transport.GroupConfig, receives []string) error {
	for i := range configs {
		c := &configs[i]
		err := gs.check(c)
		if g := gs.find(c.Name); err == nil && g != nil && g.config.Ordered != c.Ordered && slices.Contains(receives, c.Name) {
			err = g.cannotChange()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkStored returns the error of opening a bucket or a store.
func (b *Backend) checkStored(config any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch c := config.(type) {
	case *kv.Config:
		return b.checkBucket(c)
	case *objstore.Config:
		is := b.objects[c.Name]
		switch {
		case is == nil && c.Existing:
			return errNoObjects
		case is != nil && !c.Existing:
			return is.check(c)
		}
	}
	return nil
}

func (b *Backend) checkBucket(c *kv.Config) error {
	is := b.buckets[c.Name]
	switch {
	case is == nil && c.Existing:
		return errNoBucket
	case is != nil && (c.Existing || c.Generation < is.settings.Load().Generation):
		return nil
	case is != nil:
		if err := unchangeable(is.settings.Load(), c); err != nil {
			return err
		}
		c = merge(is.settings.Load(), c)
	}
	_, err := newRepublish(c)
	if err == nil {
		err = b.checkOrigins(c)
	}
	return err
}
