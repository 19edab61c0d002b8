package mono

import (
	"context"
	"fmt"
	"sync"

	"gomono.dev/transport"
)

// The log of a handle stays if a later release does not store the handle, or does not have it any
// more (App.Removed). It goes on storing what is sent, for groups that have no members, and its
// backend acknowledges each message. A worker of a NonPersistent queue acknowledges each job, too,
// so such a queue must not have a log.

// leftover is such a log.
type leftover struct {
	decl     *declaration
	users    []string // modules
	name     string
	subjects []string
	removed  bool // with its handle
	dead     bool // it holds the dead letters of a removed handle

	info    transport.LogInfo
	members int
	err     error
}

// findLeftovers looks for the logs of handles that are not stored. It changes none of them.
func (in *instance) findLeftovers(ctx context.Context) {
	if !in.app.transport.Capabilities().Logs {
		return
	}
	all := in.mayBeLeft()
	var wait sync.WaitGroup
	free := make(chan struct{}, logsAtOnce)
	for _, l := range all {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			what := "looking for a log of " + l.decl.String()
			l.err = goexitError(what)
			l.err = guard(what, in.panicked, func() error { return l.find(ctx, in) })
		})
	}
	wait.Wait()
	for _, l := range all {
		l.report(in)
	}
}

// mayBeLeft lists possible logs: those of handles that are not stored now, and of removed ones.
func (in *instance) mayBeLeft() (all []*leftover) {
	known := make(map[identity]*leftover)
	for _, u := range in.plan.units {
		for _, d := range u.messages {
			if d.stored() || d.kind != KindQueue && d.kind != KindEvent {
				continue
			}
			l := known[d.identity()]
			if l == nil {
				l = &leftover{decl: d, name: in.names.log(d), subjects: in.names.stored(d)}
				known[d.identity()] = l
				all = append(all, l)
			}
			l.users = append(l.users, u.name)
		}
	}
	for _, d := range in.app.removed {
		dead := in.logs.deadLettersOf(d).config
		all = append(all, &leftover{decl: d, name: in.names.log(d), subjects: in.names.stored(d), removed: true},
			&leftover{decl: d, name: dead.Name, subjects: dead.Subjects, removed: true, dead: true})
	}
	return all
}

// config describes the log, which is opened only if it exists.
func (l *leftover) config() transport.LogConfig {
	return transport.LogConfig{Name: l.name, Subjects: l.subjects, Existing: true}
}

func (l *leftover) find(ctx context.Context, in *instance) error {
	log, err := in.app.transport.Log(ctx, l.config())
	if err == nil {
		l.info, err = log.Info(ctx)
	}
	if err != nil || !l.removed {
		return err
	}
	groups, err := log.Groups(ctx)
	l.count(groups)
	return err
}

// count counts the members that receive from the log.
func (l *leftover) count(groups []transport.GroupInfo) {
	for _, g := range groups {
		l.members += g.Members
	}
}

// waiting returns the number of messages in the log.
func (l *leftover) waiting() uint64 { return l.info.Messages + l.info.Delayed }

// report reports a log that was found. An account that may not look is not told.
func (l *leftover) report(in *instance) {
	switch code := CodeOf(l.err); {
	case code == NotFound, code == PermissionDenied:
	case l.err != nil:
		in.log.Warn("mono: not known whether an earlier release left a log", "handle", l.decl.name, "kind", l.decl.kind, "error", l.err)
	case l.removed && l.members > 0: // another release runs
	case l.decl.kind == KindQueue && !l.removed:
		for _, u := range l.users {
			in.report.add(u, l.decl, "is NonPersistent, but its log %s exists with %d jobs, and would accept further jobs without a worker: %s", l.name, l.waiting(), l.remedy())
		}
	default:
		text := "mono: the event is not Durable here, but its log exists and goes on storing every event: "
		if l.removed {
			text = "mono: the handle is removed here, but its log exists: "
		}
		in.log.Warn(text+l.remedy(), "handle", l.decl.name, "kind", l.decl.kind, "log", l.name, "messages", l.waiting())
		in.observe(LogUnused{Handle: l.decl, Log: l.name, Messages: l.waiting()})
	}
}

// remedy returns the advice for the log, which ends with its deletion.
func (l *leftover) remedy() string {
	first, last := "", ""
	if l.removed && !l.dead && l.waiting() > 0 {
		last = fmt.Sprintf("; if the handle has another name now, declare that with mono.Formerly(%q) instead", l.decl.Address())
	}
	switch {
	case l.removed && l.waiting() == 0:
	case l.dead:
		first = "let a release that has the handle replay or discard the dead letters, then "
	case l.removed && l.decl.kind == KindStream:
		first = "if its history is not needed and a release that has the stream has handled it, then "
	case l.removed:
		first = "let a release that has the handle finish what waits, then "
	case l.decl.kind == KindQueue:
		first = "let a release that stores the queue finish them, then "
	default:
		first = "let a release in which it is Durable finish them, then "
	}
	remove := "delete the log (on NATS: nats stream rm " + l.name + ")"
	if l.removed {
		remove = "when no process of a release with the handle runs, " + remove
	}
	return first + remove + last
}
