package kv

import (
	"context"
	"iter"
	"time"

	"gomono.dev/kv/driver"
)

// Keys returns the keys with a value that one of the selectors selects, or all of them. A key
// is returned once. A key that gets its first value or loses its value meanwhile may be missing
// or not; all others are returned, or the iteration ends with an error. There is no order.
func (kv *KeyValue[T]) Keys(ctx context.Context, keys ...Selector) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := kv.scan(ctx, keys, true, func(_ *opened, r *driver.Record) bool { return yield(readKey(r.Key), nil) })
		if err != nil {
			yield("", err)
		}
	}
}

// List returns the values of the keys that one of the selectors selects, or of all. It has the
// guarantees of Keys. If several servers store the bucket, one that lags may give the value that
// a key had shortly before. A value that cannot be decoded is an error, with the Key and the
// Revision of its Entry and a [DecodeError]: the iteration continues. Any other error is the
// last one.
func (kv *KeyValue[T]) List(ctx context.Context, keys ...Selector) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		err := kv.scan(ctx, keys, false, func(o *opened, r *driver.Record) bool {
			e, err := kv.entry(o, r)
			return yield(e, o.at(e.Key, err))
		})
		if err != nil {
			yield(Entry[T]{}, err)
		}
	}
}

// scan calls yield for the values of selected keys, once for each key, until yield returns
// false.
func (kv *KeyValue[T]) scan(ctx context.Context, keys selectors, headersOnly bool, yield func(*opened, *driver.Record) bool) error {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return err
	}
	patterns, err := keys.patterns()
	if err != nil {
		return inBucket(o.name, err)
	}
	seen := make(map[string]bool) // a key that is set meanwhile comes again
	left := false
	err = o.Scan(ctx, driver.Scan{Patterns: patterns, HeadersOnly: headersOnly}, func(r *driver.Record) bool {
		if r.Op != driver.Put || !keys.match(readKey(r.Key), r.Key) || seen[r.Key] {
			return true
		}
		seen[r.Key] = true
		left = !yield(o, r)
		return !left
	})
	if left {
		return nil
	}
	return inBucket(o.name, err)
}

// PurgeDeletes removes the marks of deletions that are older than a duration, with the history
// of their keys. A key that was set again stays. Watchers that are disconnected may miss a
// deletion whose mark is removed meanwhile, so choose minutes rather than seconds.
//
// A NATS server that is killed may afterwards bring back a value whose mark is gone: see
// docs/durability.md.
func (kv *KeyValue[T]) PurgeDeletes(ctx context.Context, olderThan time.Duration) error {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return err
	}
	if olderThan < 0 {
		return inBucket(o.name, invalid("deletions older than %v: want 0 or more", olderThan))
	}
	marks := make(map[string]*driver.Record) // a replica that lags answers with a mark and what follows it
	limit := time.Now().Add(-olderThan)
	err = o.Scan(ctx, driver.Scan{HeadersOnly: true}, func(r *driver.Record) bool {
		delete(marks, r.Key)
		if r.Op != driver.Put && !r.Created.After(limit) {
			marks[r.Key] = r
		}
		return true
	})
	for _, r := range marks {
		if err != nil {
			break
		}
		err = atKey(readKey(r.Key), o.Remove(ctx, r.Key, r.Revision))
	}
	return inBucket(o.name, err)
}
