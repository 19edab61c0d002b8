package inproc

import (
	"cmp"
	"slices"

	"gomono.dev/kv/driver"
	transportdriver "gomono.dev/transport/driver"
)

// configure sets the settings. They are never changed in place.
func (b *bucket) configure(c *driver.Config) {
	is := *c
	is.Existing = false
	is.History, is.Replicas = cmp.Or(c.History, 1), cmp.Or(c.Replicas, 1)
	if c.Placement != nil {
		is.Placement = &driver.Placement{Cluster: c.Placement.Cluster, Tags: slices.Clone(c.Placement.Tags)}
	}
	if c.Republish != nil {
		r := *c.Republish
		is.Republish = &r
	}
	if c.Mirror != nil {
		m := *c.Mirror
		is.Mirror = &m
	}
	is.Sources = slices.Clone(c.Sources)
	b.config = &is
	b.settings.Store(b.config)
}

// update changes the settings to those of c, unless the bucket's generation is newer.
func (b *bucket) update(c *driver.Config) error {
	b.lock()
	defer b.unlock()
	if c.Generation < b.config.Generation {
		return nil
	}
	if err := unchangeable(b.config, c); err != nil {
		return err
	}
	merged := merge(b.config, c)
	r, err := newRepublish(merged)
	if err == nil {
		err = b.backend.checkOrigins(merged)
	}
	if err != nil {
		return err
	}
	b.configure(merged)
	b.republish, b.changed = r, b.now
	for _, k := range b.keys {
		for k.count > b.config.History {
			b.remove(k.oldest)
		}
	}
	b.expire()
	return nil
}

// merge returns is with the settings of want that are not zero.
func merge(is, want *driver.Config) *driver.Config {
	c := *is
	c.Description = cmp.Or(want.Description, is.Description)
	c.History = cmp.Or(want.History, is.History)
	c.TTL = cmp.Or(want.TTL, is.TTL)
	c.MaxValue = cmp.Or(want.MaxValue, is.MaxValue)
	c.MaxBytes = cmp.Or(want.MaxBytes, is.MaxBytes)
	c.Replicas = cmp.Or(want.Replicas, is.Replicas)
	c.Compressed = want.Compressed || is.Compressed
	c.Placement = cmp.Or(want.Placement, is.Placement)
	c.Republish = cmp.Or(want.Republish, is.Republish)
	if len(want.Sources) > 0 {
		c.Sources = slices.Clone(want.Sources)
	}
	c.Generation = want.Generation
	return &c
}

// unchangeable returns an error for a setting that cannot be changed to that of want.
func unchangeable(is, want *driver.Config) error {
	mirrored := func(m *driver.Source) any {
		if m == nil {
			return "none"
		}
		return *m
	}
	switch {
	case want.Memory && !is.Memory:
		return transportdriver.CannotChange("Memory", false, true)
	case want.Mirror != nil && (is.Mirror == nil || *is.Mirror != *want.Mirror):
		return transportdriver.CannotChange("Mirror", mirrored(is.Mirror), *want.Mirror)
	case len(want.Sources) > 0 && is.Mirror != nil:
		return transportdriver.CannotChange("Mirror", *is.Mirror, "none, but Sources")
	}
	return nil
}
