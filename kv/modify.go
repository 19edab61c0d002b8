package kv

import (
	"context"
	"crypto/rand"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Modify replaces the value of a key by the result of f for it. It reads the newest value,
// calls f, and writes the result if the key has not changed meanwhile; otherwise it starts
// anew, until ctx ends. So f may be called several times, and the changes of concurrent calls,
// also of other programs, all take effect, one after the other.
//
// A key without a value is created: f gets a zero T. An error of f is returned as it is, and
// nothing is written.
//
// If the answer to a write is lost, Modify reads the key to learn whether the write took
// effect. It returns an unknown outcome only if the key was changed by others meanwhile, or
// cannot be read.
func (kv *KeyValue[T]) Modify(ctx context.Context, key string, f func(T) (T, error), options ...WriteOption) (Entry[T], error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return Entry[T]{}, err
	}
	written, err := writeKey(key)
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	var e Entry[T]
	e.Revision, err = o.modify(ctx, written, func(r *driver.Record) (driver.Write, error) {
		var was T
		if r != nil && r.Op == driver.Put {
			is, err := kv.entry(o, r)
			if err != nil {
				return driver.Write{}, err
			}
			was = is.Value
		}
		value, err := f(was)
		if err != nil {
			return driver.Write{}, verbatim{err}
		}
		e.Value = value
		return kv.prepare(o, key, &value, options)
	})
	if v, ok := err.(verbatim); ok {
		return Entry[T]{}, v.error
	}
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	e.Key = key
	return e, nil
}

// verbatim is an error that is returned without names.
type verbatim struct{ error }

// Touch writes the value of a key again, so that its life starts again: with the TTL of the
// option [TTL], the value, or the bucket, in this order. A key without a value
// is not_found.
func (kv *KeyValue[T]) Touch(ctx context.Context, key string, options ...WriteOption) (Entry[T], error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return Entry[T]{}, err
	}
	written, err := writeKey(key)
	var ttl time.Duration
	if err == nil {
		ttl, err = ttlOf(options)
	}
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	var e Entry[T]
	e.Revision, err = o.modify(ctx, written, func(r *driver.Record) (driver.Write, error) {
		if r == nil {
			return driver.Write{}, notDone(transport.NotFound, "it has no value")
		}
		is, err := kv.value(o, r)
		if err != nil {
			return driver.Write{}, err
		}
		e.Value = is.Value
		w := driver.Write{Key: written, Header: r.Header, Value: r.Value, TTL: max(r.TTL, 0)}
		if ttl > 0 {
			w.TTL = ttl
		}
		return w, nil
	})
	if err != nil {
		return Entry[T]{}, o.at(key, err)
	}
	e.Key = key
	return e, nil
}

// modify writes what change returns for the newest record of a key, nil for none, if that is
// still the newest one then. All attempts have one id, by which a write whose answer was lost
// is found again. A lost write may still take effect later. It is sent again as it was, and
// expects the same revision, so it takes effect once.
func (o *opened) modify(ctx context.Context, key string, change func(*driver.Record) (driver.Write, error)) (uint64, error) {
	id := rand.Text()
	var w driver.Write
	var lost error
	r, err := o.newest(ctx, key)
	for wait := firstPause; err == nil; wait = longer(wait) {
		expect := revisionOf(r)
		if lost == nil {
			if err = o.endExpired(ctx, r); err != nil {
				break
			}
			if w, err = change(r); err != nil {
				break
			}
			w.Expect = &expect
			w.Header = append(transport.Header{{Name: transport.HeaderID, Value: id}}, without(w.Header, transport.HeaderID)...)
		}
		revision, failed := o.put(ctx, w)
		switch {
		case failed == nil:
			return revision, nil
		case isUnknown(failed):
			lost = failed
		case transport.CodeOf(failed) != transport.Aborted:
			return 0, unless(lost, failed)
		}
		if err = pause(ctx, wait); err != nil {
			break
		}
		if r, err = o.newest(ctx, key); err != nil {
			break
		}
		if r != nil && r.Header.Get(transport.HeaderID) == id {
			return r.Revision, nil
		}
		if lost != nil && revisionOf(r) != expect {
			return 0, lost // another write may have followed ours
		}
	}
	return 0, unless(lost, notWritten(err))
}

// revisionOf returns the revision of a record, 0 for none.
func revisionOf(r *driver.Record) uint64 {
	if r == nil {
		return 0
	}
	return r.Revision
}

// notWritten returns the error that ended a modify before another write.
func notWritten(err error) error {
	if _, own := err.(verbatim); !own && isUnknown(err) {
		return notDone(transport.CodeOf(err), "nothing was written: %w", err)
	}
	return err
}

// unless returns lost if it is an error, since nothing that follows makes its outcome known.
func unless(lost, err error) error { return firstError(lost, err) }

func isUnknown(err error) bool {
	e, ok := err.(*transport.Error)
	return !ok || e.Outcome == transport.OutcomeUnknown
}

// newest returns the newest record of a key, or nil if there is none. The leader answers.
func (o *opened) newest(ctx context.Context, key string) (*driver.Record, error) {
	r, err := o.Get(ctx, key, 0, true)
	if transport.CodeOf(err) == transport.NotFound {
		return nil, nil
	}
	return r, err
}

// without returns a header without one name.
func without(h transport.Header, name string) transport.Header {
	if !h.Has(name) {
		return h
	}
	h = append(transport.Header(nil), h...)
	h.Del(name)
	return h
}
