package audit

import (
	"context"
	"log/slog"

	"gomono.dev/mono"
)

// Observe implements [mono.Observer]. It records the states of the App, its configuration, what its
// modules use, start and stop, dead letters and their changes, and groups that are deleted. It does
// not wait, so it delays nothing, and what cannot be recorded is logged. The stop of the App itself
// comes after the log is closed.
func (t *Trail) Observe(o mono.Observation) {
	e, details := entryOf(o)
	if e.Event == "" || t.err != nil {
		return
	}
	if err := t.recordAsync(contextOf(o), e, details); !isStop(o) {
		t.missed(e.Event, err)
	}
}

// contextOf returns the context of who caused an observation, for Actor.
func contextOf(o mono.Observation) context.Context {
	switch o := o.(type) {
	case mono.DeadLetterChanged:
		return o.Context
	case mono.GroupDeleted:
		return o.Context
	}
	return context.Background()
}

// isStop reports what happens after the log is closed.
func isStop(o mono.Observation) bool {
	switch o.(type) {
	case mono.StateChanged, mono.ComponentClosed, mono.ModuleStopped:
		return true
	}
	return false
}

// entryOf returns the entry of an observation. Its event is empty if it is not recorded.
func entryOf(o mono.Observation) (Entry, []slog.Attr) {
	switch o := o.(type) {
	case mono.StateChanged:
		return Entry{Event: "app.state"}, []slog.Attr{slog.String("from", string(o.From)), slog.String("to", string(o.To))}
	case mono.Configured:
		e := Entry{Event: "app.configured", Module: o.Module}
		if o.Handle != nil {
			e.Handle = nameOf(o.Handle)
		}
		details := []slog.Attr{slog.String(o.Name, o.Value)} // by name, so that Redact knows it
		if o.Component != "" {
			details = append(details, slog.String("component", o.Component))
		}
		return e, details
	case mono.HandleBound:
		return Entry{Event: "handle.bound", Module: o.Module, Handle: nameOf(o.Handle)}, []slog.Attr{slog.String("usage", string(o.Usage))}
	case mono.ModuleStarted:
		return Entry{Event: "module.started", Module: o.Module}, []slog.Attr{slog.Duration("duration", o.Duration)}
	case mono.ModuleStopped:
		return Entry{Event: "module.stopped", Module: o.Module}, withError(o.Err, slog.Duration("duration", o.Duration))
	case mono.ComponentOpened:
		return Entry{Event: "component.opened", Module: o.Module}, []slog.Attr{slog.String("component", o.Kind+" "+o.Name)}
	case mono.ComponentClosed:
		return Entry{Event: "component.closed", Module: o.Module}, withError(o.Err, slog.String("component", o.Kind+" "+o.Name))
	case mono.MessageDeadLettered:
		return Entry{Event: "message.dead-lettered", Module: o.Module, Handle: nameOf(o.Handle), Message: o.ID},
			withError(o.Err, slog.String("group", o.Group), slog.Int("attempts", o.Attempts), slog.String("reason", string(o.Reason)))
	case mono.DeadLetterChanged:
		return Entry{Event: "dead-letter." + string(o.Change), Module: o.Module, Handle: nameOf(o.Handle), Message: o.ID}, []slog.Attr{slog.String("group", o.Group)}
	case mono.GroupDeleted:
		return Entry{Event: "group.deleted", Module: o.Module, Handle: nameOf(o.Handle)}, []slog.Attr{slog.String("group", o.Group)}
	case mono.GroupLost:
		return Entry{Event: "group.lost", Module: o.Module, Handle: nameOf(o.Handle)}, withError(o.Err, slog.String("group", o.Group))
	}
	return Entry{}, nil
}

func withError(err error, details ...slog.Attr) []slog.Attr {
	if err != nil {
		details = append(details, slog.String("error", err.Error()))
	}
	return details
}
