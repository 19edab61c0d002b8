package mono

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/internal/lazy"
)

// instance is one attempt to run an App. It holds everything that a start builds. So a
// failed start leaves nothing behind in the App, and references to an old instance
// cannot reach a new one.
type instance struct {
	app    *App
	id     string
	log    *slog.Logger
	ctx    context.Context // of all handlers; ends when the App runs out of time to stop
	giveUp context.CancelCauseFunc

	root       *Scope
	plan       plan
	report     *report
	names      namespace
	codecs     *codecs
	logs       logs
	denials    denials
	contracts  *contracts // nil until the start has joined
	started    steps
	referenced *referencedValues // nil if no observer watches
	clock      lazy.Clock
	limits     lazy.Rules // of the contexts with a limit

	outside     sync.Map // *declaration → *sender, for code outside modules
	outsideNext Next     // middleware, then dispatch, for all of them
	middleware  []Middleware
	outgoing    *outgoing
	ended       atomic.Bool     // nothing is sent any more
	shared      sync.Map        // of components
	stopping    chan struct{}   // closed when the stop begins
	stopEnd     context.Context // hard end of the stop, set before stopping is closed
}

func newInstance(a *App) *instance {
	o := &a.options
	in := &instance{
		app:      a,
		id:       newID(),
		log:      a.log,
		plan:     newPlan(),
		report:   &report{},
		names:    o.namespace,
		logs:     logs{transport: a.transport, names: o.namespace, generation: o.generation},
		clock:    lazy.NewClock(),
		outgoing: newOutgoing(),
		stopping: make(chan struct{}),
	}
	in.ctx, in.giveUp = context.WithCancelCause(context.Background())
	in.limits.Clock = in.clock
	in.root = &Scope{app: a, in: in}
	in.denials.in = in
	in.referenced = newReferencedValues(in)
	return in
}

// isStopping reports whether the stop has begun.
func (in *instance) isStopping() bool {
	select {
	case <-in.stopping:
		return true
	default:
		return false
	}
}

func (in *instance) observe(o Observation)            { in.app.observe(o) }
func (in *instance) panicked(where string, value any) { in.app.panicked(where, value) }

func (in *instance) start(ctx context.Context) error {
	in.codecs = newCodecs(in.app.options.codec, in.panicked)
	b := &binder{in, &in.plan, in.report}
	b.bindAll()
	if err := b.check(); err != nil {
		return err
	}
	in.observeConfiguration()
	in.compile()
	if err := in.report.err(); err != nil {
		return err
	}
	in.app.current.Store(in)
	in.started.push("watching the transport", always(in.app.transport.Watch(in.denials.handle)))
	in.findLeftovers(ctx)
	in.openLogs(ctx)
	if err := in.report.err(); err != nil {
		return err
	}
	in.joinContracts(ctx)
	in.refuseDifferences(ctx)
	if err := in.report.err(); err != nil {
		return err
	}
	in.startChannels()
	if err := in.openComponents(ctx, "", in.app.components); err != nil {
		return fmt.Errorf("mono: %w", err)
	}
	for _, u := range in.plan.units {
		if err := in.startUnit(ctx, u); err != nil {
			return fmt.Errorf("mono: module %s: %w", u.name, err)
		}
	}
	return nil
}

func (in *instance) compile() {
	in.outsideNext = in.chainOutside(dispatch)
	for _, u := range in.plan.units {
		for _, s := range u.senders {
			s.compile()
		}
		for _, r := range u.receivers {
			r.compile()
			in.plan.receivers = append(in.plan.receivers, r) // a stop may come before the others are compiled
		}
	}
}

// startChannels starts the copying of the channels that fan out. It ends when the
// channel is closed, at the latest when everything has stopped.
func (in *instance) startChannels() {
	quit := make(chan struct{})
	in.started.push("channels", always(func() { close(quit) }))
	for _, c := range in.plan.channels {
		if c.decl.config.FanOut {
			go c.hub.copy(quit)
		}
	}
}

// startUnit opens the resources that a unit provides, fills those that it needs, starts
// it, and subscribes its receivers. Each part that succeeded is recorded, to be undone
// in reverse.
func (in *instance) startUnit(ctx context.Context, u *unit) error {
	began := time.Now()
	if err := in.openResources(ctx, u); err != nil {
		return err
	}
	if err := in.openComponents(ctx, u.name, u.components); err != nil {
		return err
	}
	u.entered = true
	in.started.push("channels of module "+u.name, always(u.leaveChannels))
	if s, ok := u.module.(Starter); ok {
		if err := hook(ctx, "Start", in.panicked, s.Start, u.stopLate); err != nil {
			return err
		}
	}
	in.started.push("module "+u.name, func(s *stopping) error { return in.stopUnit(s, u) })
	for _, r := range u.receivers {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	in.observe(ModuleStarted{Module: u.name, Duration: time.Since(began)})
	return nil
}

// stopLate stops a module whose Start has succeeded after the App gave up on it.
func (u *unit) stopLate() {
	if s, ok := u.module.(Stopper); ok {
		_ = s.Stop(context.Background()) // no caller is left to get the error
	}
}

// senderOf returns the sender of a handle for one send. It takes no lock: the
// declarations of modules do not change once they are bound.
func (in *instance) senderOf(u *unit, d *declaration) (*sender, error) {
	if u == nil {
		return in.outsideSender(d)
	}
	if s, ok := u.declared[d]; ok {
		return s, nil
	}
	if s, ok := u.senders[d.identity()]; ok {
		return s, nil
	}
	return nil, notDone(FailedPrecondition, "module %s sends through %s, which it has not declared: ask for a bound sender in Bind, or call Scope.Use there", u.name, d)
}

// outsideSender returns the sender for code outside modules, and creates it for the
// first send.
func (in *instance) outsideSender(d *declaration) (*sender, error) {
	if s, ok := in.outside.Load(d); ok {
		return s.(*sender), nil
	}
	switch in.app.State() {
	case StateRunning, StateStopping:
	default:
		return nil, notDone(Unavailable, "%s: the App is %s", d, in.app.State())
	}
	if how := in.plan.contradiction(d); how != "" {
		return nil, notDone(FailedPrecondition, "%s %s", d, how)
	}
	s := &sender{in: in, decl: d, next: in.outsideNext}
	s.compile()
	actual, _ := in.outside.LoadOrStore(d, s)
	return actual.(*sender), nil
}
