package natsx

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// A bucket is a stream in the format of ADR-8, which the clients of NATS share: the stream
// KV_<bucket> stores the records of a key under the subject $KV.<bucket>.<key>.
const (
	bucketStream  = "KV_"
	bucketSubject = "$KV."
)

// bucket is an open bucket.
type bucket struct {
	stream
	shape atomic.Pointer[shape]
}

// shape is what the latest known configuration of the stream means for the bucket.
type shape struct {
	config     driver.Config
	prefix     string // of the subjects of records; a mirror has its origin's
	direct     bool   // any replica answers reads
	expires    bool   // a record can have a TTL
	batches    bool
	rollup     bool          // each record replaces all older ones of its key
	markerLife time.Duration // of the markers of ended values

	// shortestLife is that of a marker to which another client has given a TTL. A bucket with
	// history keeps such a marker for its markerLife.
	shortestLife time.Duration
}

// forever is the life of markers in a bucket whose records do not expire.
const forever time.Duration = math.MaxInt64

func newShape(c *jetstream.StreamConfig) *shape {
	if isObjects(c) {
		return newEntriesShape(c)
	}
	is := &shape{
		config: bucketConfig(c), prefix: keyPrefix(c), direct: c.AllowDirect, expires: c.AllowMsgTTL, batches: c.AllowAtomicPublish,
		markerLife: markerLife(c),
	}
	if is.shortestLife = is.markerLife; c.AllowMsgTTL && c.MaxMsgsPerSubject == 1 {
		is.shortestLife = minTTL
	}
	return is
}

// minTTL is the minimum of a TTL.
const minTTL = time.Second

// keyPrefix returns the text before the key in the subjects of a bucket.
func keyPrefix(c *jetstream.StreamConfig) string {
	own := bucketSubject + strings.TrimPrefix(c.Name, bucketStream) + "."
	m := c.Mirror
	if m == nil || slices.ContainsFunc(m.SubjectTransforms, func(t jetstream.SubjectTransformConfig) bool { return strings.HasPrefix(t.Destination, own) }) {
		return own
	}
	return bucketSubject + strings.TrimPrefix(m.Name, bucketStream) + "."
}

// markerLife returns how long the server keeps the marker of an ended value, unless a client has
// given it a shorter TTL. If the server writes no markers, only clients do, and a reader
// computes which values expire.
func markerLife(c *jetstream.StreamConfig) time.Duration {
	life := forever
	switch {
	case c.SubjectDeleteMarkerTTL > 0:
		life = c.SubjectDeleteMarkerTTL
	case c.AllowMsgTTL:
		life = minTTL
	}
	if c.MaxAge > 0 {
		life = min(life, c.MaxAge)
	}
	return life
}

// Config implements [driver.Bucket].
func (b *bucket) Config() *driver.Config { return &b.shape.Load().config }

// Info implements [driver.Bucket].
func (b *bucket) Info(ctx context.Context) (driver.Info, error) {
	is, err := b.look(ctx)
	if err != nil {
		return driver.Info{}, err
	}
	return bucketInfo(is), nil
}

func bucketInfo(is *jetstream.StreamInfo) driver.Info {
	state := &is.State
	info := driver.Info{
		Config: bucketConfig(&is.Config), Records: state.Msgs, Bytes: state.Bytes, First: state.FirstSeq, Last: state.LastSeq,
		Expires: is.Config.AllowMsgTTL && is.Config.Mirror == nil, Batches: is.Config.AllowAtomicPublish, Now: is.TimeStamp,
	}
	if info.Now.IsZero() { // a server before 2.10
		info.Now = time.Now()
	}
	if state.Msgs == 0 {
		info.First = state.LastSeq + 1
	}
	return info
}

// look asks the leader for the state of the stream.
func (b *bucket) look(ctx context.Context) (*jetstream.StreamInfo, error) {
	is, err := b.info(ctx)
	if err != nil {
		return nil, b.explain(err)
	}
	b.shape.Store(newShape(&is.Config))
	return is, nil
}

// Remove implements [driver.Bucket].
func (b *bucket) Remove(ctx context.Context, key string, revision uint64) error {
	is := b.shape.Load()
	if err := is.checkWritable(); err != nil {
		return err
	}
	request := map[string]any{"filter": is.prefix + key, "seq": revision + 1} // 0, after the largest revision, means all
	_, err := askStream(ctx, b.stream, func(ctx context.Context) (none struct{}, err error) {
		return none, b.t.api.request(ctx, "STREAM.PURGE."+b.name, request, &struct{}{})
	})
	return b.explain(err)
}

// checkWritable returns an error for a mirror, which takes records from its origin only.
func (is *shape) checkWritable() error {
	if m := is.config.Mirror; m != nil {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "the bucket is a mirror of %s: write to that one", m.Bucket)
	}
	return nil
}

// noBucket returns the error for a bucket that does not exist.
func (t *Transport) noBucket(outcome transport.Outcome, cause error) error {
	e := transport.Errorf(transport.NotFound, outcome, "%s: it does not exist: it was deleted, or never created", t.address)
	e.Err = cause
	return e
}

// explain converts an error of JetStream's API, also if api has explained it for a log.
func (b *bucket) explain(err error) error { return b.t.explainBucket(err) }

func (t *Transport) explainBucket(err error) error {
	e := apiErrorOf(err)
	switch {
	case err == nil:
		return nil
	case e == nil:
		return t.api.explain(err)
	case e.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return t.noBucket(transport.OutcomeNotDone, err)
	}
	fail := t.api.refusal(err, e, cmp.Or(bucketAdvice[e.ErrorCode], advice[e.ErrorCode]))
	fail.Code = cmp.Or(bucketCodes[e.ErrorCode], fail.Code)
	return fail
}

// Codes of JetStream's API that concern buckets only.
const (
	codeSealed          jetstream.ErrorCode = 10109
	codeRollup          jetstream.ErrorCode = 10111
	codeTTLInvalid      jetstream.ErrorCode = 10165
	codeBatchDisabled   jetstream.ErrorCode = 10174
	codeBatchIncomplete jetstream.ErrorCode = 10176
	codeBatchTooLarge   jetstream.ErrorCode = 10199
	codeBatchesTooMany  jetstream.ErrorCode = 10210
)

// bucketCodes maps errors to codes, and precedes codeFor.
var bucketCodes = map[jetstream.ErrorCode]transport.Code{
	codeSealed:          transport.FailedPrecondition,
	codeRollup:          transport.FailedPrecondition,
	codeBatchDisabled:   transport.Unimplemented,
	codeBatchIncomplete: transport.Unavailable,
	codeBatchTooLarge:   transport.ResourceExhausted,
	codeBatchesTooMany:  transport.Unavailable,
}

// bucketAdvice maps errors to remedies, and precedes advice.
var bucketAdvice = map[jetstream.ErrorCode]string{
	jetstream.JSErrCodeMaximumConsumersLimit: "raise the server's, account's or stream's limit of consumers (max consumers), or read with fewer listings and watchers at once",
	codeSubjectOverlap:                       "another stream has its subjects: delete that, or choose another name",
	codeMaxStreams:                           "raise the account's limit of streams (max streams), or use fewer",
	codeResources:                            "the server has no room for it: make room, or raise its limits",
	codeStoreFailed:                          "delete what is not needed, or raise MaxBytes",
	codeSealed:                               "it is sealed, and read-only",
	codeRollup:                               "another client has created it without rollups: allow them (allow_rollup_hdrs)",
	codeTTLInvalid:                           "use at least one second",
	codeTTLDisabled:                          ttlAdvice,
	codeBatchDisabled:                        batchAdvice,
	codeBatchIncomplete:                      "try again",
	codeBatchTooLarge:                        "write fewer keys at once, or raise the server's limit (max_batch_size)",
	codeBatchesTooMany:                       "try later, or raise the server's limit (max_batch_inflight_per_stream)",

	jetstream.JSErrCodeStreamMessageExceedsMaximum:     "store less, or raise MaxValue",
	jetstream.JSErrCodeStreamWrongLastSequence:         "read the key, and try again",
	jetstream.JSErrCodeStreamWrongLastSequenceConstant: "read the key, and try again",
}

// Advice for a bucket without a feature.
const (
	ttlAdvice   = "it was created by another client, or on a server before 2.11: allow TTLs in its stream (nats stream edit --allow-msg-ttl)"
	batchAdvice = "it was created by another client, or on a server before 2.12: allow batches in its stream (nats stream edit --allow-batch)"
)

var errNoRecord = transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such record")
