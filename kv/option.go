package kv

import (
	"fmt"
	"time"

	"gomono.dev/codec"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// BucketOption is an option of NewBucket: [TTL], [History], [Description], [MaxValue],
// [MaxBytes], [Memory], [Replicas], [Compression], [PlacedIn], [RepublishTo], [MirrorOf],
// [SourcedFrom], [StoredAs], [Existing], [Codec], [Upcasts], [Cached] or [MaxStale].
type BucketOption interface{ bucketOption(o *bucketOptions) }

// WriteOption is an option of Put, Create, Update, Modify and Touch: [TTL].
type WriteOption interface{ writeOption(o *writeOptions) }

// DeleteOption is an option of Delete and Purge: [IfRevision].
type DeleteOption interface{ deleteOption(o *deleteOptions) }

// WatchOption is an option of Watch: a [Selector], [UpdatesOnly], [FromRevision],
// [MetadataOnly] or [IgnoreDeletes].
type WatchOption interface{ watchOption(o *watchOptions) }

type bucketOptions struct {
	driver.Config
	storedAs   string
	codec      codec.Codec
	upcasts    *codec.Upcasts
	cached     bool
	cachedKeys []Selector
	maxStale   time.Duration
	err        error
}

type writeOptions struct{ ttl *time.Duration }

type deleteOptions struct{ expect *uint64 }

type bucketOption func(*bucketOptions)

func (f bucketOption) bucketOption(o *bucketOptions) { f(o) }

type deleteOption func(*deleteOptions)

func (f deleteOption) deleteOption(o *deleteOptions) { f(o) }

// TTLOption is an option of NewBucket and a WriteOption. Create one with [TTL].
type TTLOption struct{ life time.Duration }

// TTL limits the life of values, and of one value as an option of a write. The shorter of
// both counts. A value that has expired is gone, and no older one reappears: a write with a
// TTL replaces the history of its key. Each write sets the life anew: one without the option
// has only the bucket's.
//
// The server counts whole seconds: the life is rounded up, and at least a second. From
// [Entry.Expires] on, the value is gone for every reader, whichever server answers. A server of
// NATS may remove it a second later. Until then History and Watch may return the value.
//
// The clock of the server that leads the bucket decides. A process asks for it if a value has
// expired by the local clock. So a local clock that is ahead costs a request, and hides no
// value. If it is behind, a value may be returned late, by at most the difference.
func TTL(life time.Duration) TTLOption { return TTLOption{life} }

func (t TTLOption) bucketOption(o *bucketOptions) {
	o.TTL = t.life
	o.err = firstError(o.err, t.check())
}

func (t TTLOption) writeOption(o *writeOptions) { o.ttl = &t.life }

func (t TTLOption) check() error {
	if t.life < minTTL || t.life > maxTTL {
		return fmt.Errorf("a TTL of %v: want 1s to %v", t.life, maxTTL)
	}
	return nil
}

const (
	minTTL = time.Second
	maxTTL = 100 * 365 * 24 * time.Hour
)

// wholeSeconds rounds a life up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// MaxHistory is the maximum of [History].
const MaxHistory = 64

// History sets the number of records that are kept of each key, 1 to 64. The default is 1.
func History(n int) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.History = n
		if n < 1 || n > MaxHistory {
			o.err = firstError(o.err, fmt.Errorf("a History of %d: want 1 to %d", n, MaxHistory))
		}
	})
}

// Description sets the description that tools show.
func Description(text string) BucketOption {
	return bucketOption(func(o *bucketOptions) { o.Description = text })
}

// MaxValue limits the size of an encoded value, in bytes. Without it only the transport's
// payload limit counts.
func MaxValue(bytes int) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.MaxValue = bytes
		if bytes < 1 {
			o.err = firstError(o.err, fmt.Errorf("a MaxValue of %d bytes: want 1 or more", bytes))
		}
	})
}

// MaxBytes limits the size of the bucket, in bytes. A write to a full bucket is
// resource_exhausted.
func MaxBytes(bytes int64) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.MaxBytes = bytes
		if bytes < 1 {
			o.err = firstError(o.err, fmt.Errorf("MaxBytes of %d: want 1 or more", bytes))
		}
	})
}

// Memory stores the bucket in memory: its values are lost when the servers stop. It cannot
// be changed later.
func Memory() BucketOption { return bucketOption(func(o *bucketOptions) { o.Memory = true }) }

// Replicas sets the number of servers that store the bucket, 1 to 5. The default is the
// backend's.
func Replicas(n int) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.Replicas = n
		if n < 1 || n > 5 {
			o.err = firstError(o.err, fmt.Errorf("%d Replicas: want 1 to 5", n))
		}
	})
}

// Compression compresses the bucket on disk.
func Compression() BucketOption {
	return bucketOption(func(o *bucketOptions) { o.Compressed = true })
}

// PlacedIn places the bucket on servers of a cluster with all the tags. cluster may be empty.
func PlacedIn(cluster string, tags ...string) BucketOption {
	return bucketOption(func(o *bucketOptions) { o.Placement = &driver.Placement{Cluster: cluster, Tags: tags} })
}

// RepublishTo publishes each record again on another subject, by the rules of a subject
// transform. source is a pattern of keys, ">" for all.
func RepublishTo(source, destination string) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.Republish = &driver.Republish{Source: source, Destination: destination}
		if transport.ValidatePattern(source) != nil || destination == "" {
			o.err = firstError(o.err, fmt.Errorf("RepublishTo(%q, %q): want a pattern of keys, and a subject", source, destination))
		}
	})
}

// MirrorOf makes the bucket a read-only copy of another one, by its stored name. The records keep
// their revisions and times, so deletions and expiry are copied too; the copy has a History of its
// own. Any other bucket cannot become a mirror later.
//
// The other bucket may be created later. A change arrives after a moment. PurgeDeletes of
// the other bucket leaves the copy as it is. domain is the other's JetStream domain, "" for
// the same. On NATS, a mirror of the same domain also answers reads of the other bucket: see
// [KeyValue.Get].
func MirrorOf(bucket, domain string) BucketOption {
	return bucketOption(func(o *bucketOptions) { o.Mirror = &driver.Source{Bucket: bucket, Domain: domain} })
}

// SourcedFrom copies the records of another bucket, by its stored name, into this one. They get
// revisions of this bucket, and a TTL begins anew. Deletions and the ends of values are copied
// too, whoever wrote the value here. The bucket can also be written, and have several sources. It
// cannot copy itself, directly or through others.
//
// The other bucket may be created later. A change arrives after a moment. domain is the other's
// JetStream domain, "" for the same.
func SourcedFrom(bucket, domain string) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.Sources = append(o.Sources, driver.Source{Bucket: bucket, Domain: domain})
	})
}

// StoredAs sets the name under which the bucket is stored, without a namespace. It is for a
// bucket of another program.
func StoredAs(name string) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.storedAs = name
		if !validStored.MatchString(name) {
			o.err = firstError(o.err, fmt.Errorf("StoredAs(%q): want 1 to 200 letters, digits, underscores and hyphens", name))
		}
	})
}

// Existing makes Open fail with not_found if the bucket does not exist, and never changes
// its settings.
func Existing() BucketOption { return bucketOption(func(o *bucketOptions) { o.Existing = true }) }

// Codec sets the codec of new values. The default is the App's, or JSON. Values that are in
// the bucket keep theirs.
func Codec(c codec.Codec) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		o.codec = c
		if c == nil {
			o.err = firstError(o.err, fmt.Errorf("a nil Codec: leave the option out for the default"))
		}
	})
}

// Upcasts reads values of an older shape: each step, made with codec.Upcast, converts one
// version to the next, and the last one makes the type of the bucket. A value without a version
// has version 1. Writers write the newest version in the content type, as in
// "application/json; version=2". While an older release may run, codec.Transition as the last step
// writes the version before it. A value keeps its version until it is written again.
//
// A value of a version that the program does not know is data_loss, with a [DecodeError] that
// names it. Modify then writes nothing. Put needs no value, so it replaces a newer one.
func Upcasts(steps ...codec.Step) BucketOption {
	return bucketOption(func(o *bucketOptions) {
		var err error
		o.upcasts, err = codec.NewUpcasts(steps...)
		o.err = firstError(o.err, err)
	})
}

// IfRevision makes a Delete or a Purge fail with aborted unless the key's newest revision is
// the given one.
func IfRevision(revision uint64) DeleteOption {
	return deleteOption(func(o *deleteOptions) { o.expect = &revision })
}
