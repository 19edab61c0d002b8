package mono

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/codec"
	"gomono.dev/internal/lazy"
	"gomono.dev/transport"
)

// DefaultTimeout bounds a call if neither the caller's context nor mono.Timeout does.
const DefaultTimeout = 30 * time.Second

// sender is the sending side of one handle in one module. It is compiled when the App
// starts, and used for every message.
type sender struct {
	in     *instance
	unit   *unit // nil: outside any module
	decl   *declaration
	codec  codec.Codec
	format string    // the content type in the header, "" if a receiver needs none
	local  *receiver // the local provider of a service, which is called directly
	module string
	prefix string // of its subjects

	next     Next   // middleware, then dispatch
	selected []bool // the middleware of the App that runs, for the chain of code outside modules
	plain    bool   // no middleware runs
	direct   bool   // no middleware runs between sender and local provider
	around   string // the name of its middleware in the log of a panic

	identified bool // each message carries its id, which something on this side may know

	// The memory of an event is used again if no middleware could keep it.
	reuses  bool
	parcels sync.Pool // of *bareParcel

	// The limit of a call without a deadline, or with a longer one if the service has a
	// Timeout.
	callTimeout     time.Duration
	callTimeoutText string
	localLimits     lazy.Rules // of local calls

	storage  *storage     // of a stored handle
	accepted atomic.Int64 // when a NonPersistent queue last accepted a job, in ns of Unix time
}

// compile is called once all modules are bound.
func (s *sender) compile() {
	s.codec = s.in.codecs.own(s.decl)
	s.prefix, s.around = s.in.names.prefix(s.decl), "middleware of "+s.decl.String()
	s.callTimeout = cmp.Or(s.decl.config.Timeout, DefaultTimeout)
	s.callTimeoutText = timeoutText(s.callTimeout)
	s.localLimits = lazy.Rules{Clock: s.in.clock, Isolation: s.in.ctx, Yield: s.decl.config.Timeout == 0}
	if s.unit != nil {
		s.module = s.unit.name
	}
	if s.decl.kind == KindService && !s.in.app.options.noLocalCalls && !s.decl.config.LoadBalanced {
		if p := s.in.plan.providers[s.decl.identity()]; p.service != nil && !p.unit.inactive {
			s.local = p.service
		}
	}
	var err error
	if s.selected, err = s.in.selects(s.decl, SideSender, s.local != nil); err != nil && s.unit != nil {
		s.in.report.add(s.module, s.decl, "%v", err)
	}
	s.plain = !slices.Contains(s.selected, true)
	s.direct = s.local != nil && s.plain
	s.identified = s.mayKnow()
	s.reuses = s.decl.transient() && s.plain && !s.identified
	s.format = s.codec.ContentType()
	if s.format == codec.JSON.ContentType() || s.decl.transient() && s.format == codec.Raw.ContentType() {
		s.format = ""
	}
	if s.decl.stored() {
		s.storage = s.in.logs.of(s.decl)
	}
	if s.next == nil {
		s.next = s.in.chain(s.selected, dispatch)
	}
}

// mayKnow reports whether something on the sending side may know the id of a message. If not, a
// call and an event that is not stored go without.
func (s *sender) mayKnow() bool {
	switch {
	case s.in.app.options.chooses(s.decl):
		return true
	case s.decl.kind == KindService:
		return !s.plain
	case s.decl.transient():
		return s.in.mayAsk(s.selected)
	}
	return true
}

// prepare makes the Call of one payload and sends it through the middleware. For a
// service it fills reply.
func (s *sender) prepare(ctx context.Context, sent *sending, out *outbound, payload, reply any) (err error) {
	if s.next == nil {
		if err := s.unit.away(s.decl); err != nil {
			return err
		}
		return notDone(FailedPrecondition, "%s: sent before the App has started: send in Start or later", s.decl)
	}
	if s.in.ended.Load() {
		return notDone(Unavailable, "%s: the App has stopped", s.decl)
	}
	var info *CallInfo
	if reply != nil {
		info = takeCallInfo(ctx)
	}
	header := s.in.app.options.inherit(ctx, s.decl, info.addTo(sent.header()))
	if err := checkFields(header); err != nil {
		return about(s.decl.String(), err)
	}
	viaTransport := s.local == nil && s.plain
	if out.limited != nil && s.limits(ctx) {
		out.fresh = viaTransport
		ctx = out.limited.Begin(&s.in.limits, ctx, s.in.clock.Now()+s.callTimeout)
		defer out.limited.End()
	}
	if viaTransport {
		c := s.callOf(sent, header, info, out, payload, reply) // no reference to it is kept: it stays on the stack
		return s.send(ctx, &c)
	}
	c := new(sendingCall)
	*c = s.callOf(sent, header, info, out, payload, reply)
	c.sending = c
	return guard(s.around, s.in.panicked, func() error { return s.next(ctx, &c.Call) })
}

// limits reports whether a call gets a deadline here: its caller has set none, or the
// service has a Timeout.
func (s *sender) limits(ctx context.Context) bool {
	if s.decl.config.Timeout != 0 {
		return true
	}
	_, ok := ctx.Deadline()
	return !ok
}

// callOf returns the Call of the sending side.
func (s *sender) callOf(sent *sending, header transport.Header, info *CallInfo, out *outbound, payload, reply any) sendingCall {
	return sendingCall{
		Call: Call{via: s, decl: s.decl, sender: s.module, header: header, info: info, payload: payload, reply: reply, id: sent.opts.dedup},
		sent: sent.options(),
		out:  out,
	}
}

// dispatch is the end of every chain of middleware.
func dispatch(ctx context.Context, c *Call) error {
	c.sendAgain()
	if c.via.local != nil {
		return c.via.local.callProvider(ctx, c)
	}
	return c.via.send(ctx, c.sending)
}

// send encodes a message and sends it over the transport.
func (s *sender) send(ctx context.Context, c *sendingCall) error {
	m, err := s.encode(ctx, c)
	if err != nil {
		return about(s.decl.String(), err)
	}
	if !s.in.outgoing.enter() {
		return notDone(Unavailable, "%s: the App has stopped", s.decl)
	}
	defer s.in.outgoing.leave()
	switch {
	case s.decl.kind == KindService:
		return s.request(ctx, m, c)
	case s.storage != nil:
		err = s.store(ctx, m, c)
	case s.decl.kind == KindEvent:
		err = s.in.app.transport.Publish(ctx, m)
	case c.sent.delayed():
		err = notDone(InvalidArgument, "a NonPersistent queue stores nothing, so it cannot delay: declare it without mono.NonPersistent")
	default:
		err = s.sendNonPersistent(ctx, m)
	}
	if err != nil {
		return about(s.decl.String(), err)
	}
	return nil
}

// encode returns the message for the transport.
func (s *sender) encode(ctx context.Context, c *sendingCall) (*transport.Message, error) {
	left, err := s.timeLeft(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := checkFields(c.header); err != nil {
		return nil, err
	}
	subject, err := s.subjectOf(c.payload)
	if err != nil {
		return nil, err
	}
	m := c.newMessage()
	m.Subject = subject
	if c.header != nil {
		m.Header = c.header
	}
	s.identify(m, c, s.timeout(c, left))
	if err := encodeBody(m, s.codec, c.payload); err != nil {
		return nil, err
	}
	c.size = len(m.Body)
	return m, nil
}

// identify adds the fields that mono sets. Fields cost a message over NATS more than all else: an
// event has no id and no sender, and a call no id, unless the sending side may know the id.
func (s *sender) identify(m *transport.Message, c *sendingCall, timeout string) {
	known := s.identified || c.sent.dedup != ""
	if known && s.storage == nil { // a stored message has the id of its append
		m.Header.Add(transport.HeaderID, c.ID())
	}
	if s.module != "" && (known || !s.decl.transient()) {
		m.Header.Add(transport.HeaderSender, s.module)
	}
	if timeout != "" {
		m.Header.Add(transport.HeaderTimeout, timeout)
	}
	if s.format != "" {
		m.Header.Add(transport.HeaderContentType, s.format)
	}
}

// newMessage returns a message for a Call: the first time in the memory of the Call.
func (c *sendingCall) newMessage() *transport.Message {
	out := c.out
	if c.out = nil; out == nil {
		return &transport.Message{Header: make(transport.Header, 0, 4)}
	}
	return &out.message
}

// timeLeft returns the time left for a call, 0 if it is not limited, and an error if no
// time is left. For a context that has just begun, it is known without a look at the
// clock.
func (s *sender) timeLeft(ctx context.Context, c *sendingCall) (left time.Duration, err error) {
	if c.out != nil && c.out.fresh {
		ctx, left = c.out.limited.Parent(), s.callTimeout
	}
	if ctx.Err() != nil {
		return 0, transport.ContextError(ctx, OutcomeNotDone, "the context ended before anything was sent")
	}
	if s.decl.kind != KindService {
		return 0, nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		if until := max(1, time.Until(deadline)); left == 0 || until < left {
			left = until
		}
	}
	return left, nil
}

// timeout returns the header text of the time left, "" if it is not limited. It also sets the
// id that the message carries, because both texts share memory.
func (s *sender) timeout(c *sendingCall, left time.Duration) (text string) {
	switch {
	case left == 0:
		return ""
	case !s.identified && left == s.callTimeout:
		return s.callTimeoutText
	case !s.identified || c.id != "":
		return timeoutText(left)
	}
	c.id, text = newIDAnd(milliseconds(left))
	return text
}

func timeoutText(left time.Duration) string { return strconv.FormatInt(milliseconds(left), 10) }

// milliseconds returns the milliseconds left, at least 1.
func milliseconds(left time.Duration) int64 { return max(1, left.Milliseconds()) }

// request sends a request and receives its reply.
func (s *sender) request(ctx context.Context, m *transport.Message, c *sendingCall) error {
	reply, err := s.in.app.transport.Request(ctx, m)
	if err != nil {
		return about(s.decl.String(), err)
	}
	c.info.setReply(reply.Header)
	if err := replyError(reply, s.in.codecs, s.codec); err != nil {
		return err
	}
	size := len(reply.Body)
	k, err := s.in.codecs.of(reply.Header, s.codec)
	if err == nil {
		err = takePayload(reply, k, c.reply)
	}
	if err != nil {
		return s.decl.replyNotDecoded(err)
	}
	c.replied, c.returned = true, size
	return nil
}
