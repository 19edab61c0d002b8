package testkit

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// Harness holds the system under test: one process, unless Instance makes another, with
// all modules in one App. It is a mono.Binder: a send through it comes from the test,
// outside any module. It uses the App that runs at that moment, so a bound client
// outlives a restart. It is also a transport.Host, for components of the test: see Attach.
//
// Its methods are for the test's goroutine. Scope may be called on any goroutine.
type Harness struct {
	t       testing.TB
	set     *settings
	seed    uint64
	net     network
	journal *journal
	faults  *faults

	makers     []maker
	fakes      map[string]*fakeModule
	middleware []mono.Middleware
	panicsOK   bool
	unfinished []mono.Handle
	reported   bool // the history has been printed
	outside    outside

	mu         sync.Mutex
	instances  []*Instance
	processes  []*process
	background sync.WaitGroup // of work that a crash leaves
	topology   topology
	ended      bool
}

// maker makes a module for one run of the App.
type maker struct {
	name  string // of a plugin
	given mono.Module
	make  func() mono.Module
	place string
}

func newHarness(t testing.TB, set *settings, seed uint64, n network) *Harness {
	h := &Harness{t: t, set: set, seed: seed, net: n, fakes: make(map[string]*fakeModule)}
	h.journal = newJournal()
	h.faults = newFaults(h)
	n.attach(h)
	return h
}

// Add adds modules. They keep their state when the App is stopped and started again, so they
// cannot crash. Use AddFunc for modules that do.
func (h *Harness) Add(modules ...mono.Module) {
	h.t.Helper()
	for _, m := range modules {
		h.add("Add", maker{given: m, make: func() mono.Module { return m }})
	}
}

// AddFunc adds modules that are made again at each start, so that a crash leaves nothing except
// durable state.
func (h *Harness) AddFunc(makes ...func() mono.Module) {
	h.t.Helper()
	for _, f := range makes {
		h.add("AddFunc", maker{make: f})
	}
}

// Plugin adds a module under a given name, as App.Plugin does. It is made again at each start.
func (h *Harness) Plugin(name string, f func() mono.Module) {
	h.t.Helper()
	h.add("Plugin", maker{name: name, make: f})
}

// Use adds middleware to the App, as App.Use does. The same value serves every run.
func (h *Harness) Use(middleware ...mono.Middleware) {
	h.t.Helper()
	h.notStarted("Use")
	h.middleware = append(h.middleware, middleware...)
}

func (h *Harness) add(what string, m maker) {
	h.t.Helper()
	h.notStarted(what)
	m.place = callerOutside()
	h.makers = append(h.makers, m)
}

func (h *Harness) notStarted(what string) {
	h.t.Helper()
	if len(h.instances) > 0 {
		h.t.Fatalf("testkit: %s after MustStart: build the system first, then start it", what)
	}
}

// MustStart starts the App, and fails the test if it does not start. After Stop it starts the
// App again, with its durable state.
func (h *Harness) MustStart() {
	h.t.Helper()
	if err := h.Start(); err != nil {
		h.t.Fatalf("testkit: the App does not start: %v", err)
	}
}

// Start is MustStart for a test that needs the error.
func (h *Harness) Start() error {
	h.t.Helper()
	h.checkModules()
	if len(h.instances) == 0 {
		h.addInstance()
	}
	first := h.instances[0]
	if p := first.running(); p != nil {
		h.t.Fatalf("testkit: the App has been started already: Stop it before MustStart, or make another with Instance")
	}
	if err := first.start(); err != nil {
		return err
	}
	h.checkDeclared()
	return nil
}

func (h *Harness) addInstance() *Instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := &Instance{h: h, number: len(h.instances) + 1}
	h.instances = append(h.instances, i)
	return i
}

// checkModules reports modules that cannot be used as the test intends.
func (h *Harness) checkModules() {
	h.t.Helper()
	if len(h.makers) == 0 && len(h.fakes) == 0 {
		h.t.Fatal("testkit: the system has no modules: add some with h.Add or h.AddFunc before h.MustStart")
	}
	if h.faults.crashes() {
		h.requireFunctions("a fault crashes the App")
	}
}

// requireFunctions fails the test if a module was given as a value.
func (h *Harness) requireFunctions(why string) {
	h.t.Helper()
	for _, m := range h.makers {
		if m.given != nil {
			h.t.Fatalf("testkit: %s, and the %T added at %s would keep its state: add it with h.AddFunc(func() mono.Module { return … }), which makes a new one", why, m.given, m.place)
		}
	}
}

// Stop stops all instances of the App, the youngest first. An error fails the test.
func (h *Harness) Stop() {
	h.t.Helper()
	for i := len(h.instances) - 1; i >= 0; i-- {
		h.instances[i].Stop()
	}
}

// Crash ends the process of the App as a loss of power would, and starts it again with its
// durable state. Later actions of the old modules have no effect.
func (h *Harness) Crash() {
	h.t.Helper()
	h.first().Crash()
}

// RestartServer restarts the server of all processes, like a single remote NATS server that
// is killed and started again on its store. It first lets everything happen that can happen
// without time. The server forgets the ids of removed messages: a job with the DedupID of a
// finished job is stored and handled again. It keeps stored messages with their ids, attempts
// and delays. The processes continue, and no time passes. On a real server, RestartServer
// fails the test.
func (h *Harness) RestartServer() {
	h.t.Helper()
	if !h.Virtual() {
		h.t.Fatal("testkit: RestartServer: a Harness cannot restart a real server: check h.Virtual() first")
	}
	h.Settle()
	h.journal.note(nil, "the server restarts")
	h.net.restart()
}

// first is the instance that MustStart started.
func (h *Harness) first() *Instance {
	h.t.Helper()
	if len(h.instances) == 0 {
		h.t.Fatal("testkit: the App has not been started: call h.MustStart first")
	}
	return h.instances[0]
}

// Settle waits until nothing more can happen unless time passes.
func (h *Harness) Settle() {
	h.t.Helper()
	if err := h.net.settle(context.Background()); err != nil {
		h.t.Fatalf("testkit: Settle: %v", err)
	}
}

// Advance first lets everything happen that can happen. It then lets d pass, which must be
// positive, and waits until nothing more can happen.
func (h *Harness) Advance(d time.Duration) {
	h.t.Helper()
	if d <= 0 {
		h.t.Fatalf("testkit: Advance(%v): d must be positive; Settle waits without time", d)
	}
	h.Settle()
	<-time.After(d)
	h.Settle()
}

// App returns the running App, for Describe or Health.
func (h *Harness) App() *mono.App {
	h.t.Helper()
	p := h.first().running()
	if p == nil {
		h.t.Fatal("testkit: the App does not run: call h.MustStart first")
	}
	return p.app
}

// Scope makes the Harness a mono.Binder.
func (h *Harness) Scope() *mono.Scope {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.instances) == 0 {
		return &mono.Scope{}
	}
	return h.instances[0].scope()
}

// Virtual reports whether time is virtual and faults are possible. It is false on a real
// server.
func (h *Harness) Virtual() bool { return h.net.virtual() }

// Seed returns the seed of this run.
func (h *Harness) Seed() uint64 { return h.seed }

// AllowPanics lets the test pass although a panic was contained in it.
func (h *Harness) AllowPanics() { h.panicsOK = true }

// AllowUnfinished lets the test end while messages of these handles are unfinished.
func (h *Harness) AllowUnfinished(handles ...mono.Handle) {
	h.unfinished = append(h.unfinished, handles...)
}

// Instance is another process with the same App, such as on a second machine. It is also a
// mono.Binder.
type Instance struct {
	h      *Harness
	number int

	// Guarded by the lock of the Harness.
	process  *process // nil: stopped
	stopping bool
}

// Instance starts another instance of the App on the same transport.
func (h *Harness) Instance() *Instance {
	h.t.Helper()
	h.first()
	h.requireFunctions("another process needs its own modules")
	i := h.addInstance()
	if err := i.start(); err != nil {
		h.t.Fatalf("testkit: instance %d of the App does not start: %v", i.number, err)
	}
	return i
}

// start starts a process. If a fault crashes it meanwhile, the next one counts.
func (i *Instance) start() error {
	p, err := i.h.newProcess(i.number)
	if err != nil {
		return err
	}
	i.become(p)
	err = p.start(context.Background())
	switch {
	case err == nil:
		return nil
	case p.crashed.Load():
		i.h.Settle()
		return nil
	}
	i.become(nil)
	p.end(context.Background())
	return err
}

// Stop stops the instance. An error fails the test.
func (i *Instance) Stop() {
	i.h.t.Helper()
	p := i.running()
	if p == nil {
		return
	}
	i.stops(true)
	if err := p.stop(context.Background()); err != nil && !p.crashed.Load() {
		i.h.t.Errorf("testkit: the stop of %s: %v", p, err)
	}
	i.become(nil)
	i.stops(false)
}

// stops specifies whether a crash starts no other process.
func (i *Instance) stops(now bool) {
	i.h.mu.Lock()
	defer i.h.mu.Unlock()
	i.stopping = now
}

// Crash is Harness.Crash for this instance.
func (i *Instance) Crash() {
	i.h.t.Helper()
	if !i.h.Virtual() {
		i.h.t.Fatal("testkit: Crash: a client of a real server cannot crash: check h.Virtual() first")
	}
	i.h.requireFunctions("Crash ends the process of the App")
	p := i.running()
	if p == nil {
		i.h.t.Fatalf("testkit: Crash: instance %d of the App does not run", i.number)
	}
	i.h.crash(p, "requested by the test")
	i.h.Settle()
}

// Scope makes the Instance a mono.Binder.
func (i *Instance) Scope() *mono.Scope {
	i.h.mu.Lock()
	defer i.h.mu.Unlock()
	return i.scope()
}

// scope is Scope with the lock held.
func (i *Instance) scope() *mono.Scope {
	if i.process == nil {
		return &mono.Scope{}
	}
	return i.process.app.Scope()
}

func (i *Instance) running() *process {
	i.h.mu.Lock()
	defer i.h.mu.Unlock()
	return i.process
}

func (i *Instance) become(p *process) {
	i.h.mu.Lock()
	defer i.h.mu.Unlock()
	i.process = p
}

// crash ends a process and starts its instance again. It may be called on any goroutine, and
// does not wait.
func (h *Harness) crash(p *process, where string) {
	if p.crashed.Swap(true) {
		return
	}
	h.journal.note(p, "%s crashes: %s", p, where)
	h.net.kill(p.tr)
	h.background.Go(p.discard)
	h.mu.Lock()
	instance := h.instances[p.instance-1]
	again := instance.process == p && !instance.stopping
	h.mu.Unlock()
	if !again {
		return
	}
	next, err := h.newProcess(p.instance)
	if err != nil {
		h.t.Errorf("testkit: %s cannot be made again: %v", p, err)
		return
	}
	instance.become(next)
	h.background.Go(func() {
		if err := next.start(context.Background()); err != nil && !next.crashed.Load() {
			h.t.Errorf("testkit: %s does not start after the crash: %v", next, err)
		}
	})
}

// callerOutside returns the place of the nearest caller outside this package, as file:line.
func callerOutside() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "gomono.dev/testkit.") || strings.HasSuffix(f.File, "_test.go") || !more {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
	}
}

// network is shared by the processes of a Harness.
type network interface {
	attach(h *Harness)
	connect(ctx context.Context) (transport.Transport, error)
	kill(t transport.Transport)
	restart()
	settle(ctx context.Context) error
	virtual() bool
	steps() int
}
