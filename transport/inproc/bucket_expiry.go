package inproc

import (
	"time"

	"gomono.dev/kv/driver"
)

// markerLife is how long the marker of an expired value stays.
const markerLife = time.Minute

// awake is called by the alarm. If the alarm was set to a later time since, it continues.
func (b *bucket) awake() {
	b.lock()
	defer b.unlock()
	if b.alarm.at != never {
		b.alarm.start(b.now)
	}
}

// expireLater notes when a new record expires.
func (b *bucket) expireLater(r *bucketRecord) {
	r.index, r.expires = -1, never
	if r.TTL > 0 {
		r.expires = after(r.stored, r.TTL)
		b.expiry.push(r)
	}
	b.expireAt(min(r.expires, b.age(r)))
}

// expireAt makes the bucket expire records at a time, or earlier. The alarm rings at whole
// milliseconds, so that a bucket with constant writes wakes up at most a thousand times a
// second.
func (b *bucket) expireAt(at int64) {
	if at < b.due {
		b.due = at
		b.alarm.set(expiryOf(at, 0), b.now)
	}
}

// age returns the time at which a record expires by the TTL of the bucket.
func (b *bucket) age(r *bucketRecord) int64 {
	if b.config.TTL <= 0 {
		return never
	}
	return after(r.stored, b.config.TTL)
}

// expire handles all records that have expired, in the order of their expiry.
func (b *bucket) expire() {
	for {
		r, at := b.nextExpiry()
		if at > b.now {
			b.due = never
			b.expireAt(at)
			return
		}
		b.expired(r, at)
	}
}

func (b *bucket) nextExpiry() (next *bucketRecord, at int64) {
	at = never
	if r := b.records.oldest(); r != nil {
		next, at = r, b.age(r)
	}
	if len(b.expiry) > 0 && b.expiry[0].expires < at {
		next, at = b.expiry[0], b.expiry[0].expires
	}
	return next, at
}

// expired removes a record. As on NATS, a marker replaces the newest of its key, if that
// is a value or a Delete. It is then the only one: each older record has expired, or was
// removed by the TTL of this one. A mirror has only the markers of its origin.
func (b *bucket) expired(r *bucketRecord, at int64) {
	if r != r.key.newest || r.Op == driver.Purge || r.Op == driver.Expire || b.config.Mirror != nil {
		b.remove(r)
		return
	}
	b.before = b.last
	marker := newBucketRecord(&driver.Write{Op: driver.Expire, TTL: markerLife})
	b.add(r.key.name, marker, at, 0)
	b.wake()
}
