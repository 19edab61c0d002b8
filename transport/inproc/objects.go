package inproc

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync/atomic"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
	transportdriver "gomono.dev/transport/driver"
)

// objects is the [driver.Stores] of a Transport.
type objects struct{ transport *Transport }

var _ driver.Backend = (*Transport)(nil)

// Objects returns the Backend's stores of objects, for package objstore. They outlive the
// Transport. Memory, Replicas, Compressed and Placement have no effect.
func (t *Transport) Objects() driver.Stores { return objects{t} }

// Open implements [driver.Stores].
func (s objects) Open(ctx context.Context, c *driver.Config) (driver.Store, error) {
	if err := s.transport.ready(ctx); err != nil {
		return nil, err
	}
	o, err := s.transport.backend.openObjects(c)
	if err != nil {
		return nil, err
	}
	return newObjectHandle(s.transport, o), nil
}

// List implements [driver.Stores].
func (s objects) List(ctx context.Context) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		for _, o := range s.transport.backend.allObjects() {
			if s.transport.ready(ctx) != nil {
				break
			}
			o.lock()
			info, deleted := o.info(), o.entries.deleted
			o.unlock()
			if !deleted && !yield(info, nil) {
				return
			}
		}
		if err := s.transport.ready(ctx); err != nil {
			yield(driver.Info{}, err)
		}
	}
}

// Delete implements [driver.Stores].
func (s objects) Delete(ctx context.Context, name string) error {
	if err := s.transport.ready(ctx); err != nil {
		return err
	}
	b := s.transport.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	doomed := b.objects[name]
	if doomed == nil {
		return errNoObjects
	}
	delete(b.objects, name)
	doomed.entries.delete()
	return nil
}

var errNoObjects = transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "the store does not exist: open it first")

// allObjects returns all stores, in the order of their names.
func (b *Backend) allObjects() (all []*objectStore) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(b.objects)) {
		all = append(all, b.objects[name])
	}
	return all
}

// openObjects opens or creates the store that c describes, and updates it.
func (b *Backend) openObjects(c *driver.Config) (*objectStore, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.objects[c.Name]
	switch {
	case o != nil && c.Existing:
		return o, nil
	case o != nil:
		return o, o.update(c)
	case c.Existing:
		return nil, errNoObjects
	}
	o = newObjectStore(b, c)
	b.objects[c.Name] = o
	return o, nil
}

// objectStore is a stored store of objects. The lock of its entries guards all of it, and
// their bytes include those of the chunks.
type objectStore struct {
	settings atomic.Pointer[driver.Config]
	entries  *bucket
	uploads  map[string]*objectUpload
	last     uint64 // the highest sequence of a chunk
	due      int64  // no chunk expires earlier
}

// objectUpload holds the chunks of an upload, in the order of their sequences.
type objectUpload struct{ chunks []objectChunk }

type objectChunk struct {
	driver.Chunk
	stored  int64
	expires int64 // by its own TTL
}

func newObjectStore(b *Backend, c *driver.Config) *objectStore {
	o := &objectStore{uploads: make(map[string]*objectUpload), due: never}
	o.entries = newBucket(b, entriesOf(c), nil)
	o.configure(c)
	return o
}

// entriesOf returns the settings of the bucket of a store's entries.
func entriesOf(c *driver.Config) *kv.Config {
	return &kv.Config{Name: c.Name, History: 1, TTL: c.TTL, MaxBytes: c.MaxBytes}
}

func (o *objectStore) configure(c *driver.Config) {
	is := *c
	is.Existing = false
	is.Replicas = cmp.Or(c.Replicas, 1)
	is.Metadata = maps.Clone(c.Metadata)
	if p := c.Placement; p != nil {
		is.Placement = &kv.Placement{Cluster: p.Cluster, Tags: slices.Clone(p.Tags)}
	}
	o.settings.Store(&is)
}

// check returns an error for a setting that cannot be changed to that of c.
func (o *objectStore) check(c *driver.Config) error {
	if is := o.settings.Load(); c.Memory && !is.Memory && c.Generation >= is.Generation {
		return transportdriver.CannotChange("Memory", false, true)
	}
	return nil
}

// update changes the settings to those of c, unless the store's generation is newer.
func (o *objectStore) update(c *driver.Config) error {
	o.lock()
	defer o.unlock()
	is := *o.settings.Load()
	if c.Generation < is.Generation {
		return nil
	}
	if err := o.check(c); err != nil {
		return err
	}
	is.Description = cmp.Or(c.Description, is.Description)
	is.TTL, is.MaxBytes = cmp.Or(c.TTL, is.TTL), cmp.Or(c.MaxBytes, is.MaxBytes)
	is.Replicas = cmp.Or(c.Replicas, is.Replicas)
	is.Compressed = c.Compressed || is.Compressed
	is.Placement = cmp.Or(c.Placement, is.Placement)
	is.Generation = c.Generation
	if c.Metadata != nil {
		is.Metadata = c.Metadata
	}
	o.configure(&is)
	o.entries.configure(entriesOf(&is))
	o.due = 0
	o.entries.expire()
	return nil
}

func (o *objectStore) lock() {
	o.entries.lock()
	if now := o.entries.now; o.due <= now {
		o.expire(now)
	}
}

func (o *objectStore) unlock() { o.entries.unlock() }

func (o *objectStore) info() driver.Info {
	return driver.Info{Config: *o.settings.Load(), Bytes: o.entries.bytes, Sealed: o.entries.sealed, Expires: true, Batches: true}
}

// expire removes the chunks that have expired, and notes when the next one does.
func (o *objectStore) expire(now int64) {
	o.due = never
	for id, u := range o.uploads {
		u.chunks = slices.DeleteFunc(u.chunks, func(c objectChunk) bool {
			at := o.expiryOf(&c)
			if at <= now {
				o.entries.bytes -= c.size(id)
				return true
			}
			o.due = min(o.due, at)
			return false
		})
		if len(u.chunks) == 0 {
			delete(o.uploads, id)
		}
	}
}

// expiryOf returns when a chunk expires.
func (o *objectStore) expiryOf(c *objectChunk) int64 {
	if ttl := o.entries.config.TTL; ttl > 0 {
		return min(c.expires, after(c.stored, ttl))
	}
	return c.expires
}

func (c *objectChunk) size(upload string) uint64 { return bucketSize(upload, c.Header, len(c.Data)) }

// lastOf returns the sequence of an upload's last chunk, 0 if there is none.
func (o *objectStore) lastOf(upload string) uint64 {
	u := o.uploads[upload]
	if u == nil {
		return 0
	}
	return u.chunks[len(u.chunks)-1].Sequence
}

// append stores a chunk after the one with the sequence last.
func (o *objectStore) append(upload string, last uint64, c *driver.Chunk) (uint64, error) {
	if err := o.checkChunk(upload, last, c); err != nil {
		return 0, err
	}
	b := o.entries
	o.last++
	stored := objectChunk{Chunk: *c, stored: b.now, expires: never}
	stored.Sequence, stored.Created = o.last, b.backend.clock.time(b.now)
	stored.Header, stored.Data = slices.Clone(c.Header), cloneValue(c.Data)
	if c.TTL > 0 {
		stored.expires = after(b.now, c.TTL)
	}
	u := o.uploads[upload]
	if u == nil {
		u = &objectUpload{}
		o.uploads[upload] = u
	}
	u.chunks = append(u.chunks, stored)
	b.bytes += stored.size(upload)
	o.due = min(o.due, o.expiryOf(&stored))
	return o.last, nil
}

// checkChunk returns an error for a chunk that cannot be stored.
func (o *objectStore) checkChunk(upload string, last uint64, c *driver.Chunk) error {
	b := o.entries
	if b.sealed {
		return errSealed
	}
	if is := o.lastOf(upload); is != last {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"the upload ends at %d, expected %d: its chunks were removed, or another writer continues it", is, last)
	}
	m := transport.Message{Header: c.Header, Body: c.Data}
	if err := m.CheckSize(b.backend.maxPayload); err != nil {
		return err
	}
	if limit := b.config.MaxBytes; limit > 0 && b.bytes+bucketSize(upload, c.Header, len(c.Data)) > uint64(limit) {
		return errStoreFull
	}
	return nil
}

var (
	errStoreFull = transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone,
		"the store is full: it has as many bytes as MaxBytes allows: delete objects, or raise the limit")
	errSealed = transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "the store is sealed, and read-only")
)

// commit stores a last chunk, if there is one, and an entry, or none.
func (o *objectStore) commit(upload string, last uint64, c *driver.Chunk, entry kv.Write) (uint64, error) {
	b := o.entries
	if err := b.check(&entry); err != nil {
		return 0, err
	}
	need := bucketSize(entry.Key, entry.Header, len(entry.Value))
	if c == nil {
		if is := o.lastOf(upload); is != last {
			return 0, o.checkChunk(upload, last, &driver.Chunk{})
		}
	} else {
		if err := o.checkChunk(upload, last, c); err != nil {
			return 0, err
		}
		need += bucketSize(upload, c.Header, len(c.Data))
	}
	if limit := b.config.MaxBytes; limit > 0 && b.bytes+need > uint64(limit)+b.displaced(&entry) {
		return 0, errStoreFull
	}
	if c != nil {
		if _, err := o.append(upload, last, c); err != nil {
			return 0, err
		}
	}
	return b.put([]kv.Write{entry})
}

// remove deletes the chunks of an upload from a sequence on.
func (o *objectStore) remove(upload string, from uint64) {
	u := o.uploads[upload]
	if u == nil {
		return
	}
	kept := u.index(from)
	for i := kept; i < len(u.chunks); i++ {
		o.entries.bytes -= u.chunks[i].size(upload)
	}
	clear(u.chunks[kept:])
	if u.chunks = u.chunks[:kept]; kept == 0 {
		delete(o.uploads, upload)
	}
}

// index returns the index of the first chunk at or after a sequence.
func (u *objectUpload) index(from uint64) int {
	i, _ := slices.BinarySearchFunc(u.chunks, from, func(c objectChunk, from uint64) int { return cmp.Compare(c.Sequence, from) })
	return i
}
