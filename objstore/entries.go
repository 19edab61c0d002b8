package objstore

import (
	"context"
	"encoding/base64"

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
}

// Buckets makes it a [kvdriver.Backend].
func (t entriesTransport) Buckets() kvdriver.Store { return entriesStore{store: t.store} }

// entriesStore implements [kvdriver.Store] as far as kv.Connect needs it.
type entriesStore struct {
	kvdriver.Store
	store driver.Store
}

func (s entriesStore) Open(context.Context, *kvdriver.Config) (kvdriver.Bucket, error) {
	return entries{s.store.Entries()}, nil
}

// entries is the bucket of a store's entries.
type entries struct{ kvdriver.Bucket }

// commit is a write of an entry together with the last chunk of its object. It comes in the
// context of the write.
type commit struct {
	writer driver.Writer
	chunk  *driver.Chunk
}

type commitKey struct{}

// Put implements [kvdriver.Bucket].
func (b entries) Put(ctx context.Context, writes ...kvdriver.Write) (uint64, error) {
	if c, ok := ctx.Value(commitKey{}).(*commit); ok && len(writes) == 1 {
		return c.writer.Commit(ctx, c.chunk, writes[0])
	}
	return b.Bucket.Put(ctx, writes...)
}

// openEntries opens the bucket of a store's entries.
func openEntries(ctx context.Context, t transport.Transport, s driver.Store) (*kv.KeyValue[entry], error) {
	return kv.Connect(ctx, entriesTransport{t, s}, kv.NewBucket[entry]("entries"))
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
