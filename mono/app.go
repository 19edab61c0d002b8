package mono

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
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
	modules    []registration
	remote     map[identity]*declaration

	lifecycle chan struct{} // holds one token, taken by Start and Stop
	mu        sync.Mutex    // guards state changes and registration
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
	namespace     string
	codec         codec.Codec
	stopTimeout   time.Duration
	startTimeout  time.Duration
	healthTimeout time.Duration
	noLocalCalls  bool
	generation    uint64
}

// Logger sets the App's logger, slog.Default by default. Its handler determines level,
// format and output.
func Logger(l *slog.Logger) AppOption { return func(o *appOptions) { o.logger = l } }

// Namespace adds name in front of every subject, log and micro service, so that several
// systems can share one NATS. Like the name of a handle it has dot-separated tokens, at
// most 200 bytes. The tokens services, queues, events, streams, channels, resources,
// failures, buckets, kv and objects are reserved: New panics on a namespace that
// contains one.
func Namespace(name string) AppOption { return func(o *appOptions) { o.namespace = name } }

// DefaultCodec sets the codec of handles without a Codec option, JSON by default. All
// processes that share handles must use the same one.
func DefaultCodec(k codec.Codec) AppOption { return func(o *appOptions) { o.codec = k } }

// StartTimeout bounds Start, 1 minute by default.
func StartTimeout(d time.Duration) AppOption { return func(o *appOptions) { o.startTimeout = d } }

// StopTimeout bounds Stop, 30 seconds by default. The context given to Stop applies if
// it ends earlier.
func StopTimeout(d time.Duration) AppOption { return func(o *appOptions) { o.stopTimeout = d } }

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
		lifecycle: make(chan struct{}, 1),
		state:     StateCreated,
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
	case o.namespace != "":
		return checkNamespace(o.namespace)
	}
	return nil
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
	a.register("Plugin", func() { a.modules = append(a.modules, registration{name: name, plugin: true, module: m}) })
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
		a.register("Remote", func() { a.remote[s.declared().identity()] = s.declared() })
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
	return &Scope{}
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

// change moves from one of the given states to another and notifies observers.
func (a *App) change(to State, from ...State) error {
	a.mu.Lock()
	was := a.state
	ok := false
	for _, s := range from {
		ok = ok || s == was
	}
	if ok {
		a.state = to
	}
	a.mu.Unlock()
	if !ok {
		return notDone(FailedPrecondition, "mono: the App is %s: it can become %s only from %v", was, to, from)
	}
	a.observe(StateChanged{From: was, To: to})
	return nil
}
