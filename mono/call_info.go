package mono

import (
	"context"
	"sync/atomic"

	"gomono.dev/transport"
)

// CallInfo holds the headers of one call of a service, on the side of the caller:
//
//	ctx, info := mono.NewCallInfo(ctx)
//	info.SetHeader("Tenant", tenant)
//	reply, err := m.charge(ctx, request)
//	left := info.ReplyHeader().Get("Quota-Left")
//
// It belongs to the first call with its context, local or over the transport. Later
// calls with that context, the middleware's own calls, and the calls that the handler
// makes with its context have no part in it. Sends of other kinds ignore it: With takes
// their headers.
//
// A CallInfo must not be used concurrently, neither with itself nor with its call. Each
// of several concurrent calls needs its own.
type CallInfo struct {
	request transport.Header
	reply   transport.Header
	used    atomic.Bool // a call has it
}

// NewCallInfo returns a CallInfo, and a context that gives it to the first call made
// with it.
func NewCallInfo(ctx context.Context) (context.Context, *CallInfo) {
	info := new(CallInfo)
	return context.WithValue(ctx, callInfoKey{}, info), info
}

type callInfoKey struct{}

// SetHeader sets a header of the request, before the call. It replaces one of the same
// name, also one set by With. The rules of [Header] for names and values apply.
func (i *CallInfo) SetHeader(name, value string) { i.request.Set(name, value) }

// ReplyHeader returns the headers that the handler has set with [Call.SetReplyHeader],
// after the call has returned. It is nil if there are none, and if the call has no
// reply, for example because its time was over. The reply may be an error: see
// [IsHandlerError].
func (i *CallInfo) ReplyHeader() transport.Header { return i.reply }

// SetReplyHeader sets a header of the reply of a service, for its handler and for
// middleware of the receiving side. The caller gets it with [CallInfo.ReplyHeader], also
// if the handler returns an error. For other kinds of handles, and on the sending side, it
// has no effect.
//
// The rules of [Header] for names and values apply. A reply with another header becomes
// an Internal error. The header counts against the payload limit of the transport, as the
// reply does.
func (c *Call) SetReplyHeader(name, value string) {
	if c.at == nil || c.reply == nil {
		return
	}
	if c.info == nil {
		c.info = new(CallInfo)
	}
	c.info.reply.Set(name, value)
}

// takeCallInfo returns the CallInfo for a call with ctx, nil if there is none or another
// call has it.
func takeCallInfo(ctx context.Context) *CallInfo {
	info, _ := ctx.Value(callInfoKey{}).(*CallInfo)
	if info == nil || !info.used.CompareAndSwap(false, true) {
		return nil
	}
	return info
}

// addTo adds the headers of the request to those of the handle.
func (i *CallInfo) addTo(header transport.Header) transport.Header {
	if i != nil {
		for _, f := range i.request {
			header.Set(f.Name, f.Value)
		}
	}
	return header
}

// setReply sets the headers of the reply: those that belong to neither mono nor the
// transport.
func (i *CallInfo) setReply(header transport.Header) {
	if i == nil {
		return
	}
	i.reply = nil
	for _, f := range header {
		if !ownField(f.Name) && !transport.Reserved(f.Name) {
			i.reply = append(i.reply, f)
		}
	}
}

// replyHeader returns the headers set by SetReplyHeader. c may be nil.
func (c *Call) replyHeader() transport.Header {
	if c == nil || c.info == nil {
		return nil
	}
	return c.info.reply
}
