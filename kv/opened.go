package kv

import (
	"context"
	"log/slog"

	"gomono.dev/codec"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// opened is an open bucket. All stores of one App share it.
type opened struct {
	driver.Bucket
	name    string      // at the backend
	codec   codec.Codec // of new values
	media   string      // of codec
	upcasts *codec.Upcasts
	log     *slog.Logger
	feed    *feed
	cache   *cache // nil: none
	written written
}

// Info implements [driver.Bucket], with errors of a read.
func (o *opened) Info(ctx context.Context) (driver.Info, error) {
	is, err := o.Bucket.Info(ctx)
	return is, ofRead(err)
}

// Get implements [driver.Bucket], with errors of a read.
func (o *opened) Get(ctx context.Context, key string, revision uint64, fresh bool) (*driver.Record, error) {
	r, err := o.Bucket.Get(ctx, key, revision, fresh)
	return r, ofRead(err)
}

// Read implements [driver.Bucket], with errors of a read.
func (o *opened) Read(ctx context.Context, keys []string) ([]*driver.Record, uint64, error) {
	records, revision, err := o.Bucket.Read(ctx, keys)
	return records, revision, ofRead(err)
}

// Scan implements [driver.Bucket], with errors of a read.
func (o *opened) Scan(ctx context.Context, s driver.Scan, yield func(*driver.Record) bool) error {
	return ofRead(o.Bucket.Scan(ctx, s, yield))
}

// ofRead returns the error of a read. A read changes nothing, so it has no unknown outcome.
func ofRead(err error) error {
	if err == nil || !isUnknown(err) {
		return err
	}
	if e, ok := err.(*transport.Error); ok {
		is := *e
		is.Outcome = transport.OutcomeNotDone
		return &is
	}
	return notDone(transport.CodeOf(err), "%w", err)
}

// record returns the newest record of a key, markers included, and marks a value that has
// expired. A replica or a mirror that does not have the last write of this process is not
// believed.
func (o *opened) record(ctx context.Context, key string, fresh bool) (*driver.Record, error) {
	r, err := o.Get(ctx, key, 0, fresh)
	if !fresh && (err == nil || transport.CodeOf(err) == transport.NotFound) {
		if least := o.written.of(key); least > 0 && (err != nil || r.Revision < least) {
			r, err = o.Get(ctx, key, 0, true)
		}
	}
	if err != nil {
		return nil, err
	}
	return r, o.endExpired(ctx, r)
}

// put stores writes, and notes their revisions.
func (o *opened) put(ctx context.Context, writes ...driver.Write) (uint64, error) {
	revision, err := o.Put(ctx, writes...)
	for i := range writes {
		switch key := writes[i].Key; {
		case err == nil:
			is := revision - uint64(len(writes)-1-i)
			o.written.note(key, is)
			o.forget(key, is)
		case isUnknown(err):
			o.forget(key, 0)
		}
	}
	return revision, err
}

// forget tells the cache that this process has written a key.
func (o *opened) forget(written string, revision uint64) {
	if o.cache != nil {
		o.cache.wrote(written, revision)
	}
}
