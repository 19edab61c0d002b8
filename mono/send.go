package mono

import (
	"context"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"gomono.dev/transport"
)

// Send options apply to one send. With returns a handle that carries them:
// Placed.With(mono.Header("Tenant", t)).Publish(ctx, b, v). They are part of the
// handle's value, so With allocates nothing (up to two headers).
type (
	// SendOption fits the With of services, queues, events and streams, an Enqueuer, a
	// Publisher and an Appender.
	//
	// The option is [Header].
	SendOption interface {
		ServiceSendOption
		QueueSendOption
		EventSendOption
		StreamSendOption
	}
	// StoredSendOption fits Queue.With, Stream.With, an Enqueuer and an Appender.
	//
	// The options are [DedupID] and [Header].
	StoredSendOption interface {
		QueueSendOption
		StreamSendOption
	}
	// ServiceSendOption fits Service.With.
	//
	// The option is [Header].
	ServiceSendOption interface{ forCall() }
	// QueueSendOption fits Queue.With and an Enqueuer.
	//
	// The options are [At], [DedupID], [Delay] and [Header].
	QueueSendOption interface{ forEnqueue() }
	// EventSendOption fits Event.With and a Publisher.
	//
	// The option is [Header].
	EventSendOption interface{ forPublish() }
	// StreamSendOption fits Stream.With and an Appender.
	//
	// The options are [DedupID] and [Header].
	StreamSendOption interface{ forAppend() }
)

// Header sets a header of the message. Names that begin with "Mono-" or "Nats-" are
// reserved, and so are Content-Type, Status and Description. A send with such a name,
// or with a name or value that no header can carry, fails with InvalidArgument. So does
// the send of a stored message with a header of more than 52 KiB.
func Header(name, value string) SendOption { return headerOption{name, value} }

// Delay delays a job by d. This process's clock determines its time, and the backend's
// clock when that time has come, so the two should agree. 0 or less means no delay. A
// send whose delay ends after 2261 fails with InvalidArgument, as with At.
func Delay(d time.Duration) QueueSendOption { return delayOption(d) }

// At delays a job until t. A time in the past means no delay.
func At(t time.Time) QueueSendOption {
	switch {
	case t.Before(time.Unix(0, 0)):
		t = time.Unix(0, 0)
	case t.After(time.Unix(0, math.MaxInt64)): // beyond 64 bits of nanoseconds
		t = time.Unix(0, math.MaxInt64)
	}
	return atOption(t.UnixNano())
}

// DedupID sets the id of a job or a message, instead of a random id. Within the
// DedupWindow a message with this id is stored once, however often it is sent. That is
// also true after it was handled, or became a dead letter that was discarded. A later
// send with the same id stores nothing and succeeds, so nil means "stored, now or
// before".
//
// For EnqueueAll and AppendAll, each value gets an id of its own: this one, "#", and the
// value's index.
//
// EnqueueStored and AppendStored report whether a message was a duplicate, and
// observers get a MessageDeduplicated. To run a job again, send it with another id, or
// replay its dead letter. Ids of delayed jobs are remembered separately from those of
// other jobs. A NonPersistent queue stores nothing and ignores the id.
//
// An id has at most 256 bytes, without control characters and without white space at
// its ends. A send with another id fails with InvalidArgument. "" means no id.
func DedupID(id string) StoredSendOption { return dedupOption(id) }

type (
	headerOption transport.Field
	delayOption  time.Duration
	atOption     int64
	dedupOption  string
)

func (headerOption) forCall()    {}
func (headerOption) forEnqueue() {}
func (headerOption) forPublish() {}
func (headerOption) forAppend()  {}
func (delayOption) forEnqueue()  {}
func (atOption) forEnqueue()     {}
func (dedupOption) forEnqueue()  {}
func (dedupOption) forAppend()   {}

// sending holds the options set by With, by value.
type sending struct {
	inline [2]transport.Field
	more   []transport.Field
	n      int // fields set, in inline and more together
	opts   sendOptions
}

// sendOptions holds the options of one send, except its header.
type sendOptions struct {
	delay       time.Duration
	at          int64
	dedup       string
	conditional bool    // append only after last
	last        uint64  // sequence
	stored      *Stored // is filled in
	async       *async  // store without waiting
}

// async is the result of a send that does not wait until its message is stored.
type async struct {
	done  func(error) // called once, if begun
	begun bool        // the transport has taken the message
}

// derive returns sent with further options.
func derive[O any](sent sending, opts []O) sending {
	for _, o := range opts {
		sent = sent.with(o)
	}
	return sent
}

// with applies one option. It switches on the type instead of calling a method, because
// an argument of a dynamically called method escapes to the heap.
func (s sending) with(o any) sending {
	switch o := o.(type) {
	case headerOption:
		return s.withField(transport.Field(o))
	case delayOption:
		s.opts.delay, s.opts.at = time.Duration(o), 0
	case atOption:
		s.opts.at, s.opts.delay = int64(o), 0
	case dedupOption:
		s.opts.dedup = string(o)
	}
	return s
}

// withField adds a field. Beyond the inline fields it copies, since the handle from
// which this one was derived keeps its fields.
func (s sending) withField(f transport.Field) sending {
	if s.n < len(s.inline) {
		s.inline[s.n] = f
	} else {
		s.more = append(s.more[:len(s.more):len(s.more)], f)
	}
	s.n++
	return s
}

// noOptions are the options of most messages. They are read-only.
var noOptions sendOptions

// options returns a copy of the options, if any are set.
func (s *sending) options() *sendOptions {
	o := &s.opts
	if o.delay == 0 && o.at == 0 && o.dedup == "" && !o.conditional && o.stored == nil && o.async == nil {
		return &noOptions
	}
	own := *o
	return &own
}

// header returns a copy of the fields as a header, or nil.
func (s *sending) header() transport.Header {
	if s.n == 0 {
		return nil
	}
	h := make(transport.Header, 0, s.n+4)
	h = append(h, s.inline[:min(s.n, len(s.inline))]...)
	return append(h, s.more...)
}

// ownField reports whether mono sets a header field.
func ownField(name string) bool {
	return strings.HasPrefix(name, "Mono-") || name == transport.HeaderContentType
}

// checkFields reports a field that a sender must not set.
func checkFields(h transport.Header) error {
	for _, f := range h {
		if ownField(f.Name) {
			return notDone(InvalidArgument, "header %q is set by mono: choose another name", f.Name)
		}
	}
	return h.Validate()
}

// Stored describes how a message was stored.
type Stored struct {
	// ID is the id of the message: its DedupID, or a random one.
	ID string

	// Sequence is the position in the log, 0 for a delayed job.
	Sequence uint64

	// Duplicate reports that a message with this DedupID had been stored before, within
	// the DedupWindow. Nothing was stored this time, even if that message has been
	// handled since, or its dead letter discarded; Sequence is its position. Duplicate
	// is also true if the acknowledgement of this very message was lost, and a second
	// attempt found it stored.
	Duplicate bool
}

// postStored sends a message that has no reply, and returns how it was stored.
func postStored[T any](ctx context.Context, b Binder, d *declaration, sent sending, v T) (Stored, error) {
	stored := new(Stored)
	sent.opts.stored = stored
	err := post(ctx, b, d, &sent, v)
	return *stored, err
}

// reportStored reports a duplicate to observers, and to the sender how its message was
// stored. A message with a random id is not a duplicate: the log found an earlier
// attempt of the same append, whose acknowledgement was lost.
func (s *sender) reportStored(o *sendOptions, id string, at transport.Appended) {
	duplicate := at.Duplicate && o.dedup != ""
	if duplicate {
		s.in.observe(MessageDeduplicated{Module: s.module, Handle: s.decl, ID: id, Sequence: at.Sequence})
	}
	if o.stored != nil {
		*o.stored = Stored{ID: id, Sequence: at.Sequence, Duplicate: duplicate}
	}
}

// postAll sends many messages that have no reply. It returns one error for each, nil if
// all were sent.
func postAll[T any](ctx context.Context, b Binder, d *declaration, sent sending, values []T) []error {
	all := newBulk(len(values))
	s, err := b.Scope().sender(d)
	dedup := sent.opts.dedup
	for i, v := range values {
		if err != nil {
			all.finish(i, err)
			continue
		}
		if dedup != "" {
			sent.opts.dedup = dedup + "#" + strconv.Itoa(i)
		}
		one := &async{done: func(err error) { all.finish(i, err) }}
		sent.opts.async = one
		if err := postBy(ctx, s, &sent, v); err != nil || !one.begun {
			all.replace(i, err)
		}
	}
	return all.wait(ctx, d)
}

// bulk collects the results of many sends.
type bulk struct {
	mu       sync.Mutex
	errs     []error
	finished []bool
	left     int           // number of results that are missing
	done     chan struct{} // closed when none is missing
}

func newBulk(n int) *bulk {
	b := &bulk{errs: make([]error, n), finished: make([]bool, n), left: n, done: make(chan struct{})}
	if n == 0 {
		close(b.done)
	}
	return b
}

// finish sets the result of a send, unless it has one.
func (b *bulk) finish(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(i, err)
}

// replace sets the result of a send that middleware has determined, whatever the
// transport reports.
func (b *bulk) replace(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(i, err)
	b.errs[i] = err
}

// set is finish with the mutex held.
func (b *bulk) set(i int, err error) {
	if b.finished[i] {
		return
	}
	b.errs[i], b.finished[i] = err, true
	if b.left--; b.left == 0 {
		close(b.done)
	}
}

// wait waits for all results. When ctx ends, the outcome of the missing ones is unknown.
func (b *bulk) wait(ctx context.Context, d *declaration) []error {
	select {
	case <-b.done:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	failed := false
	for i := range b.errs {
		if !b.finished[i] {
			b.set(i, about(d.String(), transport.ContextError(ctx, OutcomeUnknown, "the context ended before its acknowledgement arrived")))
		}
		failed = failed || b.errs[i] != nil
	}
	if !failed {
		return nil
	}
	return b.errs
}
