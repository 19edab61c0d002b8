package mono

import (
	"context"
	"errors"
	"path"
	"reflect"
)

// Module is a part of a system that communicates with other modules through handles
// only. It may also implement Starter, Stopper and HealthChecker. It may have the
// methods Name() string (the default is the last element of its package's path),
// Version() string (a semantic version) and Doc() string (a sentence), the latter two
// for service discovery.
type Module interface {
	// Bind declares which handles the module uses and serves. It must not do I/O or
	// start goroutines. It is called at each attempt to start the App, with a Scope for
	// that attempt. A panic in it is an error.
	Bind(s *Scope) error
}

// Starter is a Module with a start hook.
type Starter interface {
	// Start is called once everything that the module needs is serving, before the
	// module receives anything. ctx is valid during the start only.
	Start(ctx context.Context) error
}

// Stopper is a Module with a stop hook.
type Stopper interface {
	// Stop is called after the last of the module's handlers has returned. The module's
	// dependencies still serve it, and local calls still reach it. Stop is called if
	// and only if the module was started.
	Stop(ctx context.Context) error
}

// HealthChecker is a Module, or the value of a Resource, with a health check.
type HealthChecker interface {
	// Health returns nil if the module is healthy, otherwise the reason. ReportDetail
	// adds details in both cases. Health may be called concurrently with every other
	// method.
	Health(ctx context.Context) error
}

// NewModule returns a Module with a Bind function, for one too small for a type.
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
		return errors.New("NewModule: want a bind function, got nil")
	}
	return m.bind(s)
}

// moduleName returns the name of a module or a middleware, and whether its Name method
// returned it.
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

// moduleVersion returns the version of a module, 0.0.0 if it has none.
func moduleVersion(m any) string {
	if v, ok := m.(interface{ Version() string }); ok {
		return v.Version()
	}
	return "0.0.0"
}

// isNil reports whether a module is nil, or a nil pointer or function in an interface.
func isNil(m any) bool {
	if m == nil {
		return true
	}
	v := reflect.ValueOf(m)
	return (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil()
}
