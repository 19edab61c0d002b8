package mono

import (
	"sync/atomic"

	"gomono.dev/transport"
)

// ticket is one message from the transport whose handler runs, and its Call. It is
// answered once: by the handler, or by the part of the App that gives it up.
type ticket struct {
	call       Call
	prev, next *ticket // guarded by the gate's mutex
	answered   atomic.Bool
	reported   bool         // to observers, as stuck; guarded by the gate's mutex
	since      atomic.Int64 // when its handler began, see watch.begin
	batch      *Call        // the first Call of a batch
	reply      *replying    // of a service
}

// claim reports whether the caller is the one to answer.
func (t *ticket) claim() bool { return t.answered.CompareAndSwap(false, true) }

// Run implements [transport.Work].
func (t *ticket) Run() { t.call.at.attend(t) }

// replying is the additional memory for the handler of a service.
type replying struct {
	limited  limitedContext // of the handler
	handOver limitedContext // of the reply
	message  transport.Message
	fields   [1]transport.Field // the content type of the reply; an error needs more fields
}

// A message and the memory that its handler needs are one piece of memory, which the
// handler may keep.
type (
	inbound[T any] struct {
		ticket
		payload T
	}
	inboundRequest[Req, Resp any] struct {
		inbound[Req]
		replying
		response Resp
	}
)

// newTicket returns the ticket of a message without a reply.
func newTicket[T any]() *ticket {
	in := new(inbound[T])
	in.call.payload = &in.payload
	return &in.ticket
}

// newRequestTicket returns the ticket of a request.
func newRequestTicket[Req, Resp any]() *ticket {
	in := new(inboundRequest[Req, Resp])
	in.call.payload, in.call.reply = &in.payload, &in.response
	in.reply = &in.replying
	return &in.ticket
}
