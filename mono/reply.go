package mono

import (
	"context"
	"time"

	"gomono.dev/internal/lazy"
	"gomono.dev/transport"
)

// replier finishes the requests of a service: it sends replies.
type replier struct{ *receiver }

// replyTimeout bounds the hand-over of a reply to the transport. Replies share a context for
// up to replySharing, so they have at most that much more time.
const (
	replyTimeout = 5 * time.Second
	replySharing = time.Second
)

// replyLimit is the context of the replies that are sent before a moment on the clock.
type replyLimit struct {
	lazy.Context
	until time.Duration
}

// replyContext returns the context of a reply that is sent now.
func (r *receiver) replyContext(now time.Duration) context.Context {
	l := r.replyLimit.Load()
	if l == nil || now >= l.until {
		l = &replyLimit{until: now + replySharing}
		l.Begin(&r.in.limits, context.Background(), l.until+replyTimeout)
		r.replyLimit.Store(l)
	}
	return l
}

// refuse implements finisher.
func (r replier) refuse(m *inbound) {
	r.replyError(m.call.message, notDone(Unavailable, "%s: this instance is stopping: try again", r.decl))
}

// abandon answers for handlers that still run when the App has run out of time to stop.
func (r replier) abandon(unanswered []*transport.Message) {
	for _, m := range unanswered {
		r.replyError(m, r.decl.abandoned())
	}
}

// abandoned returns the error of a handler that still runs when the time to stop is over.
func (d *declaration) abandoned() *Error {
	return transport.Errorf(Unavailable, OutcomeUnknown,
		"%s: this instance ran out of time to stop while the handler was running: the call may have happened", d)
}

// encodeReply makes the reply from the result of an attempt. It calls codecs, and methods
// of the handler's values.
func (r replier) encodeReply(m *inbound, res *result) {
	c, reply := &m.call, &m.call.request.reply
	err, outcome := res.err, r.refusal(c, res.err)
	if res.late && CodeOf(err) == DeadlineExceeded { // the caller may have given up already
		err, outcome = Errorf(DeadlineExceeded, "%s: the handler exceeded its deadline: %v", r.decl, err), OutcomeUnknown
	}
	if err == nil {
		if encodeErr := c.request.encode(c); encodeErr != nil {
			err = r.decl.badReply(encodeErr)
		}
	}
	if err = r.decl.checkReplyHeader(c, err); err != nil {
		reply.Header, reply.Body = encodeError(err, outcome)
	}
	reply.Header = append(reply.Header, c.replyHeader()...)
	res.err = err
}

// refusal returns the outcome of a request whose attempt ended with err. It is OutcomeNotDone if
// middleware has returned an error with that outcome in place of the handler. After the handler it
// is that of another message.
func (r *receiver) refusal(c *Call, err error) Outcome {
	if r.plain || c.handled || OutcomeOf(err) != OutcomeNotDone {
		return OutcomeAnswered
	}
	return OutcomeNotDone
}

// encode makes the reply from the value that the handler has returned, once.
func (m *inboundRequest) encode(c *Call) error {
	if c.encoded {
		return nil
	}
	m.reply.Header = c.at.contentType
	if m.codec.ContentType() != c.at.codec.ContentType() {
		m.reply.Header = contentTypeOf(m.codec)
	}
	err := encodeBody(&m.reply, m.codec, c.reply)
	c.encoded = err == nil
	return err
}

// finish implements finisher. It sends the reply.
func (r replier) finish(m *inbound, res result) {
	r.stats.record(res.ended-res.began, res.err)
	r.logResult(m, res)
	if !m.claim() {
		return
	}
	reply := &m.call.request.reply
	if res.exited {
		*reply = transport.Message{}
		reply.Header, reply.Body = encodeError(res.err, OutcomeAnswered)
	}
	r.sendReply(r.replyContext(res.ended), m.call.message, reply)
}

// badReply returns the error of a reply that cannot be encoded, which is a bug of the
// handler.
func (d *declaration) badReply(err error) *Error {
	e := about("reply of "+d.String(), err)
	e.Code = Internal
	return e
}

// checkReplyHeader returns err, unless a header of the reply cannot be sent: that is a
// bug of the handler.
func (d *declaration) checkReplyHeader(c *Call, err error) error {
	if bad := checkFields(c.replyHeader()); bad != nil {
		c.info.reply = nil
		return d.badReply(bad)
	}
	return err
}

// reply sends a reply outside of handlers.
func (r replier) reply(m, reply *transport.Message) {
	r.sendReply(r.replyContext(r.in.clock.Now()), m, reply)
}

func (r replier) replyError(m *transport.Message, e *Error) {
	reply := &transport.Message{}
	reply.Header.SetError(e)
	r.reply(m, reply)
}

// sendReply sends a reply to the sender of m, if it waits for one. It is sent even while
// the App gives up, so ctx has its own time limit.
func (r replier) sendReply(ctx context.Context, m, reply *transport.Message) {
	if m.Reply == "" {
		return
	}
	reply.Subject = m.Reply
	err := r.in.app.transport.Publish(ctx, reply)
	if CodeOf(err) == InvalidArgument {
		err = r.sendShorter(ctx, reply, err)
	}
	if err != nil {
		r.in.log.Warn("mono: reply not sent", "module", r.unit.name, "handle", r.decl.name, "error", err)
	}
}

// sendShorter sends what the transport can carry of a rejected reply. A value is
// replaced by an error. An error keeps its code and its failure's name.
func (r replier) sendShorter(ctx context.Context, reply *transport.Message, refused error) error {
	r.in.log.Error("mono: reply rejected by the transport", "module", r.unit.name, "handle", r.decl.name, "error", refused)
	if !reply.Header.Has(transport.HeaderCode) {
		tooLarge := about("reply of "+r.decl.String(), refused)
		tooLarge.Code = Internal
		reply.Header, reply.Body = encodeError(tooLarge, OutcomeAnswered)
		refused = r.in.app.transport.Publish(ctx, reply)
	}
	for CodeOf(refused) == InvalidArgument && cutError(reply) {
		refused = r.in.app.transport.Publish(ctx, reply)
	}
	return refused
}

// replyNotDecoded returns the error of a caller that cannot decode a reply. It is Internal: the
// request was right.
func (d *declaration) replyNotDecoded(err error) *Error {
	e := about("reply of "+d.String(), err)
	e.Code = Internal
	return e
}
