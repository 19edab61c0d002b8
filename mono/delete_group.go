package mono

import (
	"context"
	"slices"

	"gomono.dev/transport"
)

// DeleteGroup permanently deletes a durable group of a queue, a stream or a durable
// event, and its position. The messages that only this group has not handled yet are
// removed from a queue.
//
// The start of an App reports groups that are not declared any more; it deletes none.
// Another running process that declares a group of a queue or a durable event recreates
// it, without its messages: stop such processes first.
//
// The error is NotFound if the group does not exist. It is FailedPrecondition if the
// App declares the group or receives with it, or if the handle is not stored.
func DeleteGroup(ctx context.Context, b Binder, h Handle, group string) error {
	in, d := b.Scope().in, h.declared()
	if in == nil {
		return notDone(Unavailable, "%s: the App has not been started", d)
	}
	if !d.stored() {
		return notDone(FailedPrecondition, "%s has no durable groups: it is not stored", d)
	}
	if slices.Contains(in.declaredGroups(d), group) {
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

// declaredGroups returns the groups of a handle that the App declares: those of the
// handle, and those of the receivers of its modules.
func (in *instance) declaredGroups(d *declaration) []string {
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

// unusedGroups returns the groups that are not declared here and have no member. Their
// messages are kept until the groups are deleted.
func (in *instance) unusedGroups(ctx context.Context, d *declaration, log transport.Log) ([]transport.GroupInfo, error) {
	groups, err := log.Groups(ctx)
	here := in.declaredGroups(d)
	return slices.DeleteFunc(groups, func(g transport.GroupInfo) bool {
		return g.Members > 0 || slices.Contains(here, g.Config.Name)
	}), err
}

// reportUnused reports undeclared groups.
func (o *opening) reportUnused() {
	if o.unlisted != nil {
		o.in.log.Warn("mono: groups not listed", "handle", o.decl.name, "error", o.unlisted)
	}
	for _, g := range o.unused {
		o.in.log.Warn("mono: group not declared any more; it keeps its messages until mono.DeleteGroup removes it",
			"handle", o.decl.name, "kind", o.decl.kind, "group", g.Config.Name, "undelivered", g.Undelivered)
		o.in.observe(GroupUnused{Handle: o.decl, Group: g.Config.Name})
	}
}
