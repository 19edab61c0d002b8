package mono

import (
	"context"
	"io"
	"reflect"
)

// Resource is a Go value that one module opens and others need, such as a *sql.DB. It
// never leaves the process. It orders the start like a service: a module that needs it
// starts after it is open.
//
// A value with a method Close() error is closed when its provider has stopped, after
// all modules that need it. A value with Health(ctx) error, PingContext(ctx) error or
// Ping(ctx) error is part of the App's health.
type Resource[T any] struct{ handle }

// NewResource declares a resource. It panics on a bad name.
func NewResource[T any](name string) Resource[T] {
	return Resource[T]{handle{declare(KindResource, name, []option(nil), reflect.TypeFor[T]())}}
}

// Provide makes the module the provider of the resource. open is called when the module
// starts, before its Start. Its result, with a nil error, is the value.
func (r Resource[T]) Provide(s *Scope, open func(context.Context) (T, error)) {
	s.declare("Provide", r.decl)
	if open == nil {
		s.problem(r.decl, "is provided by nil at %s: want a function", callerOutside())
		return
	}
	s.unit.provided = append(s.unit.provided, &resource{
		decl: r.decl, place: callerOutside(),
		provide: func(ctx context.Context) (any, error) { return open(ctx) },
	})
}

// Need stores the resource's value in *target before the module's Start.
func (r Resource[T]) Need(s *Scope, target *T) {
	s.declare("Need", r.decl)
	if target == nil {
		s.problem(r.decl, "is needed in a nil pointer at %s: want the address of a field", callerOutside())
		return
	}
	s.unit.needed = append(s.unit.needed, need{
		decl: r.decl,
		fill: func(value any) { *target, _ = value.(T) },
	})
}

// resource is a provided resource in an instance.
type resource struct {
	decl    *declaration
	place   string
	provide func(context.Context) (any, error)
	value   any
}

// need is one target of a resource.
type need struct {
	decl *declaration
	fill func(value any)
}

// openResources opens the resources that the unit provides and stores those that it
// needs. A unit may need a resource that it provides.
func (in *instance) openResources(ctx context.Context, u *unit) error {
	for _, r := range u.provided {
		value, err := r.open(ctx, in.panicked)
		if err != nil {
			return err
		}
		r.value = value
		in.started.push(r.decl.String(), func(s *stopping) error {
			return hook(s.soft, "closing "+r.decl.String(), in.panicked, func(context.Context) error { return closeValue(value) }, nil)
		})
	}
	for _, n := range u.needed {
		n.fill(in.plan.providers[n.decl.identity()].resource.value)
	}
	return nil
}

// open opens one resource. If it opens after the start gave up on it, it is closed,
// since no module uses it.
func (r *resource) open(ctx context.Context, panicked func(string, any)) (any, error) {
	opened := make(chan any, 1)
	err := hook(ctx, "opening "+r.decl.String(), panicked, func(ctx context.Context) error {
		value, err := r.provide(ctx)
		opened <- value
		return err
	}, func() { _ = closeValue(<-opened) })
	if err != nil {
		return nil, err
	}
	return <-opened, nil
}

func closeValue(value any) error {
	if c, ok := value.(io.Closer); ok && !isNil(value) {
		return c.Close()
	}
	return nil
}

// healthCheck returns the resource's health check, or nil.
func (r *resource) healthCheck() func(context.Context) error {
	switch v := r.value.(type) {
	case HealthChecker:
		return v.Health
	case interface{ PingContext(context.Context) error }:
		return v.PingContext
	case interface{ Ping(context.Context) error }:
		return v.Ping
	}
	return nil
}
