package kv

import (
	"context"
	"iter"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Status is the state of a bucket.
type Status struct {
	Name        string // at the backend
	Description string
	Records     uint64 // including history and the marks of deletions
	Bytes       uint64
	Revision    uint64 // the newest one
	History     int
	TTL         time.Duration // 0: none
	MaxValue    int           // bytes; 0: no limit
	MaxBytes    int64         // 0: no limit
	Memory      bool
	Replicas    int
	Compression bool
	MirrorOf    string // the bucket of which it is a read-only copy
	KeyTTL      bool   // whether writes can have a TTL
	Batches     bool   // whether Batch works
}

func statusOf(is driver.Info) Status {
	c := &is.Config
	s := Status{
		Name: c.Name, Description: c.Description, Records: is.Records, Bytes: is.Bytes, Revision: is.Last,
		History: max(c.History, 1), TTL: c.TTL, MaxValue: c.MaxValue, MaxBytes: c.MaxBytes, Memory: c.Memory,
		Replicas: max(c.Replicas, 1), Compression: c.Compressed, KeyTTL: is.Expires, Batches: is.Batches,
	}
	if c.Mirror != nil {
		s.MirrorOf = c.Mirror.Bucket
	}
	return s
}

// Buckets returns the buckets of a transport, in any order, by whatever program they were
// made. The iteration is complete, or ends with an error.
func Buckets(ctx context.Context, t transport.Transport) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		backend, err := backendOf(t)
		if err != nil {
			yield(Status{}, about("list buckets", err))
			return
		}
		for is, err := range backend.List(ctx) {
			if !yield(statusOf(is), about("list buckets", err)) || err != nil {
				return
			}
		}
	}
}

// DeleteBucket deletes a bucket with all its values, by its stored name. A missing one is
// not_found.
func DeleteBucket(ctx context.Context, t transport.Transport, name string) error {
	if !validStored.MatchString(name) {
		return inBucket(name, invalid("want a name of 1 to 200 letters, digits, underscores and hyphens"))
	}
	backend, err := backendOf(t)
	if err == nil {
		err = backend.Delete(ctx, name)
	}
	return inBucket(name, err)
}
