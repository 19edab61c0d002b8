package mono

import (
	"fmt"
	"slices"

	"gomono.dev/transport"
)

// bindAll creates a unit for every module and binds it.
func (in *instance) bindAll() {
	if slices.ContainsFunc(in.app.observers, func(o Observer) bool { return isNil(o) }) {
		in.report.add("", nil, "an observer is nil: give Observe a value")
	}
	for _, m := range in.app.middleware {
		in.addMiddleware(m)
	}
	for _, r := range in.app.modules {
		switch {
		case !r.plugin:
		case r.name == "":
			in.report.add("", nil, "a plugin of type %T has no name: give Plugin one, or use Add", r.module)
		default:
			in.add(r)
		}
	}
	for _, r := range in.app.modules {
		if !r.plugin {
			in.add(r)
		}
	}
	for _, u := range in.units {
		in.bind(u)
	}
}

// addMiddleware adds a middleware that is also a Module, or has a hook or a health
// check.
func (in *instance) addMiddleware(m Middleware) {
	if isNil(m) {
		in.report.add("", nil, "a middleware is nil: give Use a value")
		return
	}
	for _, lives := range []bool{is[Module](m), is[Starter](m), is[Stopper](m), is[HealthChecker](m)} {
		if lives {
			in.add(registration{module: m, plugin: true})
			return
		}
	}
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

func (in *instance) add(r registration) {
	if isNil(r.module) {
		in.report.add(r.name, nil, "a module is nil: give Add a value")
		return
	}
	u := &unit{name: r.name, explicit: true, plugin: r.plugin, module: r.module, senders: make(map[identity]*sender), declared: make(map[*declaration]*sender)}
	if err := guard(fmt.Sprintf("Name, Version or Doc of %T", r.module), in.panicked, u.introduce); err != nil {
		in.report.add(r.name, nil, "%v", err)
		return
	}
	u.scope = &Scope{in: in, unit: u}
	in.checkModule(u)
	in.units = append(in.units, u)
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

func (in *instance) checkModule(u *unit) {
	if !isGroup(u.name) {
		in.report.add(u.name, nil, "%q cannot be the name of %T: want 1 to %d lower-case letters, digits and single hyphens; give it a method Name() string", u.name, u.module, maxName)
	}
	if err := transport.ValidateVersion(u.version); err != nil {
		in.report.add(u.name, nil, "its version: %v", err)
	}
	for _, other := range in.units {
		if other.name == u.name {
			in.report.add(u.name, nil, "two modules have this name, %T and %T: give one a method Name() string, or add it with Plugin under another name", other.module, u.module)
		}
	}
}

func (in *instance) bind(u *unit) {
	m, ok := u.module.(Module)
	if !ok {
		return
	}
	u.binding = true
	err := guard("Bind of module "+u.name, in.panicked, func() error { return m.Bind(u.scope) })
	u.binding = false
	if err != nil {
		in.report.add(u.name, nil, "Bind: %v", err)
	}
}

// check reports what is wrong with the bound modules.
func (in *instance) check() error {
	for _, u := range in.units {
		in.checkReceivers(u)
		in.checkProvided(u)
	}
	for _, u := range in.units {
		in.checkNeeds(u)
	}
	in.checkHandles()
	in.checkChannels()
	in.sortUnits()
	return in.report.err()
}

func (in *instance) checkReceivers(u *unit) {
	groups := make(map[string]string)
	for _, r := range u.receivers {
		own := r.config
		own.Lanes = 0 // they belong to the log: a receiver may give up the order that they keep
		if err := own.check(r.decl.kind); err != nil {
			in.report.add(u.name, r.decl, "is handled at %s with options that contradict each other: %v", r.place, err)
		}
		in.checkKeys(r)
		in.checkStored(r)
		if r.decl.kind == KindService {
			in.checkProvider(r)
			continue
		}
		if r.decl.stored() && !u.explicit && r.group() == u.name && r.config.Group == "" {
			in.report.add(u.name, r.decl, "has a durable group that is named after its package, and renaming the package would lose its position: give the module a method Name() string, or the receiver mono.Group")
		}
		if r.config.Broadcast {
			continue
		}
		key := r.decl.String() + " " + r.group()
		if place, taken := groups[key]; taken {
			in.report.add(u.name, r.decl, "is handled twice with the group %q, at %s and at %s: each message would reach only one; set another mono.Group for the other", r.group(), place, r.place)
		}
		groups[key] = r.place
	}
}

// checkStored reports options of a receiver that do not fit a stored handle.
func (in *instance) checkStored(r *receiver) {
	if r.config.MaxBuffered > 0 && r.decl.config.Durable {
		in.report.add(r.unit.name, r.decl, "is handled at %s with MaxBuffered, which needs an event that is not Durable: the store keeps the messages that wait", r.place)
	}
	if r.config.Broadcast && r.decl.config.Durable {
		return // config.check has reported it
	}
	if groups := r.decl.config.groups(); r.decl.kind == KindQueue && !slices.Contains(groups, r.group()) {
		in.report.add(r.unit.name, r.decl, "is handled at %s in the group %q, but declares the groups %q: choose one with mono.Group", r.place, r.group(), groups)
	}
}

func (in *instance) checkKeys(r *receiver) {
	if len(r.config.Keys) > 0 && r.decl.key == nil {
		in.report.add(r.unit.name, r.decl, "is handled at %s with mono.Keys, but has no key: declare it with KeyedBy", r.place)
	}
	for _, key := range r.config.Keys {
		if err := transport.ValidateToken(key); err != nil {
			in.report.add(r.unit.name, r.decl, "is handled at %s with an invalid key: %v", r.place, err)
		}
	}
}

func (in *instance) checkProvider(r *receiver) {
	id := r.decl.identity()
	if other, ok := in.providers[id]; ok {
		in.report.add(r.unit.name, r.decl, "is provided twice, by module %s at %s and by module %s at %s: remove one", other.unit.name, other.place, r.unit.name, r.place)
		return
	}
	in.providers[id] = r
}

func (in *instance) checkNeeds(u *unit) {
	for _, id := range u.order {
		if id.kind != KindService || in.providers[id] != nil {
			continue
		}
		remote, ok := in.app.remote[id]
		if !ok {
			in.report.add(u.name, u.senders[id].decl, "no module provides it: add the module that does, or declare app.Remote(…) if another process does")
			continue
		}
		in.record(u, remote)
	}
	in.checkNeededResources(u)
}

// checkHandles reports payload types that cannot be encoded and handles that the
// transport cannot serve.
func (in *instance) checkHandles() {
	capabilities := in.app.transport.Capabilities()
	for _, u := range in.units {
		for _, d := range u.messages() {
			in.checkTypes(u, d)
			if d.key == nil && (d.config.MaxPerKey > 0 || d.config.Lanes > 0) {
				in.report.add(u.name, d, "is declared with MaxPerKey or Lanes, but has no key: declare it with KeyedBy, or leave them out (MaxMessages keeps the last messages of all)")
			}
			if n := len(logName(in.prefix(d)) + deadLetterSuffix); d.stored() && n > transport.MaxLogName {
				in.report.add(u.name, d, "its log of dead letters would have a name of %d bytes, at most %d are allowed: shorten the name or the Namespace", n, transport.MaxLogName)
			}
			if d.stored() && !capabilities.Logs {
				in.report.add(u.name, d, "needs a transport that stores messages, and %s does not: on NATS, enable JetStream for the server and this account", capabilities.Name)
			}
			if d.kind == KindStream && d.config.lanes(d.key != nil) > 0 && capabilities.Logs && !capabilities.Lanes {
				in.report.add(u.name, d, "keeps order within a key, which %s does not support: declare it with mono.Unordered", capabilities.Name)
			}
		}
	}
}

// messages returns the handles of a unit that carry messages, without duplicates.
func (u *unit) messages() []*declaration {
	var all []*declaration
	seen := make(map[identity]bool)
	note := func(d *declaration) {
		if !seen[d.identity()] {
			seen[d.identity()] = true
			all = append(all, d)
		}
	}
	for _, id := range u.order {
		note(u.senders[id].decl)
	}
	for _, r := range u.receivers {
		note(r.decl)
	}
	for _, d := range u.reads {
		note(d)
	}
	return all
}

func (in *instance) checkTypes(u *unit, d *declaration) {
	k := in.codecOf(d)
	for _, t := range d.types {
		if err := checkType(k, t); err != nil {
			in.report.add(u.name, d, "%v", err)
		}
	}
}

// usages returns the usages of handles by a unit, in the order of declaration.
func (u *unit) usages() []HandleBound {
	var all []HandleBound
	note := func(d *declaration, usage Usage) { all = append(all, HandleBound{u.name, d, usage}) }
	for _, r := range u.receivers {
		if r.decl.kind == KindService {
			note(r.decl, UsageProvides)
		} else {
			note(r.decl, UsageConsumes)
		}
	}
	for _, r := range u.provided {
		note(r.decl, UsageProvides)
	}
	for _, id := range u.order {
		if id.kind == KindService {
			note(u.senders[id].decl, UsageNeeds)
		} else {
			note(u.senders[id].decl, UsageProduces)
		}
	}
	for _, d := range u.reads {
		note(d, UsageReads)
	}
	for _, n := range u.needed {
		note(n.decl, UsageNeeds)
	}
	for _, c := range u.sends {
		note(c.decl, UsageProduces)
	}
	for _, c := range u.receives {
		note(c.decl, UsageConsumes)
	}
	return all
}
