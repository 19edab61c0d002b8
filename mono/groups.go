package mono

import (
	"context"
	"slices"
	"time"

	"gomono.dev/transport"
)

// DeleteGroup permanently deletes a durable group of a queue, a stream or a durable
// event, and its position. The messages that only this group has not handled yet are
// removed from a queue.
//
// The start of an App reports groups that it does not declare and that have no member;
// it deletes none. Another running process that declares a group of a queue or a durable
// event recreates it, without its messages: stop such processes first.
//
// The error is NotFound if the group does not exist. It is FailedPrecondition if the
// App declares the group or receives with it, if a member is connected or has messages
// in hand, unless Force is given, or if the handle is not stored. A member that has died
// has its messages in hand until others get them.
func DeleteGroup(ctx context.Context, b Binder, h Handle, group string, opts ...DeleteGroupOption) error {
	in, d := b.Scope().in, h.declared()
	if in != nil && d.stored() && slices.Contains(in.plan.groupsOf(d), group) {
		return notDone(FailedPrecondition, "%s: the group %q is declared here: remove it from the handle and its modules first", d, group)
	}
	return in.withGroups(ctx, d, func(log transport.Log) error {
		if !slices.Contains(opts, Force()) {
			if err := checkUnused(ctx, log, group); err != nil {
				return err
			}
		}
		if err := log.DeleteGroup(ctx, group); err != nil {
			return err
		}
		in.observe(GroupDeleted{Context: ctx, Module: b.Scope().Module(), Handle: d, Group: group})
		return nil
	})
}

// PauseGroup stops a group of a queue, a stream or a durable event until a time, in all
// processes. Handlers finish what they have, and what their processes have fetched in
// advance. Messages are stored meanwhile, and senders notice nothing. The pause is kept by
// the server: it outlives the processes, and ends by the server's clock, or with
// [ResumeGroup].
//
// The error is NotFound if the group does not exist, FailedPrecondition if the handle is
// not stored, and Unimplemented on a server that cannot pause (nats-server before 2.11).
func PauseGroup(ctx context.Context, b Binder, h Handle, group string, until time.Time) error {
	d := h.declared()
	if !until.After(time.Now()) {
		return notDone(InvalidArgument, "%s: a pause of group %q until %v: want a time in the future, or ResumeGroup", d, group, until)
	}
	return b.Scope().in.withGroups(ctx, d, func(log transport.Log) error { return log.PauseGroup(ctx, group, until) })
}

// ResumeGroup ends the pause of a group. A group that is not paused stays as it is.
func ResumeGroup(ctx context.Context, b Binder, h Handle, group string) error {
	return b.Scope().in.withGroups(ctx, h.declared(), func(log transport.Log) error { return log.PauseGroup(ctx, group, time.Time{}) })
}

// withGroups calls f with the log of a handle that has groups.
func (in *instance) withGroups(ctx context.Context, d *declaration, f func(transport.Log) error) error {
	switch {
	case in == nil:
		return notDone(Unavailable, "%s: the App has not been started", d)
	case !d.stored():
		return notDone(FailedPrecondition, "%s has no durable groups: it is not stored", d)
	case !in.outgoing.enter():
		return notDone(Unavailable, "%s: the App has stopped", d)
	}
	defer in.outgoing.leave()
	log, err := in.logs.of(d).log(ctx)
	if err == nil {
		err = f(log)
	}
	if err != nil {
		return about(d.String(), err)
	}
	return nil
}

// DeleteGroupOption is an option of DeleteGroup: [Force].
type DeleteGroupOption struct{ force bool }

// Force deletes a group also if it has members.
func Force() DeleteGroupOption { return DeleteGroupOption{true} }

// A member that works asks for messages now and then, so one look may miss it.
const (
	memberLooks = 5
	memberWait  = 100 * time.Millisecond
)

// checkUnused returns an error if a group has a member.
func checkUnused(ctx context.Context, log transport.Log, group string) error {
	for look := 0; ; {
		if err := checkUnusedNow(ctx, log, group); err != nil {
			return err
		}
		if look++; look == memberLooks {
			return nil
		}
		select {
		case <-time.After(memberWait):
		case <-ctx.Done():
			return transport.ContextError(ctx, OutcomeNotDone, "looking for members of the group")
		}
	}
}

func checkUnusedNow(ctx context.Context, log transport.Log, group string) error {
	groups, err := log.Groups(ctx)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.Config.Name == group && (g.Members > 0 || g.InFlight > 0) {
			return notDone(FailedPrecondition, "the group %q is in use: %d members wait for messages, and %d messages are held: stop the programs that receive with it, or use mono.Force", group, g.Members, g.InFlight)
		}
	}
	return nil
}
