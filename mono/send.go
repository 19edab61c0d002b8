package mono

import (
	"math"
	"strings"
	"time"

	"gomono.dev/transport"
)

// Send options say what differs for one send. With returns a handle that carries
// them: Placed.With(mono.Header("Tenant", t)).Publish(ctx, b, v). They lie in
// the handle's value, so deriving one allocates nothing (up to two headers).
type (
	// SendOption fits the With of every handle that sends messages.
	SendOption interface {
		ServiceSendOption
		QueueSendOption
		EventSendOption
		StreamSendOption
	}
	// ServiceSendOption fits Service.With.
	ServiceSendOption interface{ forCall() }
	// QueueSendOption fits Queue.With.
	QueueSendOption interface{ forEnqueue() }
	// EventSendOption fits Event.With.
	EventSendOption interface{ forPublish() }
	// StreamSendOption fits Stream.With.
	StreamSendOption interface{ forAppend() }
)

// Header sets a header of the message. Names that begin with "Mono-" or "Nats-"
// are taken, and so are Content-Type, Status and Description; such a name, or a name
// or value that no header can carry, is an InvalidArgument when the message is sent. So
// is a stored message whose header has more than 52 KiB.
func Header(name, value string) SendOption { return headerOption{name, value} }

// Delay keeps a job back until this much later by this process's clock; the
// backend's says when that has come, so the two should agree. 0 or less is no delay.
// One that ends after 2261 is an InvalidArgument when the job is sent, as with At.
func Delay(d time.Duration) QueueSendOption { return delayOption(d) }

// At keeps a job back until t. A time in the past is now.
func At(t time.Time) QueueSendOption {
	switch {
	case t.Before(time.Unix(0, 0)):
		t = time.Unix(0, 0)
	case t.After(time.Unix(0, math.MaxInt64)): // what 64 bits of nanoseconds cannot count
		t = time.Unix(0, math.MaxInt64)
	}
	return atOption(t.UnixNano())
}

// DedupID identifies a job or a message, instead of the random id that it gets
// otherwise: within the DedupWindow it is stored once, however often it is sent. That
// holds also once it was handled, or became a dead letter that was discarded: a send
// with the same id stores nothing and succeeds, so nil means "stored, now or before".
// EnqueueStored and AppendStored return whether it was a duplicate, and observers get a
// MessageDeduplicated. To run a job again, send it with another id, or replay its dead
// letter. Ids of delayed jobs are remembered apart from those of others. A volatile
// queue stores nothing and ignores it.
//
// An id has at most 256 bytes, without control characters and without white space at
// its ends; another one is an InvalidArgument when the message is sent. "" is none.
func DedupID(id string) interface {
	QueueSendOption
	StreamSendOption
} {
	return dedupOption(id)
}

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

// sending is what With has set, held by value.
type sending struct {
	inline [2]transport.Field
	more   []transport.Field
	n      int // fields set, in inline and more together
	opts   sendOptions
}

// sendOptions are what is set for one send beside its header.
type sendOptions struct {
	delay       time.Duration
	at          int64
	dedup       string
	conditional bool    // append only after last
	last        uint64  // sequence
	stored      *Stored // is filled in
	done        func(error)
}

// with applies one option. It switches on the type instead of calling a method,
// because an argument of a method that is not known escapes to the heap.
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

// withField adds a field. Past the inline ones it copies, since the handle that
// this one was derived from keeps its own.
func (s sending) withField(f transport.Field) sending {
	if s.n < len(s.inline) {
		s.inline[s.n] = f
	} else {
		s.more = append(s.more[:len(s.more):len(s.more)], f)
	}
	s.n++
	return s
}

// noOptions are those of most messages. Nobody writes to them.
var noOptions sendOptions

// options returns the options in memory of their own, if there are any.
func (s *sending) options() *sendOptions {
	o := &s.opts
	if o.delay == 0 && o.at == 0 && o.dedup == "" && !o.conditional && o.stored == nil && o.done == nil {
		return &noOptions
	}
	own := *o
	return &own
}

// header returns the fields as a header of its own, or nil.
func (s *sending) header() transport.Header {
	if s.n == 0 {
		return nil
	}
	h := make(transport.Header, 0, s.n+4)
	h = append(h, s.inline[:min(s.n, len(s.inline))]...)
	return append(h, s.more...)
}

// ownField reports whether a header field is mono's own.
func ownField(name string) bool {
	return strings.HasPrefix(name, "Mono-") || name == transport.HeaderContentType
}

// checkFields reports a field that is not the sender's to set.
func checkFields(h transport.Header) error {
	for _, f := range h {
		if ownField(f.Name) {
			return notDone(InvalidArgument, "header %q is set by mono: choose another name", f.Name)
		}
	}
	return h.Validate()
}
