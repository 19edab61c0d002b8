package mono

import (
	"fmt"
	"slices"

	"gomono.dev/transport"
)

// unit is one module, plugin or middleware in an instance.
type unit struct {
	name     string
	explicit bool // the name was given; it is not the package's
	plugin   bool
	version  string
	doc      string
	module   any
	scope    *Scope
	binder   *binder // while its Bind is running
	entered  bool    // its start has begun

	order     []identity // of senders, as declared
	senders   map[identity]*sender
	declared  map[*declaration]*sender // the same, found faster
	receivers []*receiver
	provided  []*resource
	needed    []need
	sends     []*channel
	receives  []*channel
	reads     []*declaration

	usages   []HandleBound  // of handles, once it is bound
	messages []*declaration // the handles that carry messages, each once
}

// introduce sets the name, version and doc of a unit from its module.
func (u *unit) introduce() error {
	if u.name == "" {
		u.name, u.explicit = moduleName(u.module)
	}
	u.version = moduleVersion(u.module)
	if d, ok := u.module.(interface{ Doc() string }); ok {
		u.doc = d.Doc()
	}
	return nil
}

// binder makes the plan of an instance: it binds the modules of the App and checks what
// they declare. Mistakes appear in the start report.
type binder struct {
	in     *instance
	plan   *plan
	report *report
}

// bindAll creates a unit for every module and binds it.
func (b *binder) bindAll() {
	app := b.in.app
	if slices.ContainsFunc(app.observers, func(o Observer) bool { return isNil(o) }) {
		b.report.add("", nil, "an observer is nil: give Observe a value")
	}
	for _, m := range app.middleware {
		b.addMiddleware(m)
	}
	for _, r := range slices.Concat(app.plugins, app.modules) {
		if r.plugin && r.name == "" {
			b.report.add("", nil, "a plugin of type %T has no name: give Plugin one, or use Add", r.module)
			continue
		}
		b.add(r)
	}
	for _, u := range b.plan.units {
		b.bind(u)
	}
}

// addMiddleware adds a middleware that is also a Module, or has a hook or a health
// check.
func (b *binder) addMiddleware(m Middleware) {
	if isNil(m) {
		b.report.add("", nil, "a middleware is nil: give Use a value")
		return
	}
	switch m.(type) {
	case Module, Starter, Stopper, HealthChecker:
		b.add(registration{module: m, plugin: true})
	}
}

func (b *binder) add(r registration) {
	if isNil(r.module) {
		b.report.add(r.name, nil, "a module is nil: give Add a value")
		return
	}
	u := &unit{name: r.name, explicit: true, plugin: r.plugin, module: r.module, senders: make(map[identity]*sender), declared: make(map[*declaration]*sender)}
	if err := guard(fmt.Sprintf("Name, Version or Doc of %T", r.module), b.in.panicked, u.introduce); err != nil {
		b.report.add(r.name, nil, "%v", err)
		return
	}
	u.scope = &Scope{in: b.in, unit: u}
	b.checkIdentity(u)
	b.plan.units = append(b.plan.units, u)
}

// checkIdentity reports an invalid name or version, and a name that another unit has.
func (b *binder) checkIdentity(u *unit) {
	if !isGroup(u.name) {
		b.report.add(u.name, nil, "%q cannot be the name of %T: want 1 to %d lower-case letters, digits and single hyphens; give it a method Name() string", u.name, u.module, maxName)
	}
	if err := transport.ValidateVersion(u.version); err != nil {
		b.report.add(u.name, nil, "its version: %v", err)
	}
	for _, other := range b.plan.units {
		if other.name == u.name {
			b.report.add(u.name, nil, "two modules have this name, %T and %T: give one a method Name() string, or add it with Plugin under another name", other.module, u.module)
		}
	}
}

func (b *binder) bind(u *unit) {
	m, ok := u.module.(Module)
	if !ok {
		return
	}
	u.binder = b
	err := guard("Bind of module "+u.name, b.in.panicked, func() error { return m.Bind(u.scope) })
	u.binder = nil
	if err != nil {
		b.report.add(u.name, nil, "Bind: %v", err)
	}
	u.summarize()
}

// record records a handle, and reports a second declaration that contradicts the first.
func (b *binder) record(u *unit, d *declaration) {
	first, ok := b.plan.handles[d.identity()]
	if !ok {
		b.plan.handles[d.identity()] = d
		b.in.codecs.add(d.config.Codec)
		return
	}
	if how := first.differs(d); how != "" {
		b.report.add(u.name, d, "is declared twice %s, at %s and at %s: declare it once and import it", how, first.place, d.place)
	}
}

// declare records that the module uses a handle. It panics unless the Scope belongs to
// a module whose Bind is running: elsewhere a declaration would have no effect.
func (s *Scope) declare(what string, d *declaration) {
	if s.unit == nil || s.unit.binder == nil {
		panic("mono: " + what + " of " + d.String() + " outside a module's Bind: declare it there, with the Scope that Bind gets")
	}
	s.unit.binder.record(s.unit, d)
}

// problem adds a mistake to the start report.
func (s *Scope) problem(d *declaration, format string, args ...any) {
	s.in.report.add(s.unit.name, d, format, args...)
}

// declareSender returns the module's sender of a handle, and creates it if it is new.
func (s *Scope) declareSender(what string, d *declaration) *sender {
	s.declare(what, d)
	u, id := s.unit, d.identity()
	own, ok := u.senders[id]
	if !ok {
		own = &sender{in: s.in, unit: u, decl: d}
		u.senders[id] = own
		u.order = append(u.order, id)
	}
	u.declared[d] = own
	return own
}

// receive declares a receiver. The typed Handle methods complete it.
func receive[O interface{ apply(*config) error }](sc *Scope, d *declaration, noHandler bool, opts []O, ticket func() *ticket) *receiver {
	sc.declare("Handle", d)
	r := &receiver{in: sc.in, unit: sc.unit, decl: d, config: d.config, place: callerOutside(), newTicket: ticket}
	if noHandler {
		sc.problem(d, "is handled by nil at %s: want a function", r.place)
	}
	for _, o := range opts {
		if err := applyTo(&r.config, o); err != nil {
			sc.problem(d, "is handled at %s with a wrong option: %v", r.place, err)
		}
	}
	sc.unit.receivers = append(sc.unit.receivers, r)
	return r
}
