package mono

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// App runs modules over one transport. Create one with New, add modules, then Start and
// Stop it, or Run it. All methods may be called concurrently. Methods that register
// something panic once the App has been started.
type App struct {
	transport  transport.Transport
	options    appOptions
	log        *slog.Logger
	middleware []Middleware
	observers  []Observer
	plugins    []registration
	modules    []registration
	remote     map[identity]*declaration // by address

	remoteGroups map[identity][]string // by address
	removed      []*declaration
	components   []transport.Component

	lifecycle token      // held by Start and Stop
	mu        sync.Mutex // guards state changes and registration
	state     State
	current   atomic.Pointer[instance]
	health    healthChecks
}

// registration is one added module.
type registration struct {
	name   string // "" unless given with Plugin
	plugin bool
	module any
}

// AppOption changes a default of an App.
type AppOption func(*appOptions)

type appOptions struct {
	logger        *slog.Logger
	namespace     namespace
	codec         codec.Codec
	drainDelay    time.Duration
	stopTimeout   time.Duration
	startTimeout  time.Duration
	healthTimeout time.Duration
	noLocalCalls  bool
	roles         []string
	rolesSet      bool
	generation    uint64
	generationSet bool
	propagated    []propagation

	refuseDifferences bool
}

// Logger sets the App's logger, slog.Default by default. Its handler determines level,
// format and output.
func Logger(l *slog.Logger) AppOption { return func(o *appOptions) { o.logger = l } }

// Namespace adds name in front of every subject, log and micro service, so that several
// systems can share one NATS. Like the name of a handle it has dot-separated tokens, at
// most 200 bytes. The tokens services, queues, events, streams, channels, resources,
// failures, buckets, kv and objects are reserved: New panics on a namespace that
// contains one.
func Namespace(name string) AppOption { return func(o *appOptions) { o.namespace = namespace(name) } }

// DefaultCodec sets the codec of handles without a Codec option, JSON by default. All
// processes that share handles must use the same one.
func DefaultCodec(k codec.Codec) AppOption { return func(o *appOptions) { o.codec = k } }

// StartTimeout bounds Start, 1 minute by default.
func StartTimeout(d time.Duration) AppOption { return func(o *appOptions) { o.startTimeout = d } }

// StopTimeout bounds Stop, 30 seconds by default. The context given to Stop applies if
// it ends earlier.
func StopTimeout(d time.Duration) AppOption { return func(o *appOptions) { o.stopTimeout = d } }

// DrainDelay sets the time that Stop waits before it stops anything, none by default. The App is
// [StateStopping] meanwhile and serves as before. Health reports it as unhealthy, so that a load
// balancer sends its requests elsewhere before they are refused. A few seconds are usual: the
// balancer's probes have to fail, and its decision has to reach all its parts.
//
// The delay is not part of StopTimeout. The end of the context given to Stop ends it.
func DrainDelay(d time.Duration) AppOption { return func(o *appOptions) { o.drainDelay = d } }

// HealthTimeout bounds each health check, 5 seconds by default.
func HealthTimeout(d time.Duration) AppOption { return func(o *appOptions) { o.healthTimeout = d } }

// NoLocalCalls sends calls over the transport even if their provider is in the same
// App.
func NoLocalCalls() AppOption { return func(o *appOptions) { o.noLocalCalls = true } }

// New returns an App over a transport. The App owns the transport and closes it when it
// stops. New panics on a nil transport or a bad option.
func New(t transport.Transport, opts ...AppOption) *App {
	o := appOptions{
		codec:         codec.JSON,
		startTimeout:  time.Minute,
		stopTimeout:   30 * time.Second,
		healthTimeout: 5 * time.Second,
		generation:    buildGeneration(),
	}
	for _, opt := range opts {
		if opt == nil {
			panic("mono.New: an option is nil: leave it out")
		}
		opt(&o)
	}
	if err := o.check(t); err != nil {
		panic("mono.New: " + err.Error())
	}
	if o.logger == nil {
		o.logger = slog.Default()
	}
	return &App{
		transport: t,
		options:   o,
		log:       o.logger,
		remote:    make(map[identity]*declaration),

		remoteGroups: make(map[identity][]string),
		lifecycle:    newToken(),
		state:        StateCreated,
	}
}

func (o *appOptions) check(t transport.Transport) error {
	switch {
	case isNil(t):
		return fmt.Errorf("the transport is nil: want one such as inproc.New(inproc.Options{})")
	case o.codec == nil:
		return fmt.Errorf("DefaultCodec: want a codec, got nil")
	case o.startTimeout <= 0 || o.stopTimeout <= 0 || o.healthTimeout <= 0:
		return fmt.Errorf("a timeout is not positive: StartTimeout(%v), StopTimeout(%v), HealthTimeout(%v)", o.startTimeout, o.stopTimeout, o.healthTimeout)
	case o.drainDelay < 0:
		return fmt.Errorf("DrainDelay(%v): want 0 or more", o.drainDelay)
	}
	return cmp.Or(o.namespace.check(), o.checkPropagated())
}

// Add adds modules and returns the App. A module starts after the modules that it
// needs. Modules that do not need each other start in the order in which they were
// added.
func (a *App) Add(modules ...Module) *App {
	for _, m := range modules {
		a.register("Add", func() { a.modules = append(a.modules, registration{module: m}) })
	}
	return a
}

// Plugin adds a module under the given name, so that one type can be added several
// times. Plugins start after middleware, unless middleware needs them, and before all
// other modules. They stop in reverse.
func (a *App) Plugin(name string, m Module) {
	a.register("Plugin", func() { a.plugins = append(a.plugins, registration{name: name, plugin: true, module: m}) })
}

// Use adds middleware. The first one added is the outermost.
func (a *App) Use(middleware ...Middleware) {
	a.register("Use", func() { a.middleware = append(a.middleware, middleware...) })
}

// Observe adds observers. Middleware that implements Observer need not be added.
func (a *App) Observe(observers ...Observer) {
	a.register("Observe", func() { a.observers = append(a.observers, observers...) })
}

// Remote declares that another process provides these services, so that the start does
// not report them as missing.
func (a *App) Remote(services ...Handle) {
	for _, s := range services {
		if s.Kind() != KindService {
			panic("mono: Remote(" + s.declared().String() + "): only a service can be remote")
		}
		a.register("Remote", func() { a.remote[s.declared().address()] = s.declared() })
	}
}

// RemoteGroups declares groups of a stored handle that belong to other programs, so that
// the start does not report them as unused. A group that a client in another language
// has made for itself is one.
func (a *App) RemoteGroups(h Handle, groups ...string) {
	d := h.declared()
	if !d.stored() {
		panic("mono: RemoteGroups(" + d.String() + "): the handle is not stored, so it has no durable groups")
	}
	a.register("RemoteGroups", func() { a.remoteGroups[d.address()] = append(a.remoteGroups[d.address()], groups...) })
}

// Removed declares stored handles that the program does not have any more. As long as a log of
// one of them exists, with messages or dead letters, and no program receives from it, the
// start reports it: a warning, and LogUnused for observers. A module that uses one of them is a
// mistake that Start reports. docs/evolution.md has the steps of the removal.
func (a *App) Removed(handles ...Handle) {
	for _, h := range handles {
		if !h.declared().stored() {
			panic("mono: Removed(" + h.declared().String() + "): the handle is not stored, so it leaves nothing: remove it from the program only")
		}
		a.register("Removed", func() { a.removed = append(a.removed, h.declared()) })
	}
}

func (a *App) register(what string, add func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != StateCreated {
		panic("mono: " + what + " after Start: build the App first, then start it")
	}
	add()
}

// Scope returns a Scope for code outside modules, such as a main function or a test. So
// an App is a Binder. The Scope is valid for the current run of the App; after a
// restart, Scope returns a new one.
func (a *App) Scope() *Scope {
	if in := a.current.Load(); in != nil {
		return in.root
	}
	return &Scope{app: a}
}

// State returns the state of the App.
func (a *App) State() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// State is a state of an App. After a failed start the App is StateCreated again.
type State string

// The states, in their order.
const (
	StateCreated  State = "created"
	StateStarting State = "starting"
	StateRunning  State = "running"
	StateStopping State = "stopping"
	StateStopped  State = "stopped"
)

// change moves from one state to another and notifies observers.
func (a *App) change(to, from State) error {
	a.mu.Lock()
	was := a.state
	if was == from {
		a.state = to
	}
	a.mu.Unlock()
	if was != from {
		return notDone(FailedPrecondition, "mono: the App is %s: it can become %s only from [%s]", was, to, from)
	}
	a.observe(StateChanged{From: was, To: to})
	return nil
}

// Start binds and checks all modules, then starts them: plugins, middleware, and each
// module once everything that it needs is serving. The order is the same in every run.
//
// If the App has mistakes, Start returns one *StartError that lists all of them, before
// anything has started. If a start fails later, everything that had started is stopped
// in reverse. The App is StateCreated again, and can be started again.
//
// ctx and StartTimeout bound the start. The error names a module that exceeds them.
func (a *App) Start(ctx context.Context) error {
	if err := a.lifecycle.acquire(ctx, lifecycleBusy); err != nil {
		return err
	}
	defer a.lifecycle.release()
	if err := a.change(StateStarting, StateCreated); err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.options.startTimeout)
	defer cancel()
	in := newInstance(a)
	if err := guard("the start", a.panicked, func() error { return in.start(ctx) }); err != nil {
		err = errors.Join(err, in.stop(context.WithoutCancel(ctx)))
		a.current.Store(nil)
		return errors.Join(err, a.change(StateCreated, StateStarting))
	}
	a.log.Info("mono: started", "modules", len(in.plan.units), "transport", a.transport.Capabilities().Name, "duration", time.Since(began))
	return a.change(StateRunning, StateStarting)
}

// Stop stops the App. First it waits for DrainDelay, if that is set. Modules stop in the reverse
// order of their start.
//
// For each module, its receivers stop taking messages from the transport and its
// handlers finish. Then its Stop is called; local calls still reach the module. After
// that, local calls are refused too. The modules that it depends on serve it until
// then. At last Stop waits for the answers to calls and appends that are in flight,
// also those of code outside modules, and closes the transport. No caller sees a broken
// connection.
//
// ctx and StopTimeout bound the stop as a whole, after DrainDelay. When they end, the contexts of running
// handlers are cancelled. The callers of these handlers get an error with
// OutcomeUnknown, and waiting callers one with OutcomeNotDone. The error of Stop names
// everything that took too long. Stop returns at most about a second later.
//
// If a handler of a stored message was cut off, only nil, Permanent and RetryAfter
// settle its message. After another error the message is handed back at once, and the
// attempt does not count. A handler learns of the stop from [Call.Stopping] before its
// time is over, and can end early with [HandBack].
//
// Stopping an App that was never started closes its transport. A second Stop returns
// nil once the first has finished. During a start, Stop waits for its end first, as
// long as ctx allows.
func (a *App) Stop(ctx context.Context) error {
	if err := a.lifecycle.acquire(ctx, lifecycleBusy); err != nil {
		return err
	}
	defer a.lifecycle.release()
	switch a.State() {
	case StateStopped:
		return nil
	case StateCreated:
		ctx, cancel := context.WithTimeout(ctx, a.options.stopTimeout)
		defer cancel()
		return errors.Join(a.closeTransport(ctx), a.change(StateStopped, StateCreated))
	}
	if err := a.change(StateStopping, StateRunning); err != nil {
		return err
	}
	a.awaitDrain(ctx)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.options.stopTimeout)
	defer cancel()
	err := a.current.Load().stop(ctx)
	err = errors.Join(err, a.closeTransport(ctx), a.change(StateStopped, StateStopping))
	if err != nil {
		a.log.Error("mono: stopped with errors", "duration", time.Since(began), "error", err)
		return err
	}
	a.log.Info("mono: stopped", "duration", time.Since(began))
	return nil
}

// awaitDrain waits for DrainDelay.
func (a *App) awaitDrain(ctx context.Context) {
	if a.options.drainDelay == 0 {
		return
	}
	a.log.Info("mono: stopping after DrainDelay", "delay", a.options.drainDelay)
	timer := time.NewTimer(a.options.drainDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// closeTransport closes the transport. The transport gets a moment even if the time is
// over, and is left running if it takes longer.
func (a *App) closeTransport(ctx context.Context) error {
	left := grace
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		left = max(grace, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	return hook(ctx, "mono: closing the transport", a.panicked, a.transport.Close, nil)
}

// Run creates an App with modules, starts it, and stops it when ctx ends or the process
// gets SIGINT or SIGTERM. A second signal ends the process at once, also during DrainDelay. Run returns the
// error of Start or Stop; a requested stop is not an error. For an
// App with options use New(t, opts...).Add(modules...).Run(ctx).
func Run(ctx context.Context, t transport.Transport, modules ...Module) error {
	return New(t).Add(modules...).Run(ctx)
}

// Run starts the App and stops it when ctx ends or the process gets SIGINT or SIGTERM;
// see the function Run. An App that does not start is stopped, which closes its
// transport. An App that was already started by other code is not stopped.
func (a *App) Run(ctx context.Context) error {
	ctx, restore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore) // from then on a signal has its default effect
	if err := a.Start(ctx); err != nil {
		if a.State() == StateCreated {
			_ = a.Stop(context.WithoutCancel(ctx)) // err is the error that matters
		}
		return err
	}
	<-ctx.Done()
	restore() // before the stop becomes visible
	return a.Stop(context.WithoutCancel(ctx))
}

// token is held by one goroutine at a time. Unlike a mutex it can be waited for with a
// context.
type token chan struct{}

func newToken() token { return make(token, 1) }

// acquire waits for the token until ctx ends. what describes the wait in the error.
func (t token) acquire(ctx context.Context, what string) error {
	select {
	case t <- struct{}{}:
		return nil
	default: // a context that has ended must not win over a free token
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, OutcomeNotDone, "%s", what)
	}
}

func (t token) release() { <-t }

// lifecycleBusy describes the wait of a Start or a Stop for the lifecycle.
const lifecycleBusy = "mono: another Start or Stop of the App is still running"
