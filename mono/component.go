package mono

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

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

// component is a component of a plan, and the modules that use it.
type component struct {
	transport.Component // of its first user
	users               []string
}

func componentIdentity(c *transport.Component) identity { return identity{Kind(c.Kind), c.Name} }

// Environment returns what a component of the App gets when it is opened, except for Shared.
// It is for a host beside the App, such as the harness of package testkit.
func (a *App) Environment() transport.Environment {
	return transport.Environment{
		Transport: a.transport, Codec: a.options.codec, Logger: a.log,
		Namespace: string(a.options.namespace), Generation: a.options.generation,
	}
}

// environment returns what components get of the App.
func (in *instance) environment() transport.Environment {
	e := in.app.Environment()
	e.Logger, e.Shared = in.log, &in.shared
	return e
}

// checkComponents reports what is wrong with the components of the App and of all modules, and
// records those that this process opens.
func (b *binder) checkComponents() {
	for i := range b.in.app.components {
		b.plan.use("", &b.in.app.components[i])
		b.checkComponent("", &b.in.app.components[i])
	}
	for _, u := range b.plan.units {
		for i := range u.components {
			b.plan.use(u.name, &u.components[i])
			b.checkComponent(u.name, &u.components[i])
		}
	}
	for _, u := range b.plan.inactive {
		for i := range u.components {
			b.checkComponent(u.name, &u.components[i])
		}
	}
}

// use records that a module uses a component, "" for the App.
func (p *plan) use(module string, c *transport.Component) {
	id := componentIdentity(c)
	known, ok := p.components[id]
	if !ok {
		known = &component{Component: *c}
		p.components[id] = known
	}
	if module != "" && !slices.Contains(known.users, module) {
		known.users = append(known.users, module)
	}
}

func (b *binder) checkComponent(module string, c *transport.Component) {
	if c.Check == nil {
		return
	}
	what := componentIdentity(c).String()
	err := guard("the check of "+what, b.in.panicked, func() error { return c.Check(b.in.environment()) })
	if e, ok := errors.AsType[*Error](err); ok {
		b.report.addObject(module, what, "%s", e.Message)
	} else if err != nil {
		b.report.addObject(module, what, "%v", err)
	}
}

// openComponents opens components of a module, "" for those of the App, one by one. Each that
// opened is recorded, to be closed in reverse.
func (in *instance) openComponents(ctx context.Context, module string, all []transport.Component) error {
	for i := range all {
		c := &all[i]
		began, what := time.Now(), componentIdentity(c).String()
		closed := func(ctx context.Context) error { return c.Close(ctx) }
		open := func(ctx context.Context) error { return c.Open(ctx, in.environment()) }
		if err := hook(ctx, "opening "+what, in.panicked, open, func() { _ = closed(context.Background()) }); err != nil {
			return err
		}
		in.started.push(what, func(s *stopping) error {
			began := time.Now()
			err := hook(s.soft, "closing "+what, in.panicked, closed, nil)
			in.observe(ComponentClosed{Module: module, Kind: c.Kind, Name: c.Name, Duration: time.Since(began), Err: err})
			return err
		})
		in.observe(ComponentOpened{Module: module, Kind: c.Kind, Name: c.Name, Duration: time.Since(began)})
	}
	return nil
}

// ComponentInfo describes a component, such as a bucket. UsedBy names modules.
type ComponentInfo struct {
	Kind     string            `json:"kind"`
	Name     string            `json:"name"`
	StoredAs string            `json:"storedAs,omitempty"` // the name of what it stores
	Type     string            `json:"type,omitempty"`     // the Go type of its values
	Declared string            `json:"declared"`           // file:line
	Settings map[string]string `json:"settings,omitempty"`
	UsedBy   []string          `json:"usedBy,omitempty"`
}

func (c *component) describe(names namespace) ComponentInfo {
	is := ComponentInfo{Kind: c.Kind, Name: c.Name, Type: c.Type, Declared: c.Declared, Settings: maps.Clone(c.Settings), UsedBy: slices.Clone(c.users)}
	if c.StoredAs != nil {
		is.StoredAs = c.StoredAs(string(names))
	}
	return is
}
