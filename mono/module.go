package mono

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"reflect"
	"time"

	"gomono.dev/transport"
)

// Module is a part of a system that communicates with other modules through handles
// only. It may also implement Starter, Stopper and HealthChecker. It may have the
// methods Name() string (the default is the last element of its package's path),
// Version() string (a semantic version) and Doc() string (a sentence), the latter two
// for service discovery.
//
// A module that is renamed has the method Formerly() string, which returns the name that it
// had first. Its receivers without mono.Group keep the groups of that name, and so their
// positions: all releases are members of the same groups. The new name is used everywhere
// else.
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

// Binder gives a handle its App. It is the Scope of a module, an *App for code outside
// modules, or the harness of a test.
type Binder interface {
	Scope() *Scope
}

// Scope is the place of a module in a running App. Bind receives it, and the module may
// keep it for later sends.
//
// A module declares in Bind what it uses, by asking for a bound sender (Client,
// Publisher, …), by Handle, or by Use. A send through a handle that was not declared
// there fails with FailedPrecondition.
//
// A Scope is valid for one attempt to run the App; after that every send through it
// fails with Unavailable. It may be used concurrently once Bind has returned. Health,
// HealthChecks, Describe and Instance may be called at any time: in Bind, in the hooks, during the stop
// and after it.
type Scope struct {
	app  *App      // nil: in the zero value
	in   *instance // nil: the App has not been started
	unit *unit     // nil: outside any module
}

// Scope returns s, so that a Scope is a Binder.
func (s *Scope) Scope() *Scope { return s }

// Module returns the name of the module, "" outside any.
func (s *Scope) Module() string {
	if s.unit == nil {
		return ""
	}
	return s.unit.name
}

// Logger returns the App's logger, with the module's name.
func (s *Scope) Logger() *slog.Logger {
	if s.in == nil {
		return slog.Default()
	}
	if s.unit == nil {
		return s.in.log
	}
	return s.in.log.With("module", s.unit.name)
}

// Instance returns the id of this attempt to run the App, the same for all its modules.
// It is random, so each process and each start has another one. It is "" before the App
// was started.
func (s *Scope) Instance() string {
	if s.in == nil {
		return ""
	}
	return s.in.id
}

// Health returns the health of the App, so that a module can serve it. See [App.Health].
// Before the App runs, which includes Bind and Start, and from the begin of its stop on,
// Health checks nothing: it returns the State, with Healthy false. A module must not call
// it in its own health check, which would wait for itself until HealthTimeout.
func (s *Scope) Health(ctx context.Context) Health {
	if s.app == nil {
		return newHealth(StateCreated)
	}
	return s.app.Health(ctx)
}

// Describe returns the topology of the App. See [App.Describe]. Its lists are empty in
// Bind, and complete from the Start of the first module on, also while the App stops and
// after that.
func (s *Scope) Describe() Topology {
	if s.app == nil {
		return Topology{State: StateCreated}
	}
	return s.app.Describe()
}

// Use declares that the module sends through these handles. It is for a module that
// keeps its Scope instead of bound senders, for example because it calls AppendAfter.
func (s *Scope) Use(handles ...Handle) {
	for _, h := range handles {
		s.declareSender("Use", h.declared())
	}
}

// sender returns the sender of a handle that the module has declared. Code outside
// modules needs no declaration.
func (s *Scope) sender(d *declaration) (*sender, error) {
	if s.in == nil {
		return nil, notDone(Unavailable, "%s: the App has not been started", d)
	}
	return s.in.senderOf(s.unit, d)
}

// bind returns the sender of a handle for a Scope in Bind. It returns nil for any other
// Binder, whose Scope must be looked up at each send.
func bind(b Binder, d *declaration) *sender {
	s, ok := b.(*Scope)
	if !ok || s.unit == nil {
		return nil
	}
	return s.declareSender("a sender", d)
}

// Raw returns the App's transport, for uses that handles do not cover: subjects with
// wildcards, foreign subjects, log administration. A module that subscribes there must
// drain its subscriptions in its Stop. The App closes the transport. Raw returns nil
// before the App was started.
func Raw(b Binder) transport.Transport {
	if s := b.Scope(); s.in != nil {
		return s.in.app.transport
	}
	return nil
}

// guard calls f and turns a panic into an error. report receives the panic's value.
// guard also calls the methods of f's error: if they panic, such as those of a nil
// pointer of an error type, they do it here and not in later code.
func guard(what string, report func(what string, value any), f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			report(what, v)
			err = panicError(what)
		}
	}()
	return tried(f())
}

// tried calls the methods of an error for its text and code, which may panic.
func tried(err error) error {
	if err != nil {
		_, _ = err.Error(), CodeOf(err)
	}
	return err
}

// goexitError returns the error of a function that did not return, because it ended its
// goroutine.
func goexitError(what string) *Error {
	return Errorf(Internal, "%s ended its goroutine (runtime.Goexit, or a test's FailNow): return an error instead", what)
}

func panicError(what string) error { return Errorf(Internal, "%s panicked", what) }

// hook calls f, which may ignore its context, and waits no longer than ctx allows. A
// call that does not return is named in the error and left running. If it succeeds
// later, late undoes it.
func hook(ctx context.Context, what string, report func(string, any), f func(context.Context) error, late func()) error {
	result := make(chan error)
	leave := make(chan struct{})
	go func() {
		var err error = goexitError(what)
		defer func() {
			select {
			case result <- err:
			case <-leave:
				if err == nil && late != nil {
					_ = guard(what+", late", report, func() error { late(); return nil })
				}
			}
		}()
		err = guard(what, report, func() error { return f(ctx) })
	}()
	select {
	case err := <-result:
		return wrapHook(what, err)
	case <-ctx.Done():
	}
	last := time.NewTimer(hookGrace)
	defer last.Stop()
	select {
	case err := <-result:
		return wrapHook(what, err)
	case <-last.C:
		close(leave)
		return transport.ContextError(ctx, OutcomeUnknown, "%s did not return in time", what)
	}
}

func wrapHook(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// hookGrace is how long a hook may take to return after its context has ended. It
// distinguishes a hook that respects its context from one that does not.
const hookGrace = 50 * time.Millisecond
