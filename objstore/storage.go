package objstore

import (
	"context"
	"errors"
	"time"

	"gomono.dev/transport"
)

// Storage is a store of objects with the methods that middlewares of Go web frameworks expect of
// a store for sessions, caches or rate limits. Create one with [NewStorage]. Package kv has one
// for small values, which is faster.
type Storage struct{ objects *Objects }

// NewStorage returns the Storage of a store. Keys are the names of objects.
func NewStorage(o *Objects) *Storage { return &Storage{o} }

// GetWithContext returns the content of an object. It returns nil, and no error, if there is
// none, or if the key is empty.
func (s *Storage) GetWithContext(ctx context.Context, key string) ([]byte, error) {
	if key == "" {
		return nil, nil
	}
	content, _, err := s.objects.ReadAll(ctx, key)
	if transport.CodeOf(err) == transport.NotFound {
		return nil, nil
	}
	return content, err
}

// Get is GetWithContext without a context. It waits for 10 seconds at most, as all methods
// without a context do.
func (s *Storage) Get(key string) (content []byte, err error) {
	err = bounded(func(ctx context.Context) error {
		content, err = s.GetWithContext(ctx, key)
		return err
	})
	return content, err
}

// SetWithContext stores an object; of several at once, one is the last. It expires after the
// given time, rounded up to whole seconds, or by the rules of the store if that is 0. An empty
// key or content is ignored.
func (s *Storage) SetWithContext(ctx context.Context, key string, content []byte, expires time.Duration) error {
	if key == "" || len(content) == 0 {
		return nil
	}
	var options []PutOption
	if expires != 0 {
		options = append(options, TTL((expires + time.Second - 1).Truncate(time.Second)))
	}
	return untilDecided(func() error {
		_, err := s.objects.PutBytes(ctx, key, content, options...)
		return err
	})
}

// Set is SetWithContext without a context.
func (s *Storage) Set(key string, content []byte, expires time.Duration) error {
	return bounded(func(ctx context.Context) error { return s.SetWithContext(ctx, key, content, expires) })
}

// DeleteWithContext deletes an object. A missing one, and an empty key, are ignored.
func (s *Storage) DeleteWithContext(ctx context.Context, key string) error {
	if key == "" {
		return nil
	}
	err := untilDecided(func() error { return s.objects.Delete(ctx, key) })
	if transport.CodeOf(err) == transport.NotFound {
		return nil
	}
	return err
}

// Delete is DeleteWithContext without a context.
func (s *Storage) Delete(key string) error {
	return bounded(func(ctx context.Context) error { return s.DeleteWithContext(ctx, key) })
}

// ResetWithContext deletes all objects.
func (s *Storage) ResetWithContext(ctx context.Context) error {
	for is, err := range s.objects.List(ctx) {
		if err == nil {
			err = s.DeleteWithContext(ctx, is.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Reset is ResetWithContext without a context.
func (s *Storage) Reset() error { return bounded(s.ResetWithContext) }

// Close does nothing: the owner of the store closes it.
func (s *Storage) Close() error { return nil }

// untilDecided calls f again while other programs are faster.
func untilDecided(f func() error) error {
	for {
		if err := f(); transport.CodeOf(err) != transport.Aborted {
			return err
		}
	}
}

// bounded calls f with a context that ends.
func bounded(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Second, errors.New("the Storage waited for 10s"))
	defer cancel()
	return f(ctx)
}
