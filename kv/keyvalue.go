package kv

import (
	"context"
	"errors"

	"gomono.dev/codec"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// KeyValue is an open bucket. Its methods may be called concurrently.
type KeyValue[T any] struct {
	store *store
	raw   bool // T is []byte, and values are not decoded
}

// Raw returns the bucket with its values as they are stored. It reads values that cannot be
// decoded. Values that it writes must be in the codec of the bucket.
func (kv *KeyValue[T]) Raw() *KeyValue[[]byte] { return &KeyValue[[]byte]{store: kv.store, raw: true} }

// Name returns the declared name of the bucket.
func (kv *KeyValue[T]) Name() string { return kv.store.decl.name }

// Close ends the use of a bucket that [Connect] opened, and of its Raw view: watches end with
// unavailable, a cache no longer follows the bucket, and every other method returns
// failed_precondition. The transport stays open. Another Close does nothing. A Host closes the
// buckets that were opened on it: for those, Close returns failed_precondition.
func (kv *KeyValue[T]) Close(ctx context.Context) error {
	if !kv.store.connected {
		return inBucket(kv.Name(), notDone(transport.FailedPrecondition, "its Host closes it: call Close only after Connect"))
	}
	return kv.store.stop(ctx)
}

// codec returns the codec of the values.
func (kv *KeyValue[T]) codec(o *opened) codec.Codec {
	if kv.raw {
		return codec.Raw
	}
	return o.codec
}

// encode returns the header and the bytes of a value.
func (kv *KeyValue[T]) encode(o *opened, v *T) (transport.Header, []byte, error) {
	header, value, err := encode(kv.codec(o), v)
	if err == nil && kv.raw {
		header = contentType(o.codec)
	}
	return header, value, err
}

// entry returns the entry of a record.
func (kv *KeyValue[T]) entry(o *opened, r *driver.Record) (Entry[T], error) {
	e := Entry[T]{Key: readKey(r.Key), Revision: r.Revision, Created: r.Created, Op: r.Op}
	if r.Op != driver.Put {
		return e, nil
	}
	e.Expires = r.Expiry(o.Config().TTL)
	if kv.raw {
		return e, unmarshal(kv.codec(o), r.Value, &e.Value)
	}
	return e, o.decode(r, &e.Value)
}

// value returns the entry of a record that is a value.
func (kv *KeyValue[T]) value(o *opened, r *driver.Record) (Entry[T], error) {
	if err := noValue(r); err != nil {
		return Entry[T]{}, err
	}
	return kv.entry(o, r)
}

// at names bucket and key in an error.
func (o *opened) at(key string, err error) error { return inBucket(o.name, atKey(key, err)) }

// Get returns the value of a key, or not_found. It returns at least the revision that this
// process has written last. If several servers store the bucket, or mirrors of it, any of them
// answers: it may not know yet of another process's last write. See [KeyValue.Modify] for a
// change that depends on the newest value.
//
// A value that cannot be decoded is data_loss, with a [DecodeError]. See [Cached] for a Get
// without a request.
func (kv *KeyValue[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return Entry[T]{}, err
	}
	written, err := writeKey(key)
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	if !kv.raw && o.cache.covers(key, written) {
		e, err := kv.cached(ctx, o, written)
		return e, o.at(key, err)
	}
	r, err := o.record(ctx, written, false)
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	e, err := kv.value(o, r)
	return e, o.at(key, err)
}

// cached returns the value of a key from the cache.
func (kv *KeyValue[T]) cached(ctx context.Context, o *opened, written string) (e Entry[T], err error) {
	i, err := o.cache.get(ctx, written)
	switch {
	case err != nil:
		return e, err
	case i.record == nil:
		return e, notDone(transport.NotFound, "it has no value")
	}
	i.decoded.Do(func() {
		e, i.err = kv.value(o, i.record)
		i.entry = e
	})
	e, _ = i.entry.(Entry[T])
	return e, i.err
}

// CacheStats returns the counters of the cache. They are zero without [Cached].
func (kv *KeyValue[T]) CacheStats() CacheStats {
	if o := kv.store.open.Load(); o != nil && o.cache != nil {
		return o.cache.stats()
	}
	return CacheStats{}
}

// GetRevision returns the value that a key had at a revision, or not_found if the revision is
// of another key, no longer stored, or not a value. A revision that the bucket has not reached
// is out_of_range.
func (kv *KeyValue[T]) GetRevision(ctx context.Context, key string, revision uint64) (Entry[T], error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return Entry[T]{}, err
	}
	written, err := writeKey(key)
	if err == nil && revision == 0 {
		err = invalid("revision 0: revisions begin at 1")
	}
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	r, err := o.Get(ctx, written, revision, false)
	if transport.CodeOf(err) == transport.NotFound {
		if r, err = o.Get(ctx, written, revision, true); transport.CodeOf(err) == transport.NotFound {
			err = firstError(o.checkReached(ctx, revision), err)
		}
	}
	if err == nil {
		err = o.endExpired(ctx, r)
	}
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	e, err := kv.value(o, r)
	return e, o.at(key, err)
}

// checkReached returns out_of_range for a revision of the future.
func (o *opened) checkReached(ctx context.Context, revision uint64) error {
	is, err := o.Info(ctx)
	if err == nil && revision > is.Last {
		return notDone(transport.OutOfRange, "revision %d: the bucket is at %d", revision, is.Last)
	}
	return nil
}

// GetAll returns the values of several keys as of one revision, which it also returns, in the
// order of their revisions. Keys without a value are left out. It returns at least what this
// process has written last. At most MaxKeys keys are allowed; resource_exhausted means that
// there are more, or that the values do not fit into one answer.
//
// GetAll leaves out a value that cannot be decoded, and returns the others with a data_loss
// error. It joins an error with a [DecodeError] for each omitted value. Any other error comes
// without entries.
func (kv *KeyValue[T]) GetAll(ctx context.Context, keys ...string) (entries []Entry[T], revision uint64, err error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return nil, 0, err
	}
	written, err := writeKeys(keys)
	if err != nil {
		return nil, 0, inBucket(o.name, err)
	}
	records, revision, err := o.readAll(ctx, written)
	if err != nil {
		return nil, 0, inBucket(o.name, err)
	}
	var errs []error
	x := expiry{o: o}
	for _, r := range records {
		if err := x.end(ctx, r); err != nil {
			return nil, 0, inBucket(o.name, err)
		}
		if r.Op != driver.Put {
			continue
		}
		if e, err := kv.entry(o, r); err != nil {
			errs = append(errs, o.at(e.Key, err))
		} else {
			entries = append(entries, e)
		}
	}
	return entries, revision, errors.Join(errs...)
}

// MaxKeys is the maximum number of keys of GetAll.
const MaxKeys = driver.MaxRead

// writeKeys returns the written forms of keys, each once.
func writeKeys(keys []string) ([]string, error) {
	all := make([]string, 0, len(keys))
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		written, err := writeKey(key)
		if err != nil {
			return nil, atKey(key, err)
		}
		if !seen[written] {
			seen[written], all = true, append(all, written)
		}
	}
	if len(all) > MaxKeys {
		return nil, notDone(transport.ResourceExhausted, "%d keys at once: at most %d are allowed", len(all), MaxKeys)
	}
	return all, nil
}

// readAll reads keys as of a revision that includes all writes of this process before.
func (o *opened) readAll(ctx context.Context, keys []string) (records []*driver.Record, revision uint64, err error) {
	if len(keys) == 0 {
		is, err := o.Info(ctx)
		return nil, is.Last, err
	}
	for wait := firstPause; ; wait = longer(wait) {
		least := o.written.last.Load()
		if records, revision, err = o.Read(ctx, keys); err != nil || revision >= least {
			return records, revision, err
		}
		if is, err := o.Info(ctx); err == nil && is.Last < least {
			o.written.last.CompareAndSwap(least, is.Last) // the bucket was deleted and created again
			continue
		}
		if err := pause(ctx, wait); err != nil {
			return nil, 0, notDone(transport.CodeOf(err), "%w while the answering server is at revision %d, and this process has written %d", err, revision, least)
		}
	}
}

// History returns the records of a key that are kept, oldest first, with deletions. A key
// without records has no entries, and no error. It handles values that cannot be decoded as
// GetAll does.
func (kv *KeyValue[T]) History(ctx context.Context, key string) ([]Entry[T], error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return nil, err
	}
	written, err := writeKey(key)
	if err != nil {
		return nil, o.at(key, err)
	}
	var entries []Entry[T]
	var errs []error
	err = o.Scan(ctx, driver.Scan{Patterns: []string{written}, History: true}, func(r *driver.Record) bool {
		if e, err := kv.entry(o, r); err != nil {
			errs = append(errs, o.at(key, err))
		} else {
			entries = append(entries, e)
		}
		return true
	})
	if err != nil {
		return nil, o.at(key, err)
	}
	return entries, errors.Join(errs...)
}

// Status returns the state of the bucket.
func (kv *KeyValue[T]) Status(ctx context.Context) (Status, error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return Status{}, err
	}
	is, err := o.Info(ctx)
	if err != nil {
		return Status{}, inBucket(o.name, err)
	}
	return statusOf(is), nil
}
