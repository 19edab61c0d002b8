package inproc

import (
	"context"

	"gomono.dev/kv/driver"
)

// bucketFollow is a Follow in progress. The lock of the bucket guards next, upTo and gap.
type bucketFollow struct {
	bucketReading
	gap     bool               // the end of a value was removed before it was read
	wake    chan struct{}      // signals a change
	current func(uint64, bool) // called when there is nothing to read; may be nil
}

// Follow implements [driver.Bucket]. It is never disconnected, so what is current lasts.
func (h *bucketHandle) Follow(ctx context.Context, c driver.Follow, yield func(*driver.Record) bool) error {
	b, err := h.enter(ctx)
	if err != nil {
		return err
	}
	f := &bucketFollow{bucketReading: newBucketReading(h, b, c.Patterns), wake: make(chan struct{}, 1)}
	f.next, f.headersOnly, f.current = c.After+1, c.HeadersOnly, c.Current
	f.gap = c.After > b.last || c.After > 0 && c.After < b.lost
	b.follows[f] = struct{}{}
	b.unlock()
	defer f.finish()
	for more := true; more && err == nil; {
		if err = f.await(ctx); err == nil {
			more, err = f.read(ctx, yield)
		}
	}
	return err
}

func (f *bucketFollow) finish() {
	f.bucket.mu.Lock()
	defer f.bucket.mu.Unlock()
	delete(f.bucket.follows, f)
}

// await waits until there is something to read.
func (f *bucketFollow) await(ctx context.Context) error {
	for {
		if err := f.ended(ctx); err != nil {
			return err
		}
		if ready, err := f.ready(); ready || err != nil {
			return err
		}
		if f.current != nil {
			f.current(f.upTo, true)
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
		case <-f.transport.done:
		}
	}
}

// ready reports whether there is something to read.
func (f *bucketFollow) ready() (bool, error) {
	b := f.bucket
	b.lock()
	defer b.unlock()
	switch f.upTo = b.last; {
	case b.deleted:
		return false, errNoBucket
	case f.gap:
		return false, driver.ErrGap
	}
	return f.next <= f.upTo, nil
}

// wake makes all Follows look at the bucket.
func (b *bucket) wake() {
	for f := range b.follows {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// lose notes that a marker was removed and that nothing is left of its key. A Follow that
// has read a value of the key, but not the marker, has missed the end of the value.
func (b *bucket) lose(marker *bucketRecord) {
	b.lost = max(b.lost, marker.Revision)
	for f := range b.follows {
		if marker.key.first < f.next && f.next <= marker.Revision && f.matches(marker.Key) {
			f.gap = true
		}
	}
	b.wake()
}
