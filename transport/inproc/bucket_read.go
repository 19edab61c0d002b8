package inproc

import (
	"context"

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
	newest      bool // only the newest records as of upTo
	headersOnly bool
}

// Scan implements [driver.Bucket].
func (h *bucketHandle) Scan(ctx context.Context, s driver.Scan, yield func(*driver.Record) bool) error {
	b, err := h.enter(ctx)
	if err != nil {
		return err
	}
	r := &bucketReading{h, b, s.Patterns, 1, b.last, !s.History, s.HeadersOnly}
	b.unlock()
	if s.UpTo > 0 {
		r.upTo = min(r.upTo, s.UpTo)
	}
	for more := true; more && r.next <= r.upTo && err == nil; {
		more, err = r.read(ctx, yield)
	}
	return err
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
	slots, next := b.records.from(r.next), r.upTo+1
	if len(slots) > readStride {
		slots = slots[:readStride]
		next = slots[readStride-1].revision + 1
	}
	r.next = next
	var found []*bucketRecord
	for _, s := range slots {
		if s.record != nil && s.revision <= r.upTo && r.wants(s.record) {
			found = append(found, s.record)
		}
	}
	return found, nil
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
