package mono

import (
	"math"
	"strings"
	"time"

	"gomono.dev/transport"
)

// Send options apply to one send. With returns a handle that carries them:
// Placed.With(mono.Header("Tenant", t)).Publish(ctx, b, v). They are part of the
// handle's value, so With allocates nothing (up to two headers). A send with an option that
// is nil fails with InvalidArgument.
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
	// StoredSendOption fits Queue.With, Event.With, Stream.With, an Enqueuer, a Publisher
	// and an Appender.
	//
	// The options are [DedupID] and [Header].
	StoredSendOption interface {
		QueueSendOption
		EventSendOption
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
	// The options are [DedupID] and [Header].
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

// DedupID sets the id of a job, an event or a message, instead of a random id. Within the
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
// other jobs. A NonPersistent queue, and an event that is not Durable, store nothing: each
// message has the id, and none is a duplicate.
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
func (dedupOption) forPublish()  {}
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
	case nil:
		return s.withField(nilOption)
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

// nilOption is the field of an option that is nil. No header can carry it, so checkFields
// finds it.
var nilOption = transport.Field{Name: "nil option"}

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
		if f == nilOption {
			return notDone(InvalidArgument, "a send option is nil: leave it out")
		}
		if ownField(f.Name) {
			return notDone(InvalidArgument, "header %q is set by mono: choose another name", f.Name)
		}
	}
	return h.Validate()
}
