package inproc

import (
	"maps"
	"slices"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// copying copies the records of a bucket, the origin, into another one. It ignores the limits
// of that bucket.
//
// The lock of the other bucket guards it. The lock of an origin is always taken first. There is
// such an order because no bucket copies itself, directly or through others.
type copying struct {
	to     *bucket
	from   driver.Source
	mirror bool            // keep revisions and times
	last   uint64          // the last revision that was received
	queue  []*bucketRecord // received, and not yet copied
}

// origins returns what a bucket copies from.
func origins(c *driver.Config) []driver.Source {
	if c.Mirror != nil {
		return []driver.Source{*c.Mirror}
	}
	return c.Sources
}

// receive takes a record of the origin, whose lock is held.
func (c *copying) receive(r *bucketRecord) {
	c.Lock()
	defer c.Unlock()
	if r.Revision <= c.last || c.from.Keys != "" && !transport.Match(c.from.Keys, r.Key) {
		return
	}
	c.last = r.Revision
	c.queue = append(c.queue, r)
	c.work()
}

// work copies what was received.
func (c *copying) work() {
	for len(c.queue) > 0 && !c.to.backend.scheduled(c) {
		c.copy()
	}
}

// copy copies the first record. If a value with a TTL has expired in both buckets, one marker
// is enough, unless the revisions have to be equal.
func (c *copying) copy() {
	r, b := c.queue[0], c.to
	c.queue = c.queue[1:]
	if k := b.keys[r.Key]; b.deleted || !c.mirror && r.Op == driver.Expire && k != nil && k.newest.Op == driver.Expire {
		return
	}
	at := b.now
	b.before = b.last
	if c.mirror {
		b.last, at = r.Revision-1, r.stored
	}
	made := &bucketRecord{Record: driver.Record{Op: r.Op, TTL: r.TTL, Header: r.Header, Value: r.Value, Size: r.Size}}
	b.add(r.Key, made, at, b.kept(r.Op, r.TTL))
	b.wake()
}

// Lock implements [engine.Source].
func (c *copying) Lock() { c.to.lock() }

// Unlock implements [engine.Source].
func (c *copying) Unlock() { c.to.unlock() }

// Next implements [engine.Source].
func (c *copying) Next() (engine.Step, int) {
	if len(c.queue) == 0 || c.to.deleted {
		return engine.Step{}, 0
	}
	r := c.queue[0]
	return engine.Step{Action: engine.Copy, Bucket: c.to.name, Key: r.Key, Sequence: r.Revision}, 1
}

// Take implements [engine.Source].
func (c *copying) Take(int) engine.Step {
	s, _ := c.Next()
	c.copy()
	c.work()
	return s
}

// link makes a bucket copy from the origins in its settings, and from no others. Records that it
// has copied stay. The lock of the Backend is held.
func (b *Backend) link(to *bucket) {
	wanted := origins(to.settings.Load())
	had := to.copying
	to.copying = nil
	for _, from := range wanted {
		if i := slices.IndexFunc(had, func(c *copying) bool { return c.from == from }); i >= 0 {
			to.copying = append(to.copying, had[i])
			had = slices.Delete(had, i, i+1)
			continue
		}
		c := &copying{to: to, from: from, mirror: to.settings.Load().Mirror != nil}
		to.copying = append(to.copying, c)
		b.begin(c)
	}
	for _, c := range had {
		b.end(c)
	}
}

// begin copies the records that the origin has, and all later ones. It does nothing if the origin
// does not exist yet. The lock of the Backend is held.
func (b *Backend) begin(c *copying) {
	origin := b.buckets[c.from.Bucket]
	if origin == nil {
		return
	}
	origin.lock()
	defer origin.unlock()
	origin.copies = append(origin.copies, c)
	for _, s := range origin.records.slots {
		if s.record != nil {
			c.receive(s.record)
		}
	}
}

// end copies nothing more. The lock of the Backend is held.
func (b *Backend) end(c *copying) {
	if origin := b.buckets[c.from.Bucket]; origin != nil {
		origin.lock()
		defer origin.unlock()
		origin.copies = slices.DeleteFunc(origin.copies, func(other *copying) bool { return other == c })
	}
}

// linkCopies makes the buckets that wait for a new origin copy from it. The lock of the Backend
// is held.
func (b *Backend) linkCopies(origin *bucket) {
	for _, name := range slices.Sorted(maps.Keys(b.buckets)) {
		for _, c := range b.buckets[name].copying {
			if c.from.Bucket == origin.name {
				b.begin(c)
			}
		}
	}
}

// checkOrigins returns an error if a bucket cannot copy from its origins. The lock of the Backend
// is held.
func (b *Backend) checkOrigins(c *driver.Config) error {
	all := origins(c)
	for i, from := range all {
		switch {
		case from.Domain != "":
			return transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone,
				"inproc has no JetStream domains: leave %q out, or use natsx", from.Domain)
		case slices.Contains(all[:i], from):
			return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "it has the source %s twice: name it once", from)
		case b.leads(from.Bucket, c.Name, map[string]bool{}):
			return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
				"it would copy itself, because %s copies from it: leave this source out", from)
		}
	}
	return nil
}

// leads reports whether a bucket is another one, or copies from it, directly or through others.
func (b *Backend) leads(from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	is := b.buckets[from]
	if is == nil || seen[from] {
		return false
	}
	seen[from] = true
	return slices.ContainsFunc(is.copying, func(c *copying) bool { return b.leads(c.from.Bucket, to, seen) })
}
