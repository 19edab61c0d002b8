package mono

import (
	"context"
	"slices"

	"gomono.dev/transport"
)

// Retire deletes a durable group of a queue, a stream or a durable event, and its
// position, for good. What only it was owed is removed from a queue. The start of
// an App names groups that nobody has declared any more; nothing is deleted by
// itself. Another running process that declares a group of a queue or a durable event
// recreates it, without its messages: stop such processes first.
//
// Errors: NotFound for a group that is not there; FailedPrecondition for one that
// the App receives with now, and for a handle that is not stored.
func Retire(ctx context.Context, b Binder, h Handle, group string) error {
	in, d := b.Scope().in, h.declared()
	if in == nil {
		return notDone(Unavailable, "%s: the App has not been started", d)
	}
	if !d.stored() {
		return notDone(FailedPrecondition, "%s has no durable groups: it is not stored", d)
	}
	if slices.Contains(in.groupsHere(d), group) {
		return notDone(FailedPrecondition, "%s: the group %q is declared here: remove it from the handle and its modules first", d, group)
	}
	if !in.outgoing.enter() {
		return notDone(Unavailable, "%s: the App has stopped", d)
	}
	defer in.outgoing.leave()
	log, err := in.storageOf(d).log(ctx)
	if err == nil {
		err = log.DeleteGroup(ctx, group)
	}
	if err != nil {
		return about(d.String(), err)
	}
	return nil
}

// groupsHere lists the groups of a handle that the App knows: those that the
// handle declares, and those of its modules.
func (in *instance) groupsHere(d *declaration) []string {
	var groups []string
	if d.kind == KindQueue {
		groups = append(groups, d.config.groups()...)
	}
	for _, u := range in.units {
		for _, r := range u.receivers {
			if r.decl.identity() == d.identity() {
				groups = append(groups, r.group())
			}
		}
	}
	return groups
}

// unusedGroups lists groups without a declaration here and without a member. Their
// messages are kept until somebody deletes them.
func (in *instance) unusedGroups(ctx context.Context, d *declaration, log transport.Log) ([]transport.GroupInfo, error) {
	groups, err := log.Groups(ctx)
	here := in.groupsHere(d)
	return slices.DeleteFunc(groups, func(g transport.GroupInfo) bool {
		return g.Members > 0 || slices.Contains(here, g.Config.Name)
	}), err
}

// nameUnused reports undeclared groups.
func (o *opening) nameUnused() {
	if o.unlisted != nil {
		o.in.log.Warn("mono: groups not listed", "handle", o.decl.name, "error", o.unlisted)
	}
	for _, g := range o.unused {
		o.in.log.Warn("mono: nobody declares this group any more; it keeps what it is owed until mono.Retire removes it",
			"handle", o.decl.name, "kind", o.decl.kind, "group", g.Config.Name, "undelivered", g.Undelivered)
		o.in.observe(GroupAbandoned{Handle: o.decl, Group: g.Config.Name})
	}
}
