package mono

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/copier"
	"gomono.dev/transport"
)

// DefaultConcurrency is the number of handlers of one service that run at once in one
// process, unless mono.Concurrency sets another.
const DefaultConcurrency = 256

// receiver is the receiving side of one handle in one module: its handler, and what the
// stages of inbound messages need.
type receiver struct {
	in     *instance
	unit   *unit
	decl   *declaration
	config config
	place  string

	// The typed parts.
	newInbound   func() *inbound
	invoke       func(ctx context.Context, c *Call) error
	typed        any                                       // the handler of a service, a Func
	callProvider func(ctx context.Context, c *Call) error  // calls it for a local sender
	arrive       func(m *transport.Message) transport.Work // handles a bare event without middleware; nil: it does not
	pack         func([]*inbound) any                      // makes the payload of a batch; nil: one message at a time

	// These are compiled when all modules are bound.
	codec       codec.Codec
	contentType transport.Header // of its replies, which share it: it must not be changed
	bare        codec.Codec      // of a message without a header
	request     *copier.Plan     // of a service with local calls; nil: values are passed without a copy
	response    *copier.Plan
	next        Next       // middleware, then call
	plain       bool       // no middleware runs
	where       string     // the name of the handler in the log of a panic
	around      string     // the name of its middleware there
	undecodable occasional // messages that are logged
	gate        *gate
	source      source
	finisher    finisher
	storage     *storage // of a stored handle
	settler     *settler // the finisher of a stored handle
	watch       *watch   // of a stored handle
	full        fullPartitions

	stats      stats // of a service
	replyLimit atomic.Pointer[replyLimit]

	gone   atomic.Pointer[error] // why nothing is received
	cutOff atomic.Int64          // handlers that ran when the App had run out of time
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

// namedAfterModule reports whether the group of the receiver has the name of its module.
func (r *receiver) namedAfterModule() bool {
	named := r.decl.kind == KindEvent || r.decl.kind == KindStream || r.decl.kind == KindQueue && len(r.decl.config.Groups) > 0
	return named && !r.config.Broadcast && r.config.Group == ""
}

// compile is called once all modules are bound.
func (r *receiver) compile() {
	r.codec = r.in.codecs.own(r.decl)
	r.contentType = contentTypeOf(r.codec)
	r.bare, _ = r.in.codecs.ofMessage(nil, r.decl, r.codec) // no error: it has its own format, or is JSON
	r.where = fmt.Sprintf("module %s: the handler of %s", r.unit.name, r.decl)
	r.around = "middleware of " + r.decl.String()
	selected, err := r.in.selects(r.decl, SideReceiver, false)
	if err != nil {
		r.in.report.add(r.unit.name, r.decl, "%v", err)
	}
	r.next, r.plain = r.in.chain(selected, r.call), !slices.Contains(selected, true)
	concurrency := cmp.Or(r.config.Concurrency, 1)
	if r.replies() {
		concurrency = cmp.Or(r.config.Concurrency, DefaultConcurrency)
	}
	r.gate = newGate(concurrency)
	if r.replies() && !r.config.ByReference {
		r.request, r.response = copier.For(r.decl.types[0], r.codec), copier.For(r.decl.types[1], r.codec)
	}
	switch {
	case r.decl.stored():
		r.storage, r.watch, r.full.r = r.in.logs.of(r.decl), newWatch(r), r
		c := newConsumer(r)
		r.settler = &settler{receiver: r, consumer: c}
		r.source, r.finisher = c, r.settler
	case r.replies():
		r.source, r.finisher = &subscriber{r: r}, replier{r}
	default:
		r.source, r.finisher = &subscriber{r: r}, &atMostOnce{receiver: r}
		if !r.plain || r.config.Timeout > 0 {
			r.arrive = nil
		}
	}
}

// start starts to receive.
func (r *receiver) start(ctx context.Context) error {
	r.gate.enterPhase(serving)
	return r.source.start(ctx)
}

// drain handles the messages that have arrived, and returns an error if some were not
// handled.
func (r *receiver) drain(soft, hard context.Context) error {
	defer r.watch.stop()
	r.gate.enterPhase(draining)
	err := r.source.drain(hard)
	running := r.gate.wait(soft)
	if cut := max(int(r.cutOff.Load()), running); cut > 0 {
		return Errorf(DeadlineExceeded, "module %s: %d handlers of %s were cut off when the time to stop was over, %d still run", r.unit.name, cut, r.decl, running)
	}
	if err != nil {
		return about(r.decl.String(), err)
	}
	return nil
}

// check is the health check of a receiver: its group exists, and it may receive.
func (r *receiver) check() error {
	if err := r.gone.Load(); err != nil {
		return fmt.Errorf("%s: %w", r.decl, *err)
	}
	if err := r.in.denials.of(endpoint{r.decl.identity(), r}); err != nil {
		return about(r.decl.String(), err)
	}
	return nil
}

// message returns the memory for a message, which belongs to a delivery if it was stored.
func (r *receiver) message(m *transport.Message, d *transport.Delivery) *inbound {
	in := r.newInbound()
	in.call.at, in.call.decl, in.call.message, in.call.delivery = r, r.decl, m, d
	return in
}
