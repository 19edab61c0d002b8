package accesslog

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gomono.dev/mono"
)

// Field is a part of a record.
type Field uint8

// The fields, with the names of their attributes.
const (
	Module    Field = iota // mono.module: the module that handles the message, or sends it
	Kind                   // mono.kind
	Handle                 // rpc.method of a service, messaging.destination.name of others
	Group                  // messaging.consumer.group.name
	ID                     // messaging.message.id
	RequestID              // request_id, as in package requestid
	Sender                 // mono.sender: the module that has sent the message
	Local                  // mono.local: true for a local call
	Partition              // messaging.destination.partition.id
	Attempt                // mono.attempt, of a stored message
	Count                  // messaging.batch.message_count, of a batch of several
	Outcome                // mono.outcome: success, error, and of a send also "not done" and unknown
	Code                   // error.type: the code of the error
	Error                  // error.message: the text of the error, at most 1 KiB
	Duration               // mono.duration, in seconds
	Wait                   // mono.wait: from the storage of a message, or the time of a delayed job, to this attempt, in seconds
	Size                   // messaging.message.body.size, in bytes
	ReplySize              // mono.reply.size, in bytes
	numberOfFields
)

const allFields fieldSet = 1<<numberOfFields - 1

type fieldSet uint32

func (s fieldSet) has(f Field) bool { return s&(1<<f) != 0 }

// DefaultBuffer is the number of records that may wait for the writer, unless Buffer sets another.
const DefaultBuffer = 2048

// Option is an option of New.
type Option func(*options)

type options struct {
	handler    slog.Handler
	fields     fieldSet
	unknown    bool // a field that does not exist was given
	sent       bool
	localSizes bool
	fraction   float64
	threshold  uint64 // of a hash, for the fraction
	slow       time.Duration
	level      func(c *mono.Call, err error, took time.Duration) slog.Level
	attrs      func(ctx context.Context, c *mono.Call) []slog.Attr
	buffer     int
}

// Attrs adds the attributes that f returns to each record, such as a trace id. f runs when the
// handler has returned, on its goroutine. Its values are written later and must not change.
func Attrs(f func(ctx context.Context, c *mono.Call) []slog.Attr) Option {
	return func(o *options) { o.attrs = f }
}

// Buffer sets the number of records that may wait for the writer, DefaultBuffer by default. A
// record needs about 200 bytes.
func Buffer(n int) Option { return func(o *options) { o.buffer = n } }

// Fields sets the fields of a record, instead of all.
func Fields(fields ...Field) Option {
	return func(o *options) {
		o.fields = 0
		for _, f := range fields {
			o.fields |= 1 << f
			o.unknown = o.unknown || f >= numberOfFields
		}
	}
}

// Level sets the level of a record. f gets the error of the handler, or of the send, and the time
// that it took. By default the level is LevelInfo without an error, and for Canceled,
// InvalidArgument, NotFound, AlreadyExists and Unauthenticated, which blame the caller. It is
// LevelError for Unknown, Unimplemented, Internal, DataLoss and unknown codes, and otherwise
// LevelWarn. A message that is [Slow] has at least LevelWarn.
func Level(f func(c *mono.Call, err error, took time.Duration) slog.Level) Option {
	return func(o *options) { o.level = f }
}

// LocalSizes adds the sizes of local calls, whose values must be encoded for that.
func LocalSizes() Option { return func(o *options) { o.localSizes = true } }

// Sample logs this fraction of the requests, from 0 to 1, and all errors and [Slow] messages. The
// request id decides, or without package requestid the id of the message, so all processes with the
// same fraction log the same requests, as a whole. Without package requestid, receivers of an event
// that carries no id (see mono.Event) decide independently.
func Sample(fraction float64) Option { return func(o *options) { o.fraction = fraction } }

// Sent also logs each message that is sent. Without it, local calls stay direct and the log costs
// them less.
func Sent() Option { return func(o *options) { o.sent = true } }

// Slow logs each message that takes d or longer, at LevelWarn at least.
func Slow(d time.Duration) Option { return func(o *options) { o.slow = d } }

// check panics on a bad option, which is a mistake in the program's text.
func (o *options) check() {
	switch {
	case o.handler == nil:
		panic("accesslog: New(nil): want a slog.Handler")
	case o.fields == 0 || o.unknown:
		panic("accesslog: Fields: want at least one of this package, and no others")
	case !(o.fraction >= 0 && o.fraction <= 1):
		panic(fmt.Sprintf("accesslog: Sample(%v): want a number from 0 to 1", o.fraction))
	case o.slow < 0:
		panic(fmt.Sprintf("accesslog: Slow(%v): want a positive time", o.slow))
	case o.level == nil:
		panic("accesslog: Level(nil): want a function")
	case o.buffer < 1:
		panic(fmt.Sprintf("accesslog: Buffer(%d): want at least 1", o.buffer))
	}
	o.threshold = uint64(o.fraction * (1 << 63))
}

func (o *options) has(f Field) bool { return o.fields.has(f) }

// sampled reports whether a message without an error is logged.
func (o *options) sampled(c *mono.Call, request string) bool {
	switch o.fraction {
	case 1:
		return true
	case 0:
		return false
	}
	if request == "" {
		request = c.ID()
	}
	return hash(request)>>1 < o.threshold
}

// hash is FNV-1a, and the finalizer of MurmurHash3, so that similar texts differ in all bits.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func defaultLevel(_ *mono.Call, err error, _ time.Duration) slog.Level {
	if err == nil {
		return slog.LevelInfo
	}
	switch mono.CodeOf(err) {
	case mono.Canceled, mono.InvalidArgument, mono.NotFound, mono.AlreadyExists, mono.Unauthenticated:
		return slog.LevelInfo
	case mono.DeadlineExceeded, mono.PermissionDenied, mono.ResourceExhausted, mono.FailedPrecondition, mono.Aborted, mono.OutOfRange, mono.Unavailable:
		return slog.LevelWarn
	}
	return slog.LevelError
}
