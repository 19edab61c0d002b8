package natsx

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
)

// newEntriesShape returns what the configuration of a stream means for the bucket of a store's
// entries. Their marks are never removed before the values of before expire.
func newEntriesShape(c *jetstream.StreamConfig) *shape {
	is := &shape{
		config: bucketConfig(c), prefix: objectSubject + strings.TrimPrefix(c.Name, objectStream) + ".M.",
		direct: c.AllowDirect, expires: c.AllowMsgTTL, batches: c.AllowAtomicPublish, markerLife: forever, rollup: true,
	}
	is.config.Name, is.config.History = strings.TrimPrefix(c.Name, objectStream), 1
	return is
}

// entries is the bucket of a store's entries. The keys of its callers have no padding, and the
// end of an object is a record without a value.
type entries struct {
	*bucket
	objects *objects
}

// Entries implements [driver.Store].
func (o *objects) Entries() kv.Bucket { return o.entries() }

func (o *objects) entries() entries { return entries{o.bucket, o} }

// padded returns a key as it is in a subject.
func padded(key string) string {
	if n := len(key) % 4; n > 1 && !hasWildcard(key) {
		return key + "=="[:4-n]
	}
	return key
}

// unpadded returns a record as the callers know it. The JSON of an entry reports its end.
func unpadded(r *kv.Record) *kv.Record {
	if r == nil {
		return nil
	}
	r.Key = strings.TrimRight(r.Key, "=")
	if r.Op == kv.Put && mayBeDeleted(r.Value) {
		var e struct {
			Deleted bool `json:"deleted"`
		}
		if json.Unmarshal(r.Value, &e) == nil && e.Deleted {
			r.Op, r.Value, r.Size = kv.Delete, nil, 0
		}
	}
	return r
}

// mayBeDeleted reports whether the JSON of an entry may be that of its end. Most entries are not
// decoded for that.
func mayBeDeleted(entry []byte) bool {
	return bytes.Contains(entry, []byte("eleted")) || bytes.IndexByte(entry, '\\') >= 0
}

// Get implements [kv.Bucket].
func (e entries) Get(ctx context.Context, key string, revision uint64, fresh bool) (*kv.Record, error) {
	r, err := e.bucket.Get(ctx, padded(key), revision, fresh)
	return unpadded(r), err
}

// Read implements [kv.Bucket].
func (e entries) Read(ctx context.Context, keys []string) ([]*kv.Record, uint64, error) {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = padded(key)
	}
	records, revision, err := e.bucket.Read(ctx, all)
	for _, r := range records {
		unpadded(r)
	}
	return records, revision, err
}

// Put implements [kv.Bucket].
func (e entries) Put(ctx context.Context, writes ...kv.Write) (uint64, error) {
	stored := slices.Clone(writes)
	for i := range stored {
		if err := e.encode(&stored[i]); err != nil {
			return 0, err
		}
	}
	revision, err := e.bucket.Put(ctx, stored...)
	if isFull(err) && len(writes) == 1 && writes[0].Op != kv.Put && writes[0].Expect != nil {
		return e.endFull(ctx, &stored[0], err)
	}
	return revision, err
}

// encode turns a write into that of an entry.
func (e entries) encode(w *kv.Write) (err error) {
	if w.Op != kv.Put {
		name, _ := base64.RawURLEncoding.DecodeString(w.Key)
		w.Op = kv.Put
		w.Value, err = json.Marshal(driver.Entry{Name: string(name), Bucket: e.shape.Load().config.Name, Deleted: true})
	}
	w.Key = padded(w.Key)
	return err
}

// Scan implements [kv.Bucket]. The end of an entry is in its JSON, so that is always read.
func (e entries) Scan(ctx context.Context, s kv.Scan, yield func(*kv.Record) bool) error {
	s.Patterns = paddedAll(s.Patterns)
	headersOnly := s.HeadersOnly
	s.HeadersOnly = false
	return e.bucket.Scan(ctx, s, bare(headersOnly, yield))
}

// Follow implements [kv.Bucket].
func (e entries) Follow(ctx context.Context, f kv.Follow, yield func(*kv.Record) bool) error {
	f.Patterns = paddedAll(f.Patterns)
	headersOnly := f.HeadersOnly
	f.HeadersOnly = false
	return e.bucket.Follow(ctx, f, bare(headersOnly, yield))
}

func paddedAll(patterns []string) []string {
	all := make([]string, len(patterns))
	for i, p := range patterns {
		all[i] = padded(p)
	}
	return all
}

func bare(headersOnly bool, yield func(*kv.Record) bool) func(*kv.Record) bool {
	return func(r *kv.Record) bool {
		if unpadded(r); headersOnly {
			r.Value = nil
		}
		return yield(r)
	}
}

// Remove implements [kv.Bucket].
func (e entries) Remove(ctx context.Context, key string, revision uint64) error {
	return e.bucket.Remove(ctx, padded(key), revision)
}
