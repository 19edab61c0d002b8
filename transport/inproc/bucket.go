package inproc

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// bucket is a stored bucket.
//
// One lock guards all of it. Its holder never blocks and never calls code of others.
// Taking the lock first removes what has expired. So the state of a bucket depends only
// on the times of its writes, and not on when a timer fires.
type bucket struct {
	backend  *Backend
	name     string
	settings atomic.Pointer[driver.Config] // config, for readers without the lock

	mu      sync.Mutex
	now     int64 // when the lock was taken
	config  *driver.Config
	deleted bool
	sealed  bool // the bucket is read-only: it has the entries of a sealed store of objects

	keys    map[string]*bucketKey
	records recordList
	last    uint64 // the highest revision ever assigned
	bytes   uint64
	changed int64 // when the last record was added, or the settings were changed

	expiry heap[*bucketRecord] // records with a TTL of their own
	due    int64               // nothing expires earlier
	alarm  alarm

	follows   map[*bucketFollow]struct{}
	lost      uint64 // the highest marker that was removed with its key
	before    uint64 // the highest revision before the last change
	republish *republish
	copies    []*copying // of this bucket into others

	copying []*copying // of others into this one; the lock of the Backend guards it
}

func newBucket(b *Backend, c *driver.Config, r *republish) *bucket {
	made := &bucket{
		backend:   b,
		name:      c.Name,
		keys:      make(map[string]*bucketKey),
		due:       never,
		follows:   make(map[*bucketFollow]struct{}),
		republish: r,
	}
	made.alarm = alarm{wake: made.awake, at: never}
	made.configure(c)
	return made
}

func (b *bucket) lock() {
	b.mu.Lock()
	b.now = b.backend.clock.now()
	if rang := b.alarm.due(b.now); rang || b.due <= b.now {
		b.expire()
	}
}

func (b *bucket) unlock() { b.mu.Unlock() }

// put stores all writes or none, and returns the revision of the last one.
func (b *bucket) put(writes []driver.Write) (uint64, error) {
	if err := b.checkWritable(); err != nil {
		return 0, err
	}
	for i := range writes {
		if err := b.check(&writes[i]); err != nil {
			return 0, err
		}
	}
	if !b.hasRoom(writes) {
		return 0, transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone,
			"it is full: it has as many bytes as MaxBytes allows: delete values, or raise the limit")
	}
	b.before = b.last
	for i := range writes {
		w := &writes[i]
		b.add(w.Key, newBucketRecord(w), b.now, b.kept(w.Op, w.TTL))
	}
	b.wake()
	return b.last, nil
}

// checkWritable returns an error for a mirror, which takes records from its origin only.
func (b *bucket) checkWritable() error {
	if m := b.config.Mirror; m != nil {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "the bucket is a mirror of %s: write to that one", m.Bucket)
	}
	return nil
}

// check returns an error for a value over the limits, or an Expect that does not hold.
func (b *bucket) check(w *driver.Write) error {
	if b.sealed {
		return errSealed
	}
	if limit := b.config.MaxValue; limit > 0 && len(w.Value) > limit {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone,
			"a value of %d bytes is over MaxValue, which is %d: store less, or raise the limit", len(w.Value), limit)
	}
	if err := b.backend.checkValue(w); err != nil || w.Expect == nil {
		return err
	}
	var is uint64
	if k := b.keys[w.Key]; k != nil {
		is = k.newest.Revision
	}
	if is == *w.Expect {
		return nil
	}
	return transport.Errorf(transport.Aborted, transport.OutcomeNotDone,
		"the newest revision is %d, expected %d: read the value and decide again", is, *w.Expect)
}

// checkValue returns an error for a value that no message of the Backend could carry.
func (b *Backend) checkValue(w *driver.Write) error {
	m := transport.Message{Header: w.Header, Body: w.Value}
	return m.CheckSize(b.maxPayload)
}

// hasRoom reports whether the bucket can hold the writes. One that is over its limit
// still accepts writes that do not make it larger.
func (b *bucket) hasRoom(writes []driver.Write) bool {
	if b.config.MaxBytes <= 0 {
		return true
	}
	var added, removed uint64
	for i := range writes {
		w := &writes[i]
		added += bucketSize(w.Key, w.Header, len(w.Value))
		removed += b.displaced(w)
	}
	return added <= removed || b.bytes+added-removed <= uint64(b.config.MaxBytes)
}

// displaced returns the bytes of the records that a write removes.
func (b *bucket) displaced(w *driver.Write) (bytes uint64) {
	k := b.keys[w.Key]
	if k == nil {
		return 0
	}
	r := k.oldest
	for range k.count - b.kept(w.Op, w.TTL) {
		bytes += r.size()
		r = r.newer
	}
	return bytes
}

// kept returns the maximum number of older records of a key that a new record keeps. It keeps
// none if it expires, so that none of them reappears.
func (b *bucket) kept(op driver.Op, ttl time.Duration) int {
	if op == driver.Purge || ttl > 0 {
		return 0
	}
	return b.config.History - 1
}

// add stores a record, and removes all but the given number of older ones of its key.
func (b *bucket) add(key string, r *bucketRecord, at int64, older int) {
	k := b.keys[key]
	if k == nil {
		k = &bucketKey{name: strings.Clone(key)}
		b.keys[k.name] = k
	}
	if b.backend.engine != nil {
		k.before = k.newest
	}
	b.last++
	b.changed = max(b.changed, at)
	r.Revision, r.stored, r.Created = b.last, b.changed, b.backend.clock.time(b.changed)
	k.link(r)
	b.records.add(r)
	b.bytes += r.size()
	b.expireLater(r)
	for k.count > older+1 {
		b.remove(k.oldest)
	}
	b.republish.publish(b, r)
	for _, c := range b.copies {
		c.receive(r)
	}
}

// remove deletes a record. Every removal goes through here.
func (b *bucket) remove(r *bucketRecord) {
	k := r.key
	k.unlink(r)
	b.records.remove(r)
	b.expiry.remove(r)
	b.bytes -= r.size()
	if k.count > 0 {
		return
	}
	delete(b.keys, k.name)
	if r.Op != driver.Put {
		b.lose(r)
	}
}

// removeUpTo deletes the records of a key up to a revision.
func (b *bucket) removeUpTo(key string, revision uint64) error {
	if err := b.checkWritable(); err != nil {
		return err
	}
	for k := b.keys[key]; k != nil && k.count > 0 && k.oldest.Revision <= revision; {
		b.remove(k.oldest)
	}
	return nil
}

// delete deletes all records, and ends the Scans and Follows.
func (b *bucket) delete() {
	b.lock()
	defer b.unlock()
	b.deleted = true
	b.keys, b.records, b.expiry, b.due = nil, recordList{}, nil, never
	b.alarm.stop()
	b.wake()
}

// info describes the bucket.
func (b *bucket) info() driver.Info {
	i := driver.Info{
		Config:  *b.config,
		Records: uint64(b.records.count),
		Bytes:   b.bytes,
		First:   b.last + 1,
		Last:    b.last,
		Now:     time.Now(),
		Expires: b.config.Mirror == nil,
		Batches: b.config.Mirror == nil,
	}
	if r := b.records.oldest(); r != nil {
		i.First = r.Revision
	}
	return i
}
