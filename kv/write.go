package kv

import (
	"context"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Put sets the value of a key.
//
// The outcome of an error tells whether the value may have been stored, for this and all
// other writes: see transport.Outcome. The stored value is that of before, or the new one.
func (kv *KeyValue[T]) Put(ctx context.Context, key string, value T, options ...WriteOption) (Entry[T], error) {
	return kv.write(ctx, key, value, options, func(o *opened, w driver.Write) (uint64, error) { return o.put(ctx, w) })
}

// Create sets the value of a key that has none, because it was never set, was deleted, or has
// expired. Otherwise it returns already_exists. It replaces an expired value that the server has
// not removed yet: see [TTL].
func (kv *KeyValue[T]) Create(ctx context.Context, key string, value T, options ...WriteOption) (Entry[T], error) {
	return kv.write(ctx, key, value, options, func(o *opened, w driver.Write) (uint64, error) { return o.create(ctx, w) })
}

// Update sets the value of a key whose newest revision is the given one. Otherwise it returns
// aborted.
func (kv *KeyValue[T]) Update(ctx context.Context, key string, revision uint64, value T, options ...WriteOption) (Entry[T], error) {
	return kv.write(ctx, key, value, options, func(o *opened, w driver.Write) (uint64, error) {
		if revision == 0 {
			return 0, invalid("revision 0 stands for a key without a value: use Create")
		}
		w.Expect = &revision
		return o.put(ctx, w)
	})
}

// write stores a value with store.
func (kv *KeyValue[T]) write(ctx context.Context, key string, value T, options []WriteOption, store func(*opened, driver.Write) (uint64, error)) (Entry[T], error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return Entry[T]{}, err
	}
	w, err := kv.prepare(o, key, &value, options)
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	revision, err := store(o, w)
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	return Entry[T]{Key: key, Value: value, Revision: revision}, nil
}

// prepare returns the write of a value.
func (kv *KeyValue[T]) prepare(o *opened, key string, value *T, options []WriteOption) (w driver.Write, err error) {
	if w.Key, err = writeKey(key); err != nil {
		return w, err
	}
	if w.TTL, err = ttlOf(options); err != nil {
		return w, err
	}
	w.Header, w.Value, err = kv.encode(o, value)
	if limit := o.Config().MaxValue; err == nil && limit > 0 && len(w.Value) > limit {
		err = invalid("the value has %d bytes: the bucket allows %d", len(w.Value), limit)
	}
	return w, err
}

// ttlOf returns the TTL of a write, in whole seconds, 0 for none.
func ttlOf(options []WriteOption) (time.Duration, error) {
	var all writeOptions
	for _, option := range options {
		if option == nil {
			return 0, invalid("an option is nil")
		}
		option.writeOption(&all)
	}
	if all.ttl == nil {
		return 0, nil
	}
	if err := TTL(*all.ttl).check(); err != nil {
		return 0, invalid("%w", err)
	}
	return wholeSeconds(*all.ttl), nil
}

// create stores a write to a key without a value. The mark of a deletion counts as none, and so
// does a value that has expired: the write then expects that revision. The leader is asked for it, since a replica may not know the
// newest record. The second attempt follows at once.
func (o *opened) create(ctx context.Context, w driver.Write) (uint64, error) {
	expect := uint64(0)
	w.Expect = &expect
	for wait := time.Duration(0); ; wait = longer(wait) {
		revision, err := o.put(ctx, w)
		if transport.CodeOf(err) != transport.Aborted {
			return revision, err
		}
		if expect, err = o.vacant(ctx, w.Key); err != nil {
			return 0, err
		}
		if err := pause(ctx, wait); err != nil {
			return 0, transport.ContextError(ctx, transport.OutcomeNotDone, "%w while other programs write the key", err)
		}
	}
}

// vacant returns the newest revision of a key without a value, 0 for none, and already_exists
// for a key with one.
func (o *opened) vacant(ctx context.Context, written string) (uint64, error) {
	r, err := o.record(ctx, written, true)
	switch {
	case transport.CodeOf(err) == transport.NotFound:
		return 0, nil
	case err != nil:
		return 0, notDone(transport.CodeOf(err), "the newest revision is unknown: %w", err)
	case r.Op == driver.Put:
		return 0, errHasValue(r)
	}
	return r.Revision, nil
}

// errHasValue returns the error of a Create of a key with a value.
func errHasValue(r *driver.Record) error {
	return notDone(transport.AlreadyExists, "it has a value (revision %d)", r.Revision)
}

// Delete removes the value of a key. The history of the key remains, and a mark of the
// deletion, until PurgeDeletes removes both. To delete a key without a value is no error.
func (kv *KeyValue[T]) Delete(ctx context.Context, key string, options ...DeleteOption) error {
	return kv.mark(ctx, key, driver.Delete, options)
}

// Purge removes the value of a key and its history. A mark of the deletion remains, until
// PurgeDeletes removes it. To purge a key without a value is no error.
func (kv *KeyValue[T]) Purge(ctx context.Context, key string, options ...DeleteOption) error {
	return kv.mark(ctx, key, driver.Purge, options)
}

func (kv *KeyValue[T]) mark(ctx context.Context, key string, op Op, options []DeleteOption) error {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return err
	}
	w := driver.Write{Op: op}
	if w.Expect, err = expectOf(options); err == nil {
		w.Key, err = writeKey(key)
	}
	if err == nil {
		_, err = o.put(ctx, w)
	}
	return o.at(key, err)
}

// expectOf returns the revision that a deletion expects, nil for any.
func expectOf(options []DeleteOption) (*uint64, error) {
	var all deleteOptions
	for _, option := range options {
		if option == nil {
			return nil, invalid("an option is nil")
		}
		option.deleteOption(&all)
	}
	if all.expect != nil && *all.expect == 0 {
		return nil, invalid("IfRevision(0): revisions begin at 1")
	}
	return all.expect, nil
}
