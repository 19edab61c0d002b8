package kv

import (
	"context"
	"time"

	"gomono.dev/kv/driver"
)

// expiry finds the values that have expired, in the answers to one read. A server removes them
// late, and without markers each replica removes them by its own clock. The clock of the leader
// decides. It is read only if a value has expired by the local clock: so a local clock that is
// ahead costs a request, and hides no value.
type expiry struct {
	o   *opened
	now time.Time // by the leader's clock; zero: not read yet
}

// end turns a value that has expired into the record of its end, with the same revision.
func (x *expiry) end(ctx context.Context, r *driver.Record) error {
	at := x.o.expiryOf(r)
	if at.IsZero() || time.Now().Before(at) {
		return nil
	}
	if x.now.IsZero() {
		is, err := x.o.Info(ctx)
		if err != nil {
			return err
		}
		x.now = is.Now
	}
	if !x.now.Before(at) {
		r.Op = driver.Expire
	}
	return nil
}

// expiryOf returns when a record is a value that has expired. It is zero for never, and for a record
// that is no value.
func (o *opened) expiryOf(r *driver.Record) time.Time {
	if r == nil || r.Op != driver.Put {
		return time.Time{}
	}
	return r.Expiry(o.Config().TTL)
}

// endExpired is end for one record.
func (o *opened) endExpired(ctx context.Context, r *driver.Record) error {
	x := expiry{o: o}
	return x.end(ctx, r)
}
