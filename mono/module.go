package mono

import (
	"context"
	"errors"
	"path"
	"reflect"
)

// Module is a part of a system that talks to the others through handles only.
// Whatever else it is, it says by implementing Starter, Stopper or Checker, and
// by the methods Name() string (the default is its package's last element),
// Version() string (a semantic version) and Doc() string (a sentence), the latter
// two for service discovery.
type Module interface {
	// Bind says which handles the module uses and serves. It only declares: no
	// I/O, no goroutines. It is called at each attempt to start the App, with a
	// Scope that is good for that attempt. A panic in it is an error.
	Bind(s *Scope) error
}

// Starter is a Module that does something when it starts.
type Starter interface {
	// Start is called once everything that the module needs is serving, before
	// the module itself receives anything. ctx is for the start alone.
	Start(ctx context.Context) error
}

// Stopper is a Module that does something when it stops.
type Stopper interface {
	// Stop is called after the last of the module's handlers has returned. What
	// the module needs still serves it, and calls from within the process still
	// reach it. It is called if and only if the module was started.
	Stop(ctx context.Context) error
}

// Checker is a Module, or a Resource's value, that knows how it is.
type HealthChecker interface {
	// Health returns nil, or what is wrong. ReportDetail adds to either. It may be
	// called concurrently with everything else.
	Health(ctx context.Context) error
}

// NewModule makes a Module of a function, for one too small to be a type.
func NewModule(name string, bind func(*Scope) error) Module {
	return &funcModule{name, bind}
}

type funcModule struct {
	name string
	bind func(*Scope) error
}

func (m *funcModule) Name() string { return m.name }

func (m *funcModule) Bind(s *Scope) error {
	if m.bind == nil {
		return errors.New("NewModule got nil: give it a function")
	}
	return m.bind(s)
}

// moduleName returns what a module or a middleware is called, and whether it said so
// itself.
func moduleName(m any) (name string, explicit bool) {
	if n, ok := m.(interface{ Name() string }); ok {
		return n.Name(), true
	}
	t := reflect.TypeOf(m)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return path.Base(t.PkgPath()), false
}

// moduleVersion returns the version of a module, 0.0.0 unless it says one.
func moduleVersion(m any) string {
	if v, ok := m.(interface{ Version() string }); ok {
		return v.Version()
	}
	return "0.0.0"
}

// isNil reports whether a module is nil, or a nil pointer or function in an
// interface.
func isNil(m any) bool {
	if m == nil {
		return true
	}
	v := reflect.ValueOf(m)
	return (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil()
}
