package mono

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"gomono.dev/codec"
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

	root      *Scope
	units     []*unit // in the order of registration, then of starting
	report    *report
	handles   map[identity]*declaration
	providers map[identity]*receiver
	resources map[identity]*resource
	channels  map[identity]*channel
	codecs    codecs
	started   []step
	storages  sync.Map // name → *storage

	outside     sync.Map    // *declaration → *sender, for code outside modules
	outsideNext Next        // middleware, then dispatch, for all of them
	ended       atomic.Bool // nothing is sent any more
	outgoing    *outgoing
	stopping    chan struct{}   // closed when the stop begins
	stopEnd     context.Context // hard end of the stop, set before stopping is closed
	clock       lazy.Clock
	limits      lazy.Rules        // of the contexts with a limit
	referenced  *referencedValues // nil if no observer watches
	denials     denials
}

// unit is one module, plugin or middleware in an instance.
type unit struct {
	name     string
	explicit bool // the name was given; it is not the package's
	plugin   bool
	version  string
	doc      string
	module   any
	scope    *Scope
	binding  bool // its Bind is running
	entered  bool // its start has begun

	order     []identity // of senders, as declared
	senders   map[identity]*sender
	declared  map[*declaration]*sender // the same, found faster
	receivers []*receiver
	provided  []*resource
	needed    []need
	sends     []*channel
	receives  []*channel
	reads     []*declaration
}

func newInstance(a *App) *instance {
	in := &instance{
		app:       a,
		id:        newID(),
		log:       a.log,
		report:    &report{},
		handles:   make(map[identity]*declaration),
		providers: make(map[identity]*receiver),
		resources: make(map[identity]*resource),
		channels:  make(map[identity]*channel),
		clock:     lazy.NewClock(),
		outgoing:  newOutgoing(),
		stopping:  make(chan struct{}),
	}
	in.limits.Clock = in.clock
	in.ctx, in.giveUp = context.WithCancelCause(context.Background())
	in.root = &Scope{in: in}
	in.referenced = in.watchReferences()
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

func (in *instance) codecOf(d *declaration) codec.Codec {
	if d.config.Codec != nil {
		return in.contain(d.config.Codec)
	}
	return in.contain(in.app.options.codec)
}

// sender returns the unit's sender of a handle, and declares it if it is new.
func (u *unit) sender(in *instance, d *declaration) *sender {
	in.record(u, d)
	id := d.identity()
	s, ok := u.senders[id]
	if !ok {
		s = &sender{in: in, unit: u, decl: d}
		u.senders[id] = s
		u.order = append(u.order, id)
	}
	u.declared[d] = s
	return s
}

// record records a handle, and reports a second declaration that contradicts the first.
func (in *instance) record(u *unit, d *declaration) {
	first, ok := in.handles[d.identity()]
	if !ok {
		in.handles[d.identity()] = d
		in.codecs.add(in.contain(d.config.Codec))
		return
	}
	if how := first.differs(d); how != "" {
		in.report.add(u.name, d, "is declared twice %s, at %s and at %s: declare it once and import it", how, first.place, d.place)
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
	if known, ok := in.handles[d.identity()]; ok {
		if how := known.differs(d); how != "" {
			return nil, notDone(FailedPrecondition, "%s is declared twice %s, at %s and at %s: declare it once and import it", d, how, known.place, d.place)
		}
	}
	s := &sender{in: in, decl: d, next: in.outsideNext}
	s.compile()
	actual, _ := in.outside.LoadOrStore(d, s)
	return actual.(*sender), nil
}

// receive declares a receiver. The typed Handle methods complete it.
func receive[O interface{ apply(*config) error }](sc *Scope, d *declaration, noHandler bool, opts []O, memory func() *inbound) *receiver {
	sc.binding("Handle", d)
	r := &receiver{in: sc.in, unit: sc.unit, decl: d, config: d.config, place: callerOutside(), newInbound: memory}
	if noHandler {
		sc.problem(d, "is handled by nil at %s: want a function", r.place)
	}
	for _, o := range opts {
		if err := applyTo(&r.config, o); err != nil {
			sc.problem(d, "is handled at %s with a wrong option: %v", r.place, err)
		}
	}
	sc.in.record(sc.unit, d)
	sc.unit.receivers = append(sc.unit.receivers, r)
	return r
}

// stopLate stops a module whose Start has succeeded after the App gave up on it.
func (u *unit) stopLate() {
	if s, ok := u.module.(Stopper); ok {
		_ = s.Stop(context.Background()) // no caller is left to get the error
	}
}
