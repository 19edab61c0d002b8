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
// guarantees of Keys, and returns at least what this process has written last. If several servers
// store the bucket, a value may be older than the last write of another process. A value that
// cannot be decoded is an error, with the Key and the Revision of its Entry and a [DecodeError]:
// the iteration continues. Any other error is the last one.
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
	l := &listing{
		keys: keys, yield: func(r *driver.Record) bool { return yield(o, r) },
		written: &o.written, given: make(map[string]bool), held: make(map[string]*driver.Record),
	}
	take := l.give
	if o.Config().Replicas > 1 {
		take = l.takeFromReplica
	}
	var failed error
	x := expiry{o: o}
	err = o.Scan(ctx, driver.Scan{Patterns: patterns, HeadersOnly: headersOnly}, func(r *driver.Record) bool {
		failed = x.end(ctx, r)
		return failed == nil && take(r)
	})
	if err = firstError(failed, err); err == nil {
		l.giveHeld()
	}
	if l.left {
		return nil
	}
	return inBucket(o.name, err)
}

// listing gives the values among the records of a Scan.
type listing struct {
	keys  selectors
	yield func(*driver.Record) bool
	left  bool // yield returned false

	// A replica that lags answers with an older record of a key, and later with the newest. A
	// record that is older than the last write of this process is held back until then. A process
	// that has written very many keys holds back all records, in the worst case.
	written *written
	given   map[string]bool // keys whose values were given
	held    map[string]*driver.Record
}

func (l *listing) give(r *driver.Record) bool {
	if r.Op == driver.Put && l.keys.match(readKey(r.Key), r.Key) {
		l.left = !l.yield(r)
	}
	return !l.left
}

// takeFromReplica gives a record, unless it is too old, or its key has come before.
func (l *listing) takeFromReplica(r *driver.Record) bool {
	switch {
	case r.Revision < l.written.of(r.Key):
		l.held[r.Key] = r
	case l.given[r.Key]:
		return true
	default:
		delete(l.held, r.Key)
		l.given[r.Key] = r.Op == driver.Put
		return l.give(r)
	}
	return true
}

// giveHeld gives what is still held back, because other keys of its slots were written since.
func (l *listing) giveHeld() {
	for key, r := range l.held {
		if l.left {
			return
		}
		if !l.given[key] {
			l.give(r)
		}
	}
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
