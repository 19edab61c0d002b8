// Package accesslog writes one log record for each message that an App handles.
//
//	app := mono.New(t, requestid.Propagate())
//	app.Use(accesslog.New(slog.NewJSONHandler(os.Stdout, nil)))
//
// A record has the [Field] values that its message has: a call has no attempt, and an event
// has no reply. Its time is the end of the handler. The names of attributes follow version 1.43
// of OpenTelemetry's semantic conventions, and other names begin with "mono.". Attributes of all
// records, such as messaging.system, belong to the handler of the log: see
// [slog.Handler.WithAttrs]. The place of the log among other middleware does not matter for the
// request id.
//
// A batch is one record, with the number of its messages and the sum of their sizes. The ID, the
// request id and other properties are those of its first message. [Sent] adds a record for each
// message that is sent.
//
// # When a record is written
//
// No message waits for the log. A record is put into a buffer under a lock, and at most one
// goroutine at a time writes the buffer: 10 ms after its first record, or earlier if half of
// [Buffer] is used. So the records of the last 10 ms are missing if the process is killed.
//
// If the log blocks or is too slow, the buffer fills up, and further records are dropped. If it
// returns an error or panics, that record has failed. When a record is written again and no other
// is dropped, the log gets a warning with the numbers of both. During a long loss it gets one a
// minute. [Log.Lost] returns the numbers since New.
//
// Stop writes the rest of the buffer. It returns an error if its time is not enough, or if the log
// has no warning of the last losses yet. Before Start and after Stop, when the process may end at
// any moment, a message waits until its record is written, for 100 ms at most.
//
// The handler of the log gets no context of a message, because that ends with the message. Only
// its Enabled gets it, and if it returns false, nothing is built. [Attrs] adds values of the
// context, such as a trace id.
//
// # Messages without a record
//
// Middleware does not see the values of a [mono.Channel], which are Go values in a Go channel.
// Nor does it see messages that cannot be decoded: mono logs one in a second, with the number of
// the others. The record of a failed job has its error, but not whether another attempt follows, which
// is decided later: see [mono.MessageRetried] and [mono.MessageDeadLettered]. The record of an
// asynchronous append reports that it was handed over, not that it was stored.
package accesslog

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"gomono.dev/mono"
	"gomono.dev/mono/requestid"
)

// Log is a middleware that logs messages. It can be used by several Apps.
type Log struct {
	options options
	writer  writer
	base    time.Time

	mu    sync.Mutex
	sites map[siteKey]*site
}

// New returns a Log whose records go to h, which must not be nil. It panics on a bad option.
func New(h slog.Handler, opts ...Option) *Log {
	l := &Log{options: options{handler: h, fields: allFields, fraction: 1, level: defaultLevel, buffer: DefaultBuffer}, base: time.Now(), sites: make(map[siteKey]*site)}
	for _, o := range opts {
		if o == nil {
			panic("accesslog.New: an option is nil: leave it out")
		}
		o(&l.options)
	}
	l.options.check()
	l.writer.log, l.writer.max, l.writer.base = l.options.handler, l.options.buffer, l.base
	return l
}

// Name returns "accesslog".
func (l *Log) Name() string { return "accesslog" }

// Selects selects the receiving side, or both with [Sent].
func (l *Log) Selects(_ mono.Handle, side mono.Side, _ bool) bool {
	return l.options.sent || side == mono.SideReceiver
}

// Start ends the time in which messages wait for their records.
func (l *Log) Start(context.Context) error {
	l.writer.start(1)
	return nil
}

// Stop writes what is in the buffer.
func (l *Log) Stop(ctx context.Context) error {
	l.writer.start(-1)
	return l.writer.flush(ctx)
}

// Lost returns the number of records that were dropped, because the buffer was full, and the
// number that have failed.
func (l *Log) Lost() (dropped, failed uint64) {
	n := l.writer.lost()
	return n.dropped, n.failed
}

// Wrap implements [mono.Middleware].
func (l *Log) Wrap(next mono.Next) mono.Next {
	var last atomic.Pointer[site] // of the last message: most often the only one
	return func(ctx context.Context, c *mono.Call) error {
		began := time.Since(l.base)
		result := gone
		defer func() { l.observe(ctx, c, &last, began, result) }()
		result = next(ctx, c)
		return result
	}
}

// gone is the error of a handler that has not returned.
var gone error = mono.Errorf(mono.Internal, "middleware panicked, or the goroutine was ended")

// observe puts a record into the buffer, unless it is not wanted.
func (l *Log) observe(ctx context.Context, c *mono.Call, last *atomic.Pointer[site], began time.Duration, err error) {
	defer func() {
		if v := recover(); v != nil {
			l.writer.fail(1, panicked(v))
		}
	}()
	o, ended := &l.options, time.Since(l.base)
	e := entry{ended: ended, took: ended - began}
	slow := o.slow > 0 && e.took >= o.slow
	e.level = o.level(c, err, e.took)
	if slow {
		e.level = max(e.level, slog.LevelWarn)
	}
	if !o.handler.Enabled(ctx, e.level) {
		return
	}
	e.request = cut(c.Header(requestid.Header), maxID)
	if err == nil && !slow && !o.sampled(c, e.request) {
		return
	}
	s := last.Load()
	if s == nil || s.handle != c.Handle() {
		s = l.siteOf(c)
		last.Store(s)
	}
	e.site = s
	e.describe(o, c, err)
	if o.attrs != nil {
		e.attrs = o.attrs(ctx, c)
	}
	l.writer.add(&e)
}

// entry is a record in the buffer. It is copied twice and cleared once, so it is small.
type entry struct {
	site  *site
	ended time.Duration // on the clock of the log: the writer finds out the time of day
	took  time.Duration
	wait  time.Duration // -1: the message was not stored
	level slog.Level

	id, request, sender string
	failure             *failure // nil: success
	partition           int32    // -1: none
	attempt             int32    // 0: the message was not stored
	count               int32
	local               bool
	size, replySize     int // -1: unknown
	attrs               []slog.Attr
}

// failure is what a record has of an error.
type failure struct{ outcome, code, text string }

// Texts from other processes are cut to these numbers of bytes.
const (
	maxID   = 256
	maxText = 1024
)

// describe reads the properties of a message that a record needs.
func (e *entry) describe(o *options, c *mono.Call, err error) {
	if o.has(ID) {
		e.id = cut(c.ID(), maxID)
	}
	e.sender, e.local, e.count = cut(c.Sender(), maxID), c.Local(), int32(c.Count())
	e.partition, e.wait, e.size, e.replySize = -1, -1, -1, -1
	if c.Side() == mono.SideReceiver {
		e.partition = int32(c.Partition())
		if stored := c.Time(); !stored.IsZero() {
			e.attempt = int32(min(c.Attempt(), math.MaxInt32))
			e.wait = max(0, time.Since(stored)-e.took)
		}
	} else {
		e.sender = ""
	}
	if !e.local || o.localSizes {
		if o.has(Size) {
			e.size = c.Size()
		}
		if o.has(ReplySize) && err == nil && c.Handle().Kind() == mono.KindService {
			e.replySize = c.ReplySize()
		}
	}
	if err != nil {
		e.failure = &failure{"error", cut(string(mono.CodeOf(err)), maxID), cut(err.Error(), maxText)}
		if c.Side() == mono.SideSender && mono.OutcomeOf(err) != mono.OutcomeAnswered {
			e.failure.outcome = mono.OutcomeOf(err).String()
		}
	}
}

// cut shortens a text to at most limit bytes. The result is a copy if it is shorter.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const end = "…"
	limit -= len(end)
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.Clone(s[:limit]) + end
}

// site is a place where messages are handled or sent. Its attributes are the same for all.
type site struct {
	siteKey
	fields  fieldSet
	handler slog.Handler // with the attributes, which the writer adds
}

type siteKey struct {
	handle        mono.Handle
	side          mono.Side
	module, group string
}

// siteOf returns the site of a message.
func (l *Log) siteOf(c *mono.Call) *site {
	key := siteKey{c.Handle(), c.Side(), c.Module(), c.Group()}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sites[key]
	if s == nil {
		s = &site{siteKey: key, fields: l.options.fields}
		l.sites[key] = s
	}
	return s
}
