package mono

import (
	"fmt"
	"slices"
	"strings"

	"gomono.dev/transport"
)

// plan is what the modules of an App declare, and what an instance runs. It does not
// change once the modules are bound and checked.
type plan struct {
	units     []*unit     // in the order of registration, then of starting
	inactive  []*unit     // that do not run in this process
	receivers []*receiver // of the units, in their order, once compiled
	handles   map[identity]*declaration
	named     map[identity]*declaration // by name and by address
	providers map[identity]provider
	channels  map[identity]*channel

	components map[identity]*component
}

// provider is the provider of a service or a resource.
type provider struct {
	unit     *unit
	decl     *declaration
	place    string
	service  *receiver // nil for a resource
	resource *resource // nil for a service
}

func newPlan() plan {
	return plan{
		handles:   make(map[identity]*declaration),
		named:     make(map[identity]*declaration),
		providers: make(map[identity]provider),
		channels:  make(map[identity]*channel),

		components: make(map[identity]*component),
	}
}

// groupsOf returns the groups of a handle that the App declares: those of the handle,
// and those of the receivers of its modules.
func (p *plan) groupsOf(d *declaration) []string {
	var groups []string
	if d.kind == KindQueue {
		groups = append(groups, d.config.groups()...)
	}
	add := func(all []*receiver) {
		for _, r := range all {
			if r.decl.address() == d.address() {
				groups = append(groups, r.group())
			}
		}
	}
	add(p.receivers)
	for _, u := range p.inactive {
		add(u.receivers)
	}
	return groups
}

// namedGroups returns the modules that receive from a handle in a group of their own name.
func (p *plan) namedGroups(d *declaration) (modules []string) {
	for _, r := range p.receivers {
		if r.decl.address() == d.address() && r.namedAfterModule() {
			modules = append(modules, r.unit.name)
		}
	}
	return modules
}

// dependencies returns what a unit needs of others: the providers of the services and
// resources that it uses.
func (p *plan) dependencies(u *unit) []provider {
	ids := u.order
	for _, n := range u.needed {
		ids = append(ids[:len(ids):len(ids)], n.decl.identity())
	}
	var others []provider
	for _, id := range ids {
		if other, ok := p.providers[id]; ok && other.unit != u {
			others = append(others, other)
		}
	}
	return others
}

// unit is one module, plugin or middleware in an instance.
type unit struct {
	name     string
	explicit bool // the name was given; it is not the package's
	plugin   bool
	roles    []string
	inactive bool // none of its roles is active
	version  string
	doc      string
	formerly string // the name that its groups keep, "" for its present one
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

	components []transport.Component

	usages   []HandleBound  // of handles, once it is bound
	messages []*declaration // the handles that carry messages, each once
}

// introduce sets the names, the version and the doc of a unit from its module.
func (u *unit) introduce() error {
	if u.name == "" {
		u.name, u.explicit = moduleName(u.module)
	}
	u.version = moduleVersion(u.module)
	if d, ok := u.module.(interface{ Doc() string }); ok {
		u.doc = d.Doc()
	}
	if f, ok := u.module.(interface{ Formerly() string }); ok {
		u.formerly = f.Formerly()
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

// addMiddleware adds a middleware, and as a unit if it is also a Module, or has a hook or a
// health check.
func (b *binder) addMiddleware(m Middleware) {
	if isNil(m) {
		b.report.add("", nil, "a middleware is nil: give Use a value")
		return
	}
	b.in.middleware = append(b.in.middleware, m)
	switch m.(type) {
	case Module, Starter, Stopper, HealthChecker:
		b.add(registration{module: m, plugin: true})
	}
}

func (b *binder) add(r registration) {
	module, roles := rolesOf(r.module)
	if isNil(module) {
		b.report.add(r.name, nil, "a module is nil: give Add a value")
		return
	}
	u := &unit{name: r.name, explicit: true, plugin: r.plugin, module: module, roles: roles, senders: make(map[identity]*sender), declared: make(map[*declaration]*sender)}
	u.inactive = !b.in.app.options.runs(roles)
	if err := guard(fmt.Sprintf("Name, Version, Doc or Formerly of %T", module), b.in.panicked, u.introduce); err != nil {
		b.report.add(r.name, nil, "%v", err)
		return
	}
	u.scope = &Scope{app: b.in.app, in: b.in, unit: u}
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
	switch {
	case u.formerly == u.name:
		b.report.add(u.name, nil, "its method Formerly returns its present name: return the name before, or remove the method")
	case u.formerly != "" && !isGroup(u.formerly):
		b.report.add(u.name, nil, "its method Formerly returns %q, which cannot be the name of a module: return the name that it had", u.formerly)
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

// summarize sets the usages of handles by a unit from what its Bind has declared.
func (u *unit) summarize() {
	note := func(d *declaration, usage Usage) {
		u.usages = append(u.usages, HandleBound{u.name, d, usage})
		if d.kind.hasMessages() && !slices.ContainsFunc(u.messages, d.same) {
			u.messages = append(u.messages, d)
		}
	}
	serves := func(d *declaration) { note(d, d.kind.usage(UsageProvides, UsageConsumes)) }
	uses := func(d *declaration) { note(d, d.kind.usage(UsageNeeds, UsageProduces)) }
	for _, r := range u.receivers {
		serves(r.decl)
	}
	for _, r := range u.provided {
		serves(r.decl)
	}
	for _, id := range u.order {
		uses(u.senders[id].decl)
	}
	for _, d := range u.reads {
		note(d, UsageReads)
	}
	for _, n := range u.needed {
		uses(n.decl)
	}
	for _, c := range u.sends {
		uses(c.decl)
	}
	for _, c := range u.receives {
		serves(c.decl)
	}
}

// record records a handle, and reports a declaration that contradicts an earlier one.
func (b *binder) record(u *unit, d *declaration) {
	if how := b.plan.contradiction(d); how != "" {
		b.report.add(u.name, d, "%s", how)
	}
	if _, ok := b.plan.handles[d.identity()]; ok {
		return
	}
	b.plan.handles[d.identity()] = d
	b.in.codecs.add(d.config.Codec)
	for _, id := range d.names() {
		if _, ok := b.plan.named[id]; !ok {
			b.plan.named[id] = d
		}
	}
}

// contradiction describes how a declaration contradicts another one of the same handle, or one
// that has its name or its address. It returns "" if there is none.
func (p *plan) contradiction(d *declaration) string {
	if first, ok := p.handles[d.identity()]; ok {
		return first.differs(d)
	}
	for _, id := range d.names() {
		if other, ok := p.named[id]; ok {
			return fmt.Sprintf("is declared %s at %s, and %s is declared %s at %s, so %s would be both: declare one of them, or give the newer one another name, without mono.Formerly",
				d.formerly(), d.place, other, other.formerly(), other.place, id)
		}
	}
	return ""
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
func receive[O interface{ apply(*config) error }](sc *Scope, d *declaration, noHandler bool, opts []O, memory func() *inbound) *receiver {
	sc.declare("Handle", d)
	r := &receiver{in: sc.in, unit: sc.unit, decl: d, config: d.config, place: callerOutside(), newInbound: memory}
	if noHandler {
		sc.problem(d, "is handled by nil at %s: want a function", r.place)
	}
	for _, o := range opts {
		if err := applyTo(&r.config, o); err != nil {
			sc.problem(d, "is handled at %s with a wrong option: %v", r.place, err)
		}
	}
	if r.namedAfterModule() {
		r.config.Group = sc.unit.formerly
	}
	sc.unit.receivers = append(sc.unit.receivers, r)
	return r
}

// sort sorts the units in the order of their start: depth first, in the order of
// registration, dependencies first. It reports each cycle once.
func (p *plan) sort(to *report) {
	s := &sorter{plan: p, report: to, state: make(map[*unit]int)}
	for _, u := range p.units {
		s.checkPlugin(u)
		s.visit(u)
	}
	p.units = s.sorted
}

type sorter struct {
	plan   *plan
	report *report
	state  map[*unit]int
	path   []provider // from the first unit in progress to the last
	sorted []*unit
}

const (
	unseen = iota
	inProgress
	done
)

// checkPlugin reports a plugin that needs a module, because modules start after
// plugins.
func (s *sorter) checkPlugin(u *unit) {
	for _, p := range s.plan.dependencies(u) {
		if u.plugin && !p.unit.plugin {
			s.report.add(u.name, p.decl, "this plugin needs what module %s provides, and plugins start before modules: add that module with Plugin", p.unit.name)
		}
	}
}

func (s *sorter) visit(u *unit) {
	if s.state[u] != unseen {
		return
	}
	s.state[u] = inProgress
	for _, p := range s.plan.dependencies(u) {
		s.path = append(s.path, p)
		if s.state[p.unit] == inProgress {
			s.cycle(p.unit)
		}
		s.visit(p.unit)
		s.path = s.path[:len(s.path)-1]
	}
	s.visitReceivers(u)
	s.state[u] = done
	s.sorted = append(s.sorted, u)
}

// visitReceivers visits the receivers of the channels that a unit sends to, which are
// preferred predecessors: they then stop later than it.
func (s *sorter) visitReceivers(u *unit) {
	path := s.path
	for _, c := range u.sends {
		for _, r := range c.receivers {
			if u.plugin == r.plugin && !s.needsOneInProgress(r, make(map[*unit]bool)) {
				s.path = nil
				s.visit(r)
			}
		}
	}
	s.path = path
}

// needsOneInProgress reports whether u cannot start before a unit that is being
// visited. Then a preference must not order u first.
func (s *sorter) needsOneInProgress(u *unit, seen map[*unit]bool) bool {
	if s.state[u] == inProgress {
		return true
	}
	if seen[u] || s.state[u] == done {
		return false
	}
	seen[u] = true
	return slices.ContainsFunc(s.plan.dependencies(u), func(p provider) bool { return s.needsOneInProgress(p.unit, seen) })
}

// cycle reports the cycle that the path closes.
func (s *sorter) cycle(to *unit) {
	start := 0
	for i, p := range s.path[:len(s.path)-1] {
		if p.unit == to {
			start = i + 1
		}
	}
	var b strings.Builder
	b.WriteString(to.name)
	for _, p := range s.path[start:] {
		fmt.Fprintf(&b, " → %s (%s)", p.unit.name, p.decl)
	}
	s.report.add("", nil, "modules need each other in a cycle, so none can start first: %s; replace one by an event, or move their common part into a separate module", b.String())
}
