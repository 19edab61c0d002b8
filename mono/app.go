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

// App runs modules over one transport. Make one with New, add modules, then
// Start and Stop it, or Run it. All methods may be called concurrently; those
// that register something panic once the App has been started.
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

// registration is one module as it was added.
type registration struct {
	name   string // "" unless given with Plugin
	plugin bool
	module any
}

// AppOption says what differs from the defaults of an App.
type AppOption func(*appOptions)

type appOptions struct {
	logger        *slog.Logger
	namespace     string
	codec         codec.Codec
	stopTimeout   time.Duration
	startTimeout  time.Duration
	healthTimeout time.Duration
	alwaysWire    bool
	generation    uint64
}

// Logger sets where the App logs, slog.Default by default. Level, format and
// output are the handler's.
func Logger(l *slog.Logger) AppOption { return func(o *appOptions) { o.logger = l } }

// Namespace puts name in front of every subject, log and micro service, so that
// several systems can share one NATS. It has dot-separated tokens, as the name of a
// handle has, at most 200 bytes. The tokens services, queues, events, streams,
// channels, resources, failures, buckets, kv and objects are reserved: New panics on
// a namespace that contains one.
func Namespace(name string) AppOption { return func(o *appOptions) { o.namespace = name } }

// DefaultCodec sets the codec of handles that name none, JSON by default. All
// processes that share handles must agree on it.
func DefaultCodec(k codec.Codec) AppOption { return func(o *appOptions) { o.codec = k } }

// StartTimeout bounds Start, 1 minute by default.
func StartTimeout(d time.Duration) AppOption { return func(o *appOptions) { o.startTimeout = d } }

// StopTimeout bounds Stop, 30 seconds by default. The context given to Stop
// counts where it ends earlier.
func StopTimeout(d time.Duration) AppOption { return func(o *appOptions) { o.stopTimeout = d } }

// HealthTimeout bounds each health check, 5 seconds by default.
func HealthTimeout(d time.Duration) AppOption { return func(o *appOptions) { o.healthTimeout = d } }

// NoLocalCalls sends calls over the transport although their provider is in the
// same App.
func NoLocalCalls() AppOption { return func(o *appOptions) { o.alwaysWire = true } }

// New makes an App over a transport, which it owns from then on and closes when
// it stops. It panics on a nil transport or a bad option.
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
		return fmt.Errorf("the transport is nil: give one, such as inproc.New(nil)")
	case o.codec == nil:
		return fmt.Errorf("DefaultCodec: want a codec, got nil")
	case o.startTimeout <= 0 || o.stopTimeout <= 0 || o.healthTimeout <= 0:
		return fmt.Errorf("a timeout is not positive: StartTimeout(%v), StopTimeout(%v), HealthTimeout(%v)", o.startTimeout, o.stopTimeout, o.healthTimeout)
	case o.namespace != "":
		return checkNamespace(o.namespace)
	}
	return nil
}

// Add adds modules. They start in the order of what they need, and in the order
// in which they were added where that leaves a choice.
func (a *App) Add(modules ...Module) {
	for _, m := range modules {
		a.register("Add", func() { a.modules = append(a.modules, registration{module: m}) })
	}
}

// Plugin adds a module under a name of its own, so that one type can be added
// several times. Plugins start after middleware, unless that needs them, and
// before all other modules; they stop in reverse.
func (a *App) Plugin(name string, m Module) {
	a.register("Plugin", func() { a.modules = append(a.modules, registration{name: name, plugin: true, module: m}) })
}

// Use adds middleware. What is added first is outermost.
func (a *App) Use(middleware ...Middleware) {
	a.register("Use", func() { a.middleware = append(a.middleware, middleware...) })
}

// Observe adds observers. Middleware that is an Observer need not be added.
func (a *App) Observe(observers ...Observer) {
	a.register("Observe", func() { a.observers = append(a.observers, observers...) })
}

// Remote declares that services are provided by another process, so that their
// absence here is no mistake.
func (a *App) Remote(services ...Handle) {
	for _, s := range services {
		if s.Kind() != KindService {
			panic("mono: Remote(" + s.declared().String() + "): only services are provided by somebody")
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

// Scope returns a Scope for code outside modules, so that an App is a Binder: a
// main function, a test. It is good for the current run of the App; asking again
// after a restart finds the new one.
func (a *App) Scope() *Scope {
	if in := a.current.Load(); in != nil {
		return in.root
	}
	return &Scope{}
}

// State returns what the App is doing.
func (a *App) State() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// State is a state of an App. A failed start leads back to Created.
type State string

// The states, in their order.
const (
	StateCreated  State = "created"
	StateStarting State = "starting"
	StateRunning  State = "running"
	StateStopping State = "stopping"
	StateStopped  State = "stopped"
)

// change moves from one of the given states to another and tells observers.
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
