package mono

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/copier"
	"gomono.dev/transport"
)

// DefaultConcurrency is the number of handlers of one service that run at once in one
// process, unless mono.Concurrency sets another.
const DefaultConcurrency = 256

// receiver is the receiving side of one handle in one module: its handler, and
// everything between the handler and the transport.
type receiver struct {
	in     *instance
	unit   *unit
	decl   *declaration
	config config
	place  string

	// The typed parts.
	newTicket func() *ticket
	invoke    func(ctx context.Context, c *Call) error
	typed     any                                                 // the handler of a service, a Func
	callLocal func(ctx context.Context, s *sender, c *Call) error // calls it locally

	codec    codec.Codec
	request  *copier.Plan // of a service with local calls; nil: values are passed without a copy
	response *copier.Plan
	next     Next // middleware, then invoke
	plain    bool // there is no middleware
	gate     *gate
	where    string // the name of the handler in the log of a panic
	stats    stats
	subs     []transport.Receiver

	storage    *storage              // of a stored handle
	membership *membership           // of a running receiver of a stored handle
	pack       func([]*Call) any     // makes the payload of a batch; nil: one message at a time
	batcher    *batcher              // of a running receiver of batches
	gone       atomic.Pointer[error] // why nothing is received
	watch      *watch                // of a stored handle

	pending pendingDeadLetters // messages whose dead letters could not be stored

	cutOff  atomic.Int64  // handlers that ran when the App had run out of time
	refused atomic.Uint64 // messages that came when the App had run out of time
}

// group returns the group of the receiver, "" if every instance receives.
func (r *receiver) group() string {
	switch {
	case r.config.Broadcast:
		return ""
	case r.config.Group != "":
		return r.config.Group
	case r.decl.kind == KindQueue && len(r.decl.config.Groups) == 0:
		return DefaultGroup
	}
	return r.unit.name
}

// compile is called once all modules are bound.
func (r *receiver) compile() {
	r.codec = r.in.codecOf(r.decl)
	r.where = fmt.Sprintf("module %s: the handler of %s", r.unit.name, r.decl)
	r.next = r.in.chain(r.guarded)
	r.plain = len(r.in.app.middleware) == 0
	concurrency := r.config.Concurrency
	if concurrency == 0 {
		concurrency = 1
		if r.decl.kind == KindService {
			concurrency = DefaultConcurrency
		}
	}
	r.gate = newGate(concurrency)
	if r.decl.kind == KindService && !r.config.ByReference {
		r.request, r.response = copier.For(r.decl.types[0], r.codec), copier.For(r.decl.types[1], r.codec)
	}
	if r.decl.stored() {
		r.storage, r.watch = r.in.storageOf(r.decl), newWatch(r)
	}
}

// subscribe starts to receive.
func (r *receiver) subscribe(ctx context.Context) error {
	r.gate.enterPhase(serving)
	if r.storage != nil {
		return r.consume(ctx)
	}
	for _, subject := range r.subjects() {
		sub, err := r.in.app.transport.Subscribe(ctx, r.subscription(subject), r.receive)
		if err != nil {
			return about(r.decl.String(), err)
		}
		r.subs = append(r.subs, sub)
	}
	return nil
}

// subjects returns the subjects of the receiver's subscriptions.
func (r *receiver) subjects() []string {
	if r.nonPersistent() {
		return r.nonPersistentSubjects()
	}
	return r.in.patternsOf(r.decl, &r.config)
}

func (r *receiver) subscription(subject string) transport.Subscription {
	s := transport.Subscription{Subject: subject, Group: r.group(), PendingLimit: r.config.MaxBuffered, OnDrop: r.dropped}
	if r.decl.kind == KindService {
		s.Group = serviceGroup
		s.Endpoint = r.endpoint()
	}
	return s
}

// serviceGroup is the group of all instances of a service. It is the default of NATS
// micro services, so that an instance written with another library can share the calls.
const serviceGroup = "q"

// receive admits a message from the transport. It waits for a free handler, which
// delays only its subscription. The returned Work runs concurrently with other
// messages.
func (r *receiver) receive(m *transport.Message) transport.Work {
	t := r.newTicket()
	t.call.at, t.call.message = r, m
	switch {
	case !r.gate.enter(r.in.ctx, t):
		r.refuse(m)
		return nil
	case r.nonPersistent():
		r.confirm(m)
	}
	return r.begin(t)
}

// replies reports whether the receiver's messages have replies.
func (r *receiver) replies() bool { return r.decl.kind == KindService }

// serial reports whether one handler runs at a time, in order.
func (r *receiver) serial() bool { return r.gate.limit == 1 }

// begin handles a message in order, or returns it as Work to run concurrently.
func (r *receiver) begin(t *ticket) transport.Work {
	if r.serial() {
		r.attend(t)
		return nil
	}
	return t
}

// attend handles an admitted message.
func (r *receiver) attend(t *ticket) {
	if t.call.delivery != nil {
		r.work(t, t.call.delivery)
		return
	}
	r.handle(t)
}

func (r *receiver) handle(t *ticket) {
	defer r.gate.leave(t)
	var reply *transport.Message
	returned := false
	defer func() {
		switch {
		case !t.claim():
		case returned && reply == nil:
		case returned:
			defer t.reply.handOver.end()
			r.respond(&t.reply.handOver, t.call.message, reply)
		case r.replies():
			e := r.exited()
			e.Outcome = OutcomeAnswered
			r.respondError(t.call.message, e)
		default:
			_ = r.exited() // no caller waits for it
		}
	}()
	reply = r.serve(t)
	returned = true
}

// exited logs and returns the error of a handler that has ended its goroutine. If that
// goroutine receives the messages, no more are received, and the module is unhealthy.
func (r *receiver) exited() *Error {
	e := goexitError(r.where)
	serial := r.gate.limit == 1 && r.pack == nil
	r.in.log.Error("mono: handler failed", "module", r.unit.name, "handle", r.decl.name, "error", e, "receives no more", serial)
	if serial {
		err := fmt.Errorf("nothing is received any more: %w", e)
		r.gone.Store(&err)
	}
	return e
}

// serve handles one message and returns its reply, nil for kinds without one.
func (r *receiver) serve(t *ticket) (reply *transport.Message) {
	began := r.in.clock.now()
	c := &t.call
	c.at, c.decl = r, r.decl
	k, err := r.codecOf(c.message)
	if err == nil {
		err = r.process(r.in.ctx, c.message, k, t, began, take)
	}
	if r.replies() {
		reply = &t.reply.message
		reply.Header = t.reply.fields[:0]
		if err == nil {
			err = r.encodeReply(reply, k, c)
		}
		err = r.checkReplyHeader(c, err)
	}
	now := r.in.clock.now()
	r.stats.record(&r.stats.received, now-began, err)
	if reply != nil {
		t.reply.handOver.begin(context.Background(), r.in, now+replyTimeout)
	}
	if err != nil {
		r.failed(c.ID, err)
		if reply != nil {
			reply.Header, reply.Body = encodeError(err, k)
		}
	}
	if reply != nil {
		reply.Header = append(reply.Header, c.replyHeader()...)
	}
	return reply
}

// inTime returns the error of a handler. If the handler has exceeded its deadline, the
// outcome is unknown, because the caller may have given up already.
func (r *receiver) inTime(ctx context.Context, err error) error {
	if err == nil || CodeOf(err) != DeadlineExceeded {
		return err
	}
	if deadline, ok := ctx.Deadline(); !ok || time.Now().Before(deadline) { // its timer may be late
		return err
	}
	return &overtime{transport.Errorf(DeadlineExceeded, OutcomeUnknown, "%s: the handler exceeded its deadline: %v", r.decl, err)}
}

// overtime is the error of a handler that exceeded its deadline, or of an attempt that
// exceeded its Timeout.
type overtime struct{ coded *Error }

func (o *overtime) Error() string { return o.coded.Error() }
func (o *overtime) Unwrap() error { return o.coded }

// opener is decode or take.
type opener func(*transport.Message, codec.Codec, any) error

// codecOf returns the codec of a message, or with an error the codec of the answer.
func (r *receiver) codecOf(m *transport.Message) (codec.Codec, error) {
	k, err := r.in.codecs.of(m.Header, r.codec)
	if err != nil {
		return codec.JSON, about(r.decl.String(), err)
	}
	return k, nil
}

// process decodes a message and runs the handler.
func (r *receiver) process(ctx context.Context, m *transport.Message, k codec.Codec, t *ticket, began time.Duration, open opener) error {
	c := &t.call
	if err := r.decodeInto(c, m, k, open); err != nil {
		return err
	}
	if r.replies() {
		limit, err := r.limit(m.Header)
		if err != nil {
			return about(r.decl.String(), err)
		}
		ctx = t.reply.limited.begin(ctx, r.in, began+limit)
		defer t.reply.limited.end()
		return r.inTime(ctx, r.run(ctx, c))
	}
	r.watch.begin(t, began)
	defer r.watch.end(t)
	return r.runAttempt(ctx, c)
}

// decodeInto fills in a Call from a message.
func (r *receiver) decodeInto(c *Call, m *transport.Message, k codec.Codec, open opener) error {
	if id := m.Header.Get(transport.HeaderID); id != "" {
		c.id = id
	}
	c.message, c.header, c.sender, c.size = m, m.Header, m.Header.Get(transport.HeaderSender), len(m.Body)
	if err := open(m, k, c.payload); err != nil {
		return about(r.decl.String(), err)
	}
	c.decoded = true
	return nil
}

// run runs middleware and handler with a context that contains the Call.
func (r *receiver) run(ctx context.Context, c *Call) error {
	return r.around(c.within(ctx), c)
}

// around runs middleware and handler.
func (r *receiver) around(ctx context.Context, c *Call) error {
	if r.plain {
		return r.guarded(ctx, c)
	}
	return guard("middleware of "+r.decl.String(), r.in.panicked, func() error { return r.next(ctx, c) })
}

// guarded runs the handler. A panic is returned as an error, which middleware sees too.
func (r *receiver) guarded(ctx context.Context, c *Call) error {
	err := guard(r.where, r.in.panicked, func() error { return r.invoke(ctx, c) })
	c.replied = err == nil && r.replies()
	return err
}

// limit returns how long the handler of a request may take.
func (r *receiver) limit(h transport.Header) (time.Duration, error) {
	limit := r.config.Timeout
	if limit == 0 {
		limit = DefaultTimeout
	}
	text := h.Get(transport.HeaderTimeout)
	if text == "" {
		return limit, nil
	}
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil || ms == 0 {
		return 0, Errorf(InvalidArgument, "header %s is %q: want a positive number of milliseconds", transport.HeaderTimeout, text)
	}
	asked := time.Duration(min(ms, uint64(maxTimeout.Milliseconds()))) * time.Millisecond
	if r.config.Timeout == 0 {
		return asked, nil
	}
	return min(asked, limit), nil
}

// maxTimeout bounds the timeout in a request.
const maxTimeout = 24 * time.Hour

func (r *receiver) encodeReply(reply *transport.Message, k codec.Codec, c *Call) error {
	if err := encode(reply, k, c.reply); err != nil {
		return r.badReply(err)
	}
	return nil
}

// badReply returns the error of a reply that cannot be encoded, which is a bug of the
// handler.
func (r *receiver) badReply(err error) *Error {
	e := about("reply of "+r.decl.String(), err)
	e.Code = Internal
	return e
}

// respond sends a reply to the caller, if it waits for one. It is sent even while the
// App gives up, so ctx has its own time limit.
func (r *receiver) respond(ctx context.Context, m, reply *transport.Message) {
	if m.Reply == "" {
		return
	}
	reply.Subject = m.Reply
	err := r.in.app.transport.Publish(ctx, reply)
	if CodeOf(err) == InvalidArgument {
		err = r.respondLess(ctx, reply, err)
	}
	if err != nil {
		r.in.log.Warn("mono: reply not sent", "module", r.unit.name, "handle", r.decl.name, "error", err)
	}
}

// respondLess sends what the transport can carry of a rejected reply. A value is
// replaced by an error. An error keeps its code and its failure's name.
func (r *receiver) respondLess(ctx context.Context, reply *transport.Message, refused error) error {
	r.in.log.Error("mono: reply rejected by the transport", "module", r.unit.name, "handle", r.decl.name, "error", refused)
	if !reply.Header.Has(transport.HeaderCode) {
		tooLarge := about("reply of "+r.decl.String(), refused)
		tooLarge.Code = Internal
		reply.Header, reply.Body = encodeError(tooLarge, r.codec)
		refused = r.in.app.transport.Publish(ctx, reply)
	}
	for CodeOf(refused) == InvalidArgument && cutError(reply) {
		refused = r.in.app.transport.Publish(ctx, reply)
	}
	return refused
}

// replyTimeout bounds the hand-over of a reply to the transport.
const replyTimeout = 5 * time.Second

// refuse answers a message that no handler gets.
func (r *receiver) refuse(m *transport.Message) {
	if !r.replies() {
		if n := r.refused.Add(1); n == 1 {
			r.in.log.Warn("mono: messages dropped, the App ran out of time to stop", "module", r.unit.name, "handle", r.decl.name)
			r.in.observe(MessagesDropped{Module: r.unit.name, Handle: r.decl, Total: n})
		}
		return
	}
	r.respondError(m, notDone(Unavailable, "%s: this instance is stopping: try again", r.decl))
}

// abandon answers the callers of handlers that still run when the App has run out of
// time.
func (r *receiver) abandon(unanswered []*transport.Message) {
	for _, m := range unanswered {
		if r.replies() {
			r.respondError(m, r.abandoned())
		}
	}
}

func (r *receiver) abandoned() *Error {
	return transport.Errorf(Unavailable, OutcomeUnknown,
		"%s: this instance ran out of time to stop while the handler was running: the call may have happened", r.decl)
}

// answer sends a reply outside of handlers.
func (r *receiver) answer(m, reply *transport.Message) {
	var ctx limitedContext
	defer ctx.end()
	r.respond(ctx.begin(context.Background(), r.in, r.in.clock.now()+replyTimeout), m, reply)
}

func (r *receiver) respondError(m *transport.Message, e *Error) {
	reply := &transport.Message{}
	reply.Header.SetError(e)
	r.answer(m, reply)
}

// failed logs errors that no caller gets: those of kinds without a reply, and bugs.
func (r *receiver) failed(id func() string, err error) {
	if !r.replies() || CodeOf(err) == Internal {
		r.in.log.Error("mono: handler failed", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "id", id(), "error", err)
	}
}

func (r *receiver) dropped(total uint64) {
	r.in.log.Warn("mono: messages dropped, the handler is too slow", "module", r.unit.name, "handle", r.decl.name, "total", total)
	r.in.observe(MessagesDropped{Module: r.unit.name, Handle: r.decl, Total: total})
}

// drain handles the messages that have arrived, and returns an error if some were not
// handled.
func (r *receiver) drain(soft, hard context.Context) error {
	defer r.watch.stop()
	r.gate.enterPhase(draining)
	if r.batcher != nil {
		close(r.batcher.flush)
	}
	var err error
	for _, sub := range r.subs {
		err = cmp.Or(err, sub.Drain(hard))
	}
	if err = cmp.Or(err, r.membership.drain(hard)); err != nil {
		err = about(r.decl.String(), err)
	}
	if r.batcher != nil {
		close(r.batcher.quit)
	}
	running := r.gate.wait(soft)
	if cut := max(int(r.cutOff.Load()), running); cut > 0 {
		return Errorf(DeadlineExceeded, "module %s: %d handlers of %s were cut off when the time to stop was over, %d still run", r.unit.name, cut, r.decl, running)
	}
	return err
}
