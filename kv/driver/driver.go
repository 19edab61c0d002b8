// Package driver is the contract between package kv and the backends that store buckets.
//
// A bucket is a sequence of records. Each has a key, an operation and a revision, which
// counts up over the whole bucket. The newest record of a key decides whether the key has
// a value. A bucket retains the last History records of each key.
//
// # Guarantees
//
//  1. Arguments are valid: package kv checks them. Keys and patterns are the tokens of a
//     subject (see package transport), with at most MaxKey bytes. A backend checks only
//     what it alone knows: the bucket's settings, its limits and its records.
//  2. A backend sends each request once, or again if no server has accepted it. It classifies
//     errors: every error is a transport.Error with the code and the outcome that the
//     methods specify, or the error of the context, with an unknown outcome. Package kv adds
//     the names of bucket and key, and the outcome of a read: it changes nothing, so it is
//     not done.
//  3. While the backend is disconnected or closed, methods that send one request return
//     Unavailable with OutcomeNotDone. Follow and Scan wait for the connection; only after
//     Close they return Unavailable.
//  4. All methods may be called concurrently. The caller owns the slices of a Record,
//     and leaves those of a Write unchanged until the call returns.
package driver

import (
	"context"
	"fmt"
	"iter"
	"time"

	"gomono.dev/transport"
)

// MaxKey is the maximum length of a key in a bucket, in bytes.
const MaxKey = 768

// MaxBatch is the maximum number of writes of one Put, and MaxRead that of keys of one
// Read. A NATS server has these limits.
const (
	MaxBatch = 1000
	MaxRead  = 1024
)

// Backend is a transport.Transport that stores buckets.
type Backend interface {
	transport.Transport

	// Buckets returns the store of the backend's buckets.
	Buckets() Store
}

// Store holds buckets.
type Store interface {
	// Open opens the bucket that c describes. A missing one is created, unless c.Existing
	// is set: then it is NotFound. A setting of c that is zero accepts the bucket's. If
	// another one differs, the bucket is updated, unless the bucket's generation is newer:
	// then it stays as it is. A setting that cannot be changed is FailedPrecondition, such as
	// the Mirror, and so are Sources from which the bucket would copy itself. One that the
	// backend does not support is Unimplemented. The buckets that it copies may be missing.
	Open(ctx context.Context, c *Config) (Bucket, error)

	// List returns the buckets, in any order. It ends with an error, or is complete.
	List(ctx context.Context) iter.Seq2[Info, error]

	// Delete deletes a bucket and its records. A missing one is NotFound.
	Delete(ctx context.Context, name string) error
}

// Bucket is an open bucket.
type Bucket interface {
	// Config returns the latest known settings. The caller does not change them.
	Config() *Config

	// Info returns the state of the bucket, of its leader if it is replicated.
	Info(ctx context.Context) (Info, error)

	// Get returns the newest record of a key, or the one with the given revision if it is
	// not 0. A missing record is NotFound. A replica may answer, which may not have the
	// newest records; if fresh is set, the leader answers.
	Get(ctx context.Context, key string, revision uint64, fresh bool) (*Record, error)

	// Read returns the newest records of the given keys, at most MaxRead, as of one
	// revision, which it also returns. Keys without a record are left out. Records are in
	// the order of revisions. ResourceExhausted means that one answer cannot hold them.
	Read(ctx context.Context, keys []string) (records []*Record, revision uint64, err error)

	// Put stores all writes or none, and returns the revision of the last one. Those of
	// the others immediately precede it. There are at most MaxBatch, of different keys.
	// FailedPrecondition means that the bucket is a mirror, Aborted that an Expect does not hold, InvalidArgument that a value is over
	// MaxValue, ResourceExhausted that the bucket is full, and Unimplemented that the
	// bucket cannot store several writes at once, or a TTL.
	Put(ctx context.Context, writes ...Write) (revision uint64, err error)

	// Scan calls yield for the records that s selects, in the order of revisions, until
	// yield returns false. It returns nil only if yield got all or returned false. Without
	// History, each key comes once: if its newest record is replaced during the Scan, with
	// that or with a newer one. If a replica that lags answers, an older record of a key may
	// precede its newest. A connection that is lost meanwhile is made again.
	Scan(ctx context.Context, s Scan, yield func(*Record) bool) error

	// Follow calls yield for the records that f selects, in the order of revisions, until
	// yield returns false, and then returns nil. It continues over lost connections,
	// leaders and consumers, and repeats nothing. It returns ErrGap if it may have missed
	// a record that marked the end of a value and no longer exists, or if the bucket has not
	// reached the revision to begin after, since it was created again. It also returns at the
	// end of ctx, NotFound if the bucket was deleted, and Unavailable after Close.
	Follow(ctx context.Context, f Follow, yield func(*Record) bool) error

	// Remove deletes the records of a key up to a revision, markers included. Nothing is
	// left of them. Later records stay.
	Remove(ctx context.Context, key string, revision uint64) error
}

// ErrGap is the error of a Follow that may have missed the end of a value.
var ErrGap = transport.Errorf(transport.DataLoss, transport.OutcomeNotDone, "records were removed before they were read")

// Config has the settings of a bucket.
type Config struct {
	Name        string
	Existing    bool // do not create or change the bucket
	Description string
	History     int           // records that are kept of each key, 1 to 64; 0 means 1
	TTL         time.Duration // of all values; 0 means that they do not expire
	MaxValue    int           // bytes of a value; 0 means no limit but the payload's
	MaxBytes    int64         // of the bucket; 0 means no limit
	Memory      bool          // values are lost when the servers stop
	Replicas    int           // 0 means the backend's default
	Compressed  bool
	Placement   *Placement
	Republish   *Republish
	Mirror      *Source  // the bucket is a copy with the same revisions, and read-only
	Sources     []Source // buckets whose records are copied into this one, with new revisions
	Generation  uint64   // of the declaration; the highest wins
}

// Placement specifies servers of a cluster.
type Placement struct {
	Cluster string
	Tags    []string
}

// String returns the name of the cluster and the tags.
func (p Placement) String() string { return fmt.Sprintf("cluster %q, tags %q", p.Cluster, p.Tags) }

// Republish publishes each record again on another subject. The subject of a record is
// "$KV." with the bucket, a dot and the key.
type Republish struct {
	Source, Destination string // patterns, as in a subject transform (ADR-28)
	HeadersOnly         bool
}

// String returns the source and the destination.
func (r Republish) String() string {
	if r.HeadersOnly {
		return r.Source + " to " + r.Destination + ", without values"
	}
	return r.Source + " to " + r.Destination
}

// Source is a bucket to copy from.
type Source struct {
	Bucket string
	Keys   string // a pattern; "" means all
	Domain string // of JetStream; "" means this one's
}

// String returns the name of the bucket, with the keys and the domain if they are set.
func (s Source) String() string {
	text := s.Bucket
	if s.Keys != "" {
		text += ", keys " + s.Keys
	}
	if s.Domain != "" {
		text += ", domain " + s.Domain
	}
	return text
}

// Info is the state of a bucket.
type Info struct {
	Config  Config
	Records uint64 // including older ones and markers
	Bytes   uint64
	First   uint64 // the oldest revision, Last+1 if there is none
	Last    uint64 // the highest revision ever assigned

	// Now is the time by the clock of the leader. A value has expired at its Expiry by this
	// clock, also if a server still has it: each removes it a moment later.
	Now time.Time

	// Expires reports whether values with a TTL of their own can be stored, and Batches
	// whether several writes at once can.
	Expires, Batches bool
}

// Op is the operation of a record.
type Op uint8

const (
	Put    Op = iota // sets the value
	Delete           // marks the key as deleted, and keeps its older records
	Purge            // marks the key as deleted, and removes its older records
	Expire           // written by the backend when a value has expired
)

// Record is one record of a bucket.
type Record struct {
	Key      string
	Op       Op
	Revision uint64
	Created  time.Time        // by the backend's clock
	TTL      time.Duration    // 0: the bucket's; negative: none, not even the bucket's
	Header   transport.Header // without the backend's fields
	Value    []byte           // nil if HeadersOnly
	Size     int              // bytes of the value, also if HeadersOnly
}

// Expiry returns the time at which a record expires in a bucket with the given TTL. It is
// zero if the record does not expire.
func (r *Record) Expiry(bucket time.Duration) time.Time {
	switch ttl := r.TTL; {
	case ttl < 0:
		return time.Time{}
	case ttl > 0 && (bucket <= 0 || ttl < bucket):
		return r.Created.Add(ttl)
	case bucket > 0:
		return r.Created.Add(bucket)
	}
	return time.Time{}
}

// Write is one record to be stored.
type Write struct {
	Key    string
	Op     Op // not Expire
	Header transport.Header
	Value  []byte

	// TTL is the life of the record, in whole seconds; 0 means the bucket's. A value with a
	// TTL replaces all older records of its key, so that none reappears when it expires.
	TTL time.Duration

	// Expect, if not nil, is the revision of the key's newest record, 0 for none.
	Expect *uint64
}

// Scan selects the records of a Scan.
type Scan struct {
	Patterns    []string // any of them matches; none means all keys
	UpTo        uint64   // no record after this revision; 0 means all that there are at the end
	History     bool     // all records of each key, not only the newest
	After       uint64   // with History: only records after this revision
	HeadersOnly bool
}

// Follow selects the records of a Follow.
type Follow struct {
	Patterns    []string // any of them matches; none means all keys
	After       uint64   // only records after this revision
	HeadersOnly bool

	// Current, if not nil, is called on the goroutine of yield when yield has got all records
	// that there are. A later Follow of the same records can begin after the given revision.
	// If lasting is set, that remains so until the next call of yield, or until Follow
	// returns. Otherwise Current is called again at least about once a second while the
	// connection lasts.
	Current func(revision uint64, lasting bool)
}
