package mono

import (
	"fmt"
	"slices"
	"strings"

	"gomono.dev/transport"
)

// check reports what is wrong with the bound modules, and sorts them in the order of
// their start.
func (b *binder) check() error {
	groups := make(map[string]*receiver)
	for _, u := range b.plan.units {
		b.checkReceivers(u, groups)
		for _, r := range u.provided {
			b.provide(provider{u, r.decl, r.place, nil, r}, "remove one, or declare a resource for each")
		}
	}
	for _, u := range b.plan.units {
		b.checkNeeds(u)
	}
	b.checkRemoved()
	for _, u := range b.plan.units {
		for _, d := range u.messages {
			b.checkHandle(u, d)
		}
	}
	for _, u := range b.plan.units {
		for _, c := range u.sends {
			if len(c.receivers) == 0 {
				b.report.add(u.name, c.decl, "no module receives from it, so a send would block forever: add a module that does")
			}
		}
	}
	b.checkRoles()
	b.plan.sort(b.report)
	b.plan.divide()
	b.checkComponents()
	return b.report.err()
}

// checkReceivers checks the receivers of a unit. groups has those before it.
func (b *binder) checkReceivers(u *unit, groups map[string]*receiver) {
	for _, r := range u.receivers {
		own := r.config
		own.Partitions = 0 // they belong to the log: a receiver may give up the order that they keep
		if err := own.check(r.decl.kind); err != nil {
			b.report.add(u.name, r.decl, "is handled at %s with options that contradict each other: %v", r.place, err)
		}
		b.checkKeys(r)
		b.checkStored(r)
		b.askCheckers(r)
		if r.decl.kind == KindService {
			b.provide(provider{u, r.decl, r.place, r, nil}, "remove one")
			continue
		}
		if r.decl.stored() && !u.explicit && r.namedAfterModule() {
			b.report.add(u.name, r.decl, "has a durable group that is named after its package, and renaming the package would lose its position: give the module a method Name() string, or the receiver mono.Group")
		}
		if r.config.Broadcast {
			continue
		}
		key := r.decl.String() + " " + r.group()
		if r.decl.kind == KindQueue { // workers of several modules may share a group
			key += " " + u.name
		}
		if other, taken := groups[key]; taken {
			b.report.add(u.name, r.decl, "is handled twice with the group %q, by module %s at %s and by module %s at %s: each message would reach only one; set another mono.Group for the other", r.group(), other.unit.name, other.place, u.name, r.place)
		}
		groups[key] = r
		b.checkSharedKeys(r, groups)
	}
}

// checkStored reports options of a receiver that do not fit a stored handle.
func (b *binder) checkStored(r *receiver) {
	if r.config.MaxBuffered > 0 && r.decl.config.Durable {
		b.report.add(r.unit.name, r.decl, "is handled at %s with MaxBuffered, which needs an event that is not Durable: the store keeps the messages that wait", r.place)
	}
	if groups := r.decl.config.groups(); r.decl.kind == KindQueue && !slices.Contains(groups, r.group()) {
		b.report.add(r.unit.name, r.decl, "is handled at %s in the group %q, but declares the groups %q: choose one with mono.Group", r.place, r.group(), groups)
	}
}

func (b *binder) checkKeys(r *receiver) {
	if len(r.config.Keys) > 0 && r.decl.key == nil {
		b.report.add(r.unit.name, r.decl, "is handled at %s with mono.Keys, but has no key: declare it with KeyedBy", r.place)
	}
	for _, key := range r.config.Keys {
		if err := transport.ValidateToken(key); err != nil {
			b.report.add(r.unit.name, r.decl, "is handled at %s with an invalid key: %v", r.place, err)
		}
	}
}

// checkSharedKeys reports a worker whose group has other Keys in another module. groups has the
// first worker of each group of a queue, by the handle and the group.
func (b *binder) checkSharedKeys(r *receiver, groups map[string]*receiver) {
	if r.decl.kind != KindQueue {
		return
	}
	shared := r.decl.String() + " " + r.group() + " *"
	first, ok := groups[shared]
	switch {
	case !ok:
		groups[shared] = r
	case keysMetadata(&first.config)[metaKeys] != keysMetadata(&r.config)[metaKeys]:
		b.report.add(r.unit.name, r.decl, "is handled in the group %q with mono.Keys(%s) at %s and with mono.Keys(%s) by module %s at %s: each job would reach either of them; declare a group for each with mono.Groups", r.group(), quoted(r.config.Keys), r.place, quoted(first.config.Keys), first.unit.name, first.place)
	}
}

func quoted(keys []string) string {
	return strings.Trim(fmt.Sprintf("%q", keys), "[]")
}

// provide records the provider of a service or a resource. remedy is the advice about a
// second one.
func (b *binder) provide(p provider, remedy string) {
	id := p.decl.identity()
	if other, ok := b.plan.providers[id]; ok {
		b.report.add(p.unit.name, p.decl, "is provided twice, by module %s at %s and by module %s at %s: %s", other.unit.name, other.place, p.unit.name, p.place, remedy)
		return
	}
	b.plan.providers[id] = p
}

// checkNeeds reports the services and resources that a unit uses and nobody provides.
func (b *binder) checkNeeds(u *unit) {
	for _, id := range u.order {
		if _, ok := b.plan.providers[id]; ok || id.kind != KindService {
			continue
		}
		if remote, ok := b.in.app.remote[u.senders[id].decl.address()]; ok {
			b.record(u, remote)
			continue
		}
		b.report.add(u.name, u.senders[id].decl, "no module provides it: add the module that does, or declare app.Remote(…) if another process does")
	}
	for _, n := range u.needed {
		_, ok := b.plan.providers[n.decl.identity()]
		if !ok {
			b.report.add(u.name, n.decl, "no module provides it: add the module or plugin that does")
		}
	}
}

// checkRemoved reports removed handles that are in use.
func (b *binder) checkRemoved() {
	for _, d := range b.in.app.removed {
		for _, id := range d.names() {
			if other, ok := b.plan.named[id]; ok {
				b.report.add("", d, "is declared as removed, and a module uses %s, declared at %s, which has the same log: take it out of App.Removed, or out of the module", other, other.place)
				break
			}
		}
	}
}

// checkHandle reports payload types that cannot be encoded, and what the transport
// cannot do for the handle.
func (b *binder) checkHandle(u *unit, d *declaration) {
	for _, t := range d.types {
		if err := checkType(b.in.codecs.own(d), t); err != nil {
			b.report.add(u.name, d, "%v", err)
		}
	}
	can := b.in.app.transport.Capabilities()
	if d.key == nil && (d.config.MaxPerKey > 0 || d.config.Partitions > 0) {
		b.report.add(u.name, d, "is declared with MaxPerKey or Partitions, but has no key: declare it with KeyedBy, or leave them out (MaxMessages keeps the last messages of all)")
	}
	if !d.stored() {
		return
	}
	if n := len(b.in.names.deadLetterLog(d)); n > transport.MaxLogName {
		b.report.add(u.name, d, "its log of dead letters would have a name of %d bytes, at most %d are allowed: shorten the name or the Namespace", n, transport.MaxLogName)
	}
	switch {
	case !can.Logs:
		b.report.add(u.name, d, "needs a transport that stores messages, and %s does not: on NATS, enable JetStream for the server and this account", can.Name)
	case d.partitions() > 0 && !can.Partitions:
		b.report.add(u.name, d, "keeps order within a key, which %s does not support: declare it with mono.Unordered", can.Name)
	}
}

// StartError lists everything that is wrong with an App. Start returns it before
// anything was started.
type StartError struct {
	Problems []Problem
}

// Problem is one mistake in the construction of an App.
type Problem struct {
	Module string // "" if it is the App's
	Handle string // kind and name of a handle or a component, "" if it concerns none
	Text   string // the mistake, and how to correct it
}

// Error returns all problems, one per line.
func (e *StartError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "mono: the App cannot start, %d problem(s):", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  - " + p.String())
	}
	return b.String()
}

// Is makes a StartError match ErrFailedPrecondition.
func (e *StartError) Is(target error) bool { return target == ErrFailedPrecondition }

// ErrorCode returns FailedPrecondition, for CodeOf.
func (e *StartError) ErrorCode() Code { return FailedPrecondition }

// String returns the problem on one line.
func (p Problem) String() string {
	var parts []string
	if p.Module != "" {
		parts = append(parts, "module "+p.Module)
	}
	if p.Handle != "" {
		parts = append(parts, p.Handle)
	}
	return strings.Join(append(parts, p.Text), ": ")
}

// report collects problems in the order in which they are found, without duplicates.
type report struct {
	problems []Problem
}

func (r *report) add(module string, d *declaration, format string, args ...any) {
	object := ""
	if d != nil {
		object = d.String()
	}
	r.addObject(module, object, format, args...)
}

// addObject adds a problem of a handle or a component, by kind and name.
func (r *report) addObject(module, object, format string, args ...any) {
	p := Problem{Module: module, Handle: object, Text: fmt.Sprintf(format, args...)}
	if !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return &StartError{Problems: r.problems}
}
