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
	if !x.o.expired(r, time.Now()) {
		return nil
	}
	if x.now.IsZero() {
		is, err := x.o.Info(ctx)
		if err != nil {
			return err
		}
		x.now = is.Now
	}
	if x.o.expired(r, x.now) {
		r.Op = driver.Expire
	}
	return nil
}

// expired reports whether a record, nil for none, is a value that has expired.
func (o *opened) expired(r *driver.Record, now time.Time) bool {
	if r == nil || r.Op != driver.Put {
		return false
	}
	at := r.Expiry(o.Config().TTL)
	return !at.IsZero() && !now.Before(at)
}

// endExpired is end for one record.
func (o *opened) endExpired(ctx context.Context, r *driver.Record) error {
	x := expiry{o: o}
	return x.end(ctx, r)
}
