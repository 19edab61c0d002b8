package mono

import (
	"context"
	"sync"

	"gomono.dev/transport"
)

// The log of a handle that an earlier release stored stays when a later one stores nothing. It goes
// on storing what is sent, for groups that have no members any more, and its backend acknowledges
// each message. A worker that accepts a job does the same, so a NonPersistent queue must not have
// such a log.

// leftover is such a log.
type leftover struct {
	decl  *declaration
	users []string // modules
	name  string

	info transport.LogInfo
	err  error
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

// mayBeLeft lists the handles that are not stored now, and may have been.
func (in *instance) mayBeLeft() (all []*leftover) {
	known := make(map[identity]*leftover)
	for _, u := range in.plan.units {
		for _, d := range u.messages {
			if d.stored() || d.kind != KindQueue && d.kind != KindEvent {
				continue
			}
			l := known[d.identity()]
			if l == nil {
				l = &leftover{decl: d, name: in.names.log(d)}
				known[d.identity()] = l
				all = append(all, l)
			}
			l.users = append(l.users, u.name)
		}
	}
	return all
}

// config describes the log, which is opened only if it exists.
func (l *leftover) config(in *instance) transport.LogConfig {
	return transport.LogConfig{Name: l.name, Subjects: in.names.stored(l.decl), Existing: true}
}

func (l *leftover) find(ctx context.Context, in *instance) error {
	log, err := in.app.transport.Log(ctx, l.config(in))
	if err == nil {
		l.info, err = log.Info(ctx)
	}
	return err
}

// report reports a log that was found. An account that may not look is not told.
func (l *leftover) report(in *instance) {
	waiting := l.info.Messages + l.info.Delayed
	switch code := CodeOf(l.err); {
	case code == NotFound, code == PermissionDenied:
	case l.err != nil:
		in.log.Warn("mono: not known whether an earlier release left a log", "handle", l.decl.name, "kind", l.decl.kind, "error", l.err)
	case l.decl.kind == KindQueue:
		for _, u := range l.users {
			in.report.add(u, l.decl, "is NonPersistent, but its log %s exists with %d jobs, and would accept further jobs without a worker: let a release that stores the queue finish them, then delete the log (on NATS: nats stream rm %s)", l.name, waiting, l.name)
		}
	default:
		in.log.Warn("mono: the event is not Durable here, but its log exists and goes on storing every event: let a release in which it is Durable finish them, then delete the log (on NATS: nats stream rm)",
			"handle", l.decl.name, "log", l.name, "messages", waiting)
		in.observe(LogUnused{Handle: l.decl, Log: l.name, Messages: waiting})
	}
}
