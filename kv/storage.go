package kv

import (
	"context"
	"errors"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Storage is a bucket of bytes with the methods that middlewares of Go web frameworks expect
// of a store for sessions, caches or rate limits. Create one with [NewStorage].
type Storage struct{ kv *KeyValue[[]byte] }

// NewStorage returns the Storage of a bucket. Declare the bucket with Codec(codec.Raw), so that
// values are stored as they are.
func NewStorage(kv *KeyValue[[]byte]) *Storage { return &Storage{kv} }

// GetWithContext returns the value of a key. It returns nil, and no error, if there is none, or
// if the key is empty.
func (s *Storage) GetWithContext(ctx context.Context, key string) ([]byte, error) {
	if key == "" {
		return nil, nil
	}
	e, err := s.kv.Get(ctx, key)
	if transport.CodeOf(err) == transport.NotFound {
		return nil, nil
	}
	return e.Value, err
}

// Get is GetWithContext without a context. It waits for 10 seconds at most, as all methods
// without a context do.
func (s *Storage) Get(key string) (value []byte, err error) {
	err = bounded(func(ctx context.Context) error {
		value, err = s.GetWithContext(ctx, key)
		return err
	})
	return value, err
}

// SetWithContext sets the value of a key. It expires after the given time, rounded up to whole
// seconds, or by the rules of the bucket if that is 0. An empty key or value is ignored.
func (s *Storage) SetWithContext(ctx context.Context, key string, value []byte, expires time.Duration) error {
	if key == "" || len(value) == 0 {
		return nil
	}
	var options []WriteOption
	if expires != 0 {
		options = append(options, TTL(wholeSeconds(expires)))
	}
	_, err := s.kv.Put(ctx, key, value, options...)
	return err
}

// Set is SetWithContext without a context.
func (s *Storage) Set(key string, value []byte, expires time.Duration) error {
	return bounded(func(ctx context.Context) error { return s.SetWithContext(ctx, key, value, expires) })
}

// DeleteWithContext removes the value of a key. An empty key is ignored.
func (s *Storage) DeleteWithContext(ctx context.Context, key string) error {
	if key == "" {
		return nil
	}
	return s.kv.Purge(ctx, key)
}

// Delete is DeleteWithContext without a context.
func (s *Storage) Delete(key string) error {
	return bounded(func(ctx context.Context) error { return s.DeleteWithContext(ctx, key) })
}

// ResetWithContext removes all values, also those with keys of other programs.
func (s *Storage) ResetWithContext(ctx context.Context) error {
	var failed error
	err := s.kv.scan(ctx, nil, true, func(o *opened, r *driver.Record) bool {
		_, err := o.put(ctx, driver.Write{Key: r.Key, Op: driver.Purge})
		failed = o.at(readKey(r.Key), err)
		return err == nil
	})
	return firstError(failed, err)
}

// Reset is ResetWithContext without a context.
func (s *Storage) Reset() error { return bounded(s.ResetWithContext) }

// Close does nothing: the owner of the bucket closes it.
func (s *Storage) Close() error { return nil }

// bounded calls f with a context that ends.
func bounded(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Second, errors.New("the Storage waited for 10s"))
	defer cancel()
	return f(ctx)
}
