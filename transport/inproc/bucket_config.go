package inproc

import (
	"cmp"
	"slices"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
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
	if c.Memory && !b.config.Memory {
		return transportdriver.CannotChange("Memory", false, true)
	}
	merged := merge(b.config, c)
	r, err := supported(merged)
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
	c.Mirror, c.Sources = want.Mirror, want.Sources
	c.Generation = want.Generation
	return &c
}

// supported returns an error for a setting that inproc does not support, and otherwise how
// to republish.
func supported(c *driver.Config) (*republish, error) {
	if c.Mirror != nil || len(c.Sources) > 0 {
		return nil, transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone,
			"inproc does not copy buckets: open the bucket to copy from instead, or use natsx")
	}
	return newRepublish(c)
}
