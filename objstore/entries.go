package objstore

import (
	"context"
	"encoding/base64"
	"strings"

	"gomono.dev/kv"
	kvdriver "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// The entries of a store are a bucket of package kv, so they have its guarantees: conditional
// writes, watches without gaps, and a process that reads its own writes.

// entry is the stored description of an object.
type entry = driver.Entry

// entriesTransport is a transport whose only bucket has the entries of a store.
type entriesTransport struct {
	transport.Transport
	store driver.Store
	index *index // may be nil
}

// Buckets makes it a [kvdriver.Backend].
func (t entriesTransport) Buckets() kvdriver.Store { return entriesStore{t: t} }

// entriesStore implements [kvdriver.Store] as far as kv.Connect needs it.
type entriesStore struct {
	kvdriver.Store
	t entriesTransport
}

func (s entriesStore) Open(context.Context, *kvdriver.Config) (kvdriver.Bucket, error) {
	return entries{s.t.store.Entries(), s.t.index}, nil
}

// entries is the bucket of a store's entries. It notes the revisions that are written and read.
type entries struct {
	kvdriver.Bucket
	index *index // may be nil
}

// Get implements [kvdriver.Bucket].
func (b entries) Get(ctx context.Context, key string, revision uint64, fresh bool) (*kvdriver.Record, error) {
	r, err := b.Bucket.Get(ctx, key, revision, fresh)
	if err == nil {
		b.index.seen(r.Revision)
	}
	return r, err
}

// prefixKey is the key of the prefix of a listing, in the context of its Scan.
type prefixKey struct{}

// Scan implements [kvdriver.Bucket]. It leaves out keys whose names cannot have the prefix, so that
// their entries are not decoded.
func (b entries) Scan(ctx context.Context, s kvdriver.Scan, yield func(*kvdriver.Record) bool) error {
	prefix, _ := ctx.Value(prefixKey{}).(string)
	if prefix == "" {
		return b.Bucket.Scan(ctx, s, yield)
	}
	whole := keyOf(prefix)[:len(prefix)*8/6] // the characters that the prefix alone decides
	return b.Bucket.Scan(ctx, s, func(r *kvdriver.Record) bool {
		selected := strings.HasPrefix(r.Key, whole) || strings.HasPrefix(r.Key, prefix) // the key of another client may be the name
		return !selected || yield(r)
	})
}

// commit is a write of an entry together with the last chunk of its object. It comes in the
// context of the write.
type commit struct {
	writer driver.Writer
	chunk  *driver.Chunk
}

type commitKey struct{}

// Put implements [kvdriver.Bucket].
func (b entries) Put(ctx context.Context, writes ...kvdriver.Write) (revision uint64, err error) {
	if c, ok := ctx.Value(commitKey{}).(*commit); ok && len(writes) == 1 {
		revision, err = c.writer.Commit(ctx, c.chunk, writes[0])
	} else {
		revision, err = b.Bucket.Put(ctx, writes...)
	}
	if err == nil {
		b.index.seen(revision)
	}
	return revision, err
}

// entriesBucket is the declaration of the entries of any store.
var entriesBucket = kv.NewBucket[entry]("entries")

// connect opens the bucket of the store's entries.
func (s *opened) connect(ctx context.Context) (err error) {
	s.entries, err = kv.Connect(ctx, entriesTransport{s.transport, s.Store, s.index}, entriesBucket)
	return ofEntries(err)
}

// keyOf returns the key of the entry of an object.
func keyOf(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

// nameOf returns the name of the object of a key. A key that is no base64, because another
// program wrote it, is the name itself.
func nameOf(key string) string {
	name, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return key
	}
	return string(name)
}
