package mono

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gomono.dev/codec"
	"gomono.dev/internal/lazy"
	"gomono.dev/transport"
)

// A message from the transport passes these stages of its receiver: admit, decode, run,
// wrap, call, and finish, which replies to a request and settles a stored message. All
// kinds of handles have the same stages. A batch is one message with several parts.

// inbound is one message on its way through the stages, and its Call. It is answered
// once: by its receiver, or by the part of the App that gives it up.
type inbound struct {
	call     Call
	place    place
	batch    []*inbound // of a batch: its messages
	answered atomic.Bool
	decoded  bool         // the Call has the payload
	reported bool         // to observers, as stuck; guarded by the gate's mutex
	since    atomic.Int64 // when its handler began, see watch.begin
}

// inboundRequest is the additional memory for a request.
type inboundRequest struct {
	codec   codec.Codec  // of the reply
	limited lazy.Context // of the handler
	reply   transport.Message
}

// A message and the memory that its handler needs are one piece of memory, which the
// handler may keep.
type (
	inboundOf[T any] struct {
		inbound
		payload T
	}
	inboundRequestOf[Req, Resp any] struct {
		inboundOf[Req]
		inboundRequest
		response Resp
	}
)

// newInbound returns the memory for a message without a reply.
func newInbound[T any]() *inbound {
	m := new(inboundOf[T])
	m.call.payload = &m.payload
	return &m.inbound
}

// newInboundRequest returns the memory for a request.
func newInboundRequest[Req, Resp any]() *inbound {
	m := new(inboundRequestOf[Req, Resp])
	m.call.payload, m.call.reply = &m.payload, &m.response
	m.call.request = &m.inboundRequest
	return &m.inbound
}

// claim reports whether the caller is the one to answer.
func (m *inbound) claim() bool { return m.answered.CompareAndSwap(false, true) }

// Run implements [transport.Work].
func (m *inbound) Run() { m.call.at.handle(m) }

// admit waits for a free handler, which delays only the receiver's later messages. It
// handles the message in order, or returns it as Work to run concurrently.
func (r *receiver) admit(m *inbound) transport.Work {
	m.place.in = m
	if !r.gate.enter(r.in.ctx, &m.place) {
		r.finisher.refuse(m)
		return nil
	}
	if r.serial() {
		r.handle(m)
		return nil
	}
	return m
}

// handle handles an admitted message. The message is finished even if the handler ends
// its goroutine.
func (r *receiver) handle(m *inbound) {
	defer r.gate.leave(&m.place)
	if !r.selects() {
		r.accept(m, false)
	}
	var res result
	returned := false
	defer func() {
		if !returned {
			res = r.exited(m)
		}
		r.finisher.finish(m, res)
	}()
	res = r.attempt(m)
	returned = true
}

// exited returns the result of a handler, or of a codec, that has ended its goroutine. If
// that goroutine receives the messages, no more are received, and the module is unhealthy.
func (r *receiver) exited(m *inbound) result {
	err := goexitError(r.where)
	if r.serial() {
		gone := fmt.Errorf("nothing is received any more: %w", err)
		r.gone.Store(&gone)
		r.in.log.Error("mono: receiver ended", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "error", gone)
	}
	now := r.in.clock.Now()
	res := result{err: err, exited: true, began: now, ended: now}
	if !m.decoded {
		res.reason = ReasonUndecodable
	}
	return res
}

// attempt makes one attempt at a message.
func (r *receiver) attempt(m *inbound) (res result) {
	if m.batch != nil {
		r.decodeBatch(m)
	}
	began := r.in.clock.Now() // after the dead letters of a batch were stored
	passed := false
	if m.batch == nil {
		passed, res = r.open(m)
	}
	if passed || res.err != nil || !m.decoded {
		res.ended = r.in.clock.Now()
	} else {
		res = r.run(m, began)
	}
	res.began = began
	if m.call.request != nil {
		replier{r}.encodeReply(m, &res)
	}
	return res
}

// open decodes a message, unless it is for other workers.
func (r *receiver) open(m *inbound) (passed bool, res result) {
	if !r.selects() {
		return false, r.decode(m)
	}
	if passed, res = r.passes(m); !passed {
		if res = r.decode(m); res.err == nil {
			passed, res = r.passes(m)
		}
	}
	r.accept(m, passed)
	return passed, res
}

// accept lets the sender of a job continue that waits until a worker of each group has it. A message on
// the subject of the queue is not answered: a release that stores the jobs waits for its log.
func (r *receiver) accept(m *inbound, passed bool) {
	if !r.decl.nonPersistent() || !strings.Contains(m.call.message.Subject, askToken) {
		return
	}
	reply := &transport.Message{}
	if passed {
		reply.Header.Set(transport.HeaderPassed, "true")
	}
	replier{r}.reply(m.call.message, reply)
}

// decode fills in the Call. The payload of a stored message is a copy: a dead letter is
// the message as it came.
func (r *receiver) decode(m *inbound) result {
	c, header, take := &m.call, m.call.message.Header, takePayload
	c.id = header.Get(transport.HeaderID)
	if d := c.delivery; d != nil {
		take = decodePayload
		if c.id == "" {
			c.id = r.storage.idOf(d)
		}
		if d.Attempt > r.config.maxAttempts() {
			return r.settler.overdue(d)
		}
	}
	k, err := r.in.codecs.ofMessage(header, r.decl, r.codec)
	if err != nil {
		k = codec.JSON
	}
	if c.request != nil {
		c.request.codec = k
	}
	if err == nil {
		c.header, c.sender, c.size = header, header.Get(transport.HeaderSender), len(c.message.Body)
		err = take(c.message, k, c.payload)
	}
	if err != nil {
		if c.delivery != nil {
			err = r.decl.otherShape(header, err)
		}
		return result{err: about(r.decl.String(), err), reason: ReasonUndecodable}
	}
	m.decoded = true
	return result{}
}

// run calls the handler within the time limit of the attempt.
func (r *receiver) run(m *inbound, began time.Duration) (res result) {
	limit, err := r.limit(m.call.message)
	if err != nil {
		return result{err: about(r.decl.String(), err), ended: began}
	}
	ctx := r.in.ctx
	switch {
	case limit == 0:
	case m.call.request != nil:
		limited := &m.call.request.limited
		ctx = limited.Begin(&r.in.limits, ctx, began+limit)
		defer limited.End()
	default: // this context knows whether the limit or a stop came first
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	r.watch.begin(m, began)
	defer r.watch.end(m)
	res.err = r.wrap(m.call.within(ctx), &m.call)
	res.ended = r.in.clock.Now()
	res.late = limit > 0 && res.ended-began >= limit && !errors.Is(ctx.Err(), context.Canceled)
	return res
}

// limit returns how long an attempt may take, 0 if it is not limited. The limit of a
// request is in its header, and bounded by the Timeout.
func (r *receiver) limit(m *transport.Message) (time.Duration, error) {
	if !r.replies() {
		return r.config.Timeout, nil
	}
	text := m.Header.Get(transport.HeaderTimeout)
	if text == "" {
		return cmp.Or(r.config.Timeout, DefaultTimeout), nil
	}
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil || ms == 0 {
		return 0, Errorf(InvalidArgument, "header %s is %q: want a positive number of milliseconds", transport.HeaderTimeout, text)
	}
	asked := time.Duration(min(ms, uint64(maxTimeout.Milliseconds()))) * time.Millisecond
	return min(asked, cmp.Or(r.config.Timeout, maxTimeout)), nil
}

// maxTimeout bounds the timeout in a request.
const maxTimeout = 24 * time.Hour

// wrap calls the handler within the middleware.
func (r *receiver) wrap(ctx context.Context, c *Call) error {
	if r.plain {
		return r.call(ctx, c)
	}
	return guard(r.around, r.in.panicked, func() error { return r.next(ctx, c) })
}

// call calls the handler. A panic is returned as an error, which middleware sees too.
func (r *receiver) call(ctx context.Context, c *Call) error {
	c.handled, c.encoded = true, false
	err := guard(r.where, r.in.panicked, func() error { return r.invoke(ctx, c) })
	c.replied = err == nil && r.replies()
	return err
}

// serial reports whether one handler runs at a time, on the goroutine that receives.
func (r *receiver) serial() bool { return r.gate.limit == 1 && r.pack == nil }

// replies reports whether the receiver's messages have replies.
func (r *receiver) replies() bool { return r.decl.kind == KindService }
