package inproc

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// bucketReading is a Scan or a Follow in progress.
type bucketReading struct {
	*bucketHandle
	bucket      *bucket
	patterns    []string
	next        uint64 // the first revision not yet read
	upTo        uint64
	exact       bool // the patterns are a few keys
	newest      bool // only the newest records as of upTo
	rest        bool // read all records at once that were added since
	headersOnly bool
}

// maxExact is the maximum number of keys that are looked up one by one.
const maxExact = 16

func newBucketReading(h *bucketHandle, b *bucket, patterns []string) bucketReading {
	wild := func(pattern string) bool { return strings.ContainsAny(pattern, "*>") }
	n := len(patterns)
	exact := n > 0 && n <= maxExact && !slices.ContainsFunc(patterns, wild)
	return bucketReading{bucketHandle: h, bucket: b, patterns: patterns, exact: exact}
}

// Scan implements [driver.Bucket]. It reads the records up to the last one in several steps.
// Without UpTo, one more step reads those that were added meanwhile, so that a key whose
// value was replaced is not missing. A key that was not replaced in time has come before.
func (h *bucketHandle) Scan(ctx context.Context, s driver.Scan, yield func(*driver.Record) bool) error {
	b, err := h.enter(ctx)
	if err != nil {
		return err
	}
	last := b.last
	b.unlock()
	r := newBucketReading(h, b, s.Patterns)
	r.next, r.upTo, r.newest, r.headersOnly = 1, min(cmp.Or(s.UpTo, last), last), !s.History, s.HeadersOnly
	if s.History {
		r.next += s.After
	}
	more := true
	var given []string // the keys that have come
	for more && r.next <= r.upTo && err == nil {
		more, err = r.read(ctx, func(record *driver.Record) bool {
			given = append(given, record.Key)
			return yield(record)
		})
	}
	if r.rest = s.UpTo == 0 && b.lastIs() > last; r.rest && more && err == nil {
		_, err = r.read(ctx, leaveOut(given, s.History, yield))
	}
	return err
}

// leaveOut returns yield without the records of some keys, unless the history is read.
func leaveOut(keys []string, history bool, yield func(*driver.Record) bool) func(*driver.Record) bool {
	if history {
		return yield
	}
	out := make(map[string]bool, len(keys))
	for _, key := range keys {
		out[key] = true
	}
	return func(r *driver.Record) bool { return out[r.Key] || yield(r) }
}

// lastIs returns the highest revision.
func (b *bucket) lastIs() uint64 {
	b.lock()
	defer b.unlock()
	return b.last
}

// read calls yield for the selected records among the next ones. It reports whether yield
// wants more.
func (r *bucketReading) read(ctx context.Context, yield func(*driver.Record) bool) (more bool, err error) {
	if _, err := r.transport.begin(ctx, engine.Read, nil, r); err != nil {
		return false, err
	}
	records, err := r.some()
	if err != nil {
		return false, err
	}
	for _, record := range records {
		if err := r.ended(ctx); err != nil {
			return false, err
		}
		if !yield(record.copy(r.headersOnly)) {
			return false, nil
		}
	}
	return true, r.ended(ctx)
}

// ended returns an error if the Transport was closed or ctx has ended.
func (r *bucketReading) ended(ctx context.Context) error {
	if err := (conn{r.transport}).Ready(); err != nil {
		return err
	}
	return ctx.Err()
}

// some returns the selected records among the next ones.
func (r *bucketReading) some() ([]*bucketRecord, error) {
	b := r.bucket
	b.lock()
	defer b.unlock()
	if b.deleted {
		return nil, errNoBucket
	}
	if r.rest {
		r.upTo = b.last
	}
	if r.exact {
		return r.ofKeys(), nil
	}
	return r.ofRange(), nil
}

// ofRange examines the next records of all keys, at most readStride unless it is the rest.
func (r *bucketReading) ofRange() (found []*bucketRecord) {
	slots, next := r.bucket.records.from(r.next), r.upTo+1
	if len(slots) > readStride && !r.rest {
		slots = slots[:readStride]
		next = slots[readStride-1].revision + 1
	}
	r.next = min(next, r.upTo+1)
	for _, s := range slots {
		if s.record != nil && s.revision <= r.upTo && r.wants(s.record) {
			found = append(found, s.record)
		}
	}
	return found
}

// ofKeys examines all records of the keys.
func (r *bucketReading) ofKeys() (found []*bucketRecord) {
	for _, key := range r.patterns {
		k := r.bucket.keys[key]
		if k == nil {
			continue
		}
		for record := k.oldest; record != nil; record = record.newer {
			if record.Revision >= r.next && record.Revision <= r.upTo && r.wants(record) {
				found = append(found, record)
			}
		}
	}
	r.next = r.upTo + 1
	return inOrder(found)
}

// inOrder sorts records by their revisions.
func inOrder(records []*bucketRecord) []*bucketRecord {
	slices.SortFunc(records, func(x, y *bucketRecord) int { return cmp.Compare(x.Revision, y.Revision) })
	return slices.Compact(records)
}

func (r *bucketReading) wants(record *bucketRecord) bool {
	if newer := record.newer; r.newest && newer != nil && newer.Revision <= r.upTo {
		return false
	}
	return r.matches(record.Key)
}

func (r *bucketReading) matches(key string) bool {
	return len(r.patterns) == 0 || transport.Contains(r.patterns, key)
}
