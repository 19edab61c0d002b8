package mono

import (
	"context"

	"gomono.dev/transport"
)

// Attach implements [transport.Host], for components such as the buckets of package kv. A
// component is opened before the module's Start and closed after its Stop.
func (s *Scope) Attach(c transport.Component) {
	if s.unit == nil || s.unit.binder == nil {
		panic("mono: " + c.Kind + " " + c.Name + " is opened outside Bind, at " + c.Place + ": open it in the Bind of a module, or on the App before its Start")
	}
	s.unit.components = append(s.unit.components, c)
}

// Attach implements [transport.Host], for code outside modules. A component is opened before
// all modules start, and closed after all have stopped. It panics after Start.
func (a *App) Attach(c transport.Component) {
	a.register("Attach", func() { a.components = append(a.components, c) })
}

// Environment returns what a component of the App gets when it is opened, except for Shared.
// It is for a host beside the App, such as the harness of package testkit.
func (a *App) Environment() transport.Environment {
	return transport.Environment{
		Transport: a.transport, Codec: a.options.codec, Logger: a.log,
		Namespace: string(a.options.namespace), Generation: a.options.generation,
	}
}

// openComponents opens components one by one. Each that opened is recorded, to be closed in
// reverse.
func (in *instance) openComponents(ctx context.Context, all []transport.Component) error {
	environment := in.app.Environment()
	environment.Logger, environment.Shared = in.log, &in.shared
	for _, c := range all {
		what := c.Kind + " " + c.Name
		closed := func(ctx context.Context) error { return c.Close(ctx) }
		open := func(ctx context.Context) error { return c.Open(ctx, environment) }
		if err := hook(ctx, "opening "+what, in.panicked, open, func() { _ = closed(context.Background()) }); err != nil {
			return err
		}
		in.started.push(what, func(s *stopping) error { return hook(s.soft, "closing "+what, in.panicked, closed, nil) })
	}
	return nil
}
