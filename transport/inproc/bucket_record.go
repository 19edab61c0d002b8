package inproc

import (
	"slices"
	"sort"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// bucketRecord is a stored record. Its driver.Record never changes, so it can be read
// without the lock of the bucket, even after its removal.
type bucketRecord struct {
	driver.Record
	key          *bucketKey
	stored       int64 // when it was created
	expires      int64 // by its own TTL
	older, newer *bucketRecord
	slot         int // in the recordList
	index        int // in the heap of expiries
}

// bucketKey is a key with at least one record.
type bucketKey struct {
	name           string
	oldest, newest *bucketRecord
	count          int
	first          uint64 // the revision since which it has had records
	before         *bucketRecord
}

// newBucketRecord returns a record with copies of what w holds.
func newBucketRecord(w *driver.Write) *bucketRecord {
	return &bucketRecord{Record: driver.Record{
		Op:     w.Op,
		TTL:    w.TTL,
		Header: slices.Clone(w.Header),
		Value:  cloneValue(w.Value),
		Size:   len(w.Value),
	}}
}

// copy returns a record that belongs to the caller. A short value is in the same allocation.
func (r *bucketRecord) copy(headersOnly bool) *driver.Record {
	var c struct {
		driver.Record
		value [shortValue]byte
	}
	c.Record = r.Record
	c.Header = slices.Clone(r.Header)
	switch n := len(r.Value); {
	case headersOnly:
		c.Value = nil
	case n <= shortValue:
		c.Value = append(c.value[:0:n], r.Value...)
	default:
		c.Value = cloneValue(r.Value)
	}
	return &c.Record
}

// shortValue is the maximum number of bytes of a short value.
const shortValue = 64

// cloneValue returns a copy that is not nil.
func cloneValue(value []byte) []byte { return append(make([]byte, 0, len(value)), value...) }

func (r *bucketRecord) before(other *bucketRecord) bool {
	return r.expires < other.expires || r.expires == other.expires && r.Revision < other.Revision
}

func (r *bucketRecord) place() *int { return &r.index }

func (r *bucketRecord) size() uint64 { return bucketSize(r.Key, r.Header, r.Size) }

// bucketSize returns the number of bytes that a record counts against MaxBytes, as a
// message of a log.
func bucketSize(key string, h transport.Header, value int) uint64 {
	n := len(key) + value + slotBytes
	if len(h) > 0 {
		n += metaSize("", h)
	}
	return uint64(n)
}

// link makes r the newest record of the key.
func (k *bucketKey) link(r *bucketRecord) {
	r.key, r.Key = k, k.name
	if k.count++; k.count == 1 {
		k.oldest, k.newest, k.first = r, r, r.Revision
		return
	}
	r.older, k.newest.newer = k.newest, r
	k.newest = r
}

func (k *bucketKey) unlink(r *bucketRecord) {
	k.count--
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		k.oldest = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		k.newest = r.older
	}
	r.older, r.newer = nil, nil
}

// recordList holds the records of a bucket in the order of revisions. A removed record
// leaves an empty slot, until most slots are empty.
type recordList struct {
	slots []recordSlot
	empty int // number of empty slots at the beginning
	count int
}

type recordSlot struct {
	revision uint64
	record   *bucketRecord // nil if it was removed
}

// minSlots is the number of slots below which empty ones are kept.
const minSlots = 64

func (l *recordList) add(r *bucketRecord) {
	r.slot = len(l.slots)
	l.slots = append(l.slots, recordSlot{r.Revision, r})
	l.count++
}

func (l *recordList) remove(r *bucketRecord) {
	l.slots[r.slot].record = nil
	if l.count--; len(l.slots) > minSlots && l.count < len(l.slots)/2 {
		l.compact()
	}
}

func (l *recordList) compact() {
	kept := make([]recordSlot, 0, 2*l.count+minSlots)
	for _, s := range l.slots {
		if s.record != nil {
			s.record.slot = len(kept)
			kept = append(kept, s)
		}
	}
	l.slots, l.empty = kept, 0
}

// oldest returns the first record, or nil.
func (l *recordList) oldest() *bucketRecord {
	for ; l.empty < len(l.slots); l.empty++ {
		if r := l.slots[l.empty].record; r != nil {
			return r
		}
	}
	return nil
}

// from returns the slots of a revision and later ones.
func (l *recordList) from(revision uint64) []recordSlot {
	return l.slots[sort.Search(len(l.slots), func(i int) bool { return l.slots[i].revision >= revision }):]
}

// at returns the record with a revision, or nil.
func (l *recordList) at(revision uint64) *bucketRecord {
	if s := l.from(revision); len(s) > 0 && s[0].revision == revision {
		return s[0].record
	}
	return nil
}
