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

// Harness holds the system under test: one program, with all modules in one App. Program adds
// others. Add, MustStart, Stop and the like are for the first one, which is one process unless
// Instance makes another. The Harness is a mono.Binder: a send through it comes from the
// test, outside any module. It uses the App that runs at that moment, so a bound client outlives a
// restart. It is also a transport.Host, for components of the test: see Attach.
//
// Its methods are for the test's goroutine. Scope may be called on any goroutine.
type Harness struct {
	t       testing.TB
	set     *settings
	seed    uint64
	net     network
	journal *journal
	faults  *faults
	main    *Program // the first one

	panicsOK   bool
	unfinished unfinished
	reported   bool // the history has been printed
	outside    outside

	mu         sync.Mutex
	programs   programs
	processes  []*process
	background sync.WaitGroup // of work that a crash leaves
	ended      bool
}

func newHarness(t testing.TB, set *settings, seed uint64, n network) *Harness {
	h := &Harness{t: t, set: set, seed: seed, net: n}
	h.unfinished.h, h.outside.h = h, h
	h.main = h.addProgram("")
	h.journal = newJournal()
	h.faults = newFaults(h)
	n.attach(h)
	return h
}

func (h *Harness) program() *Program { return h.main }

// Add adds modules. They keep their state when the App is stopped and started again, so they
// cannot crash. Use AddFunc for modules that do.
func (h *Harness) Add(modules ...mono.Module) {
	h.t.Helper()
	h.main.Add(modules...)
}

// AddFunc adds modules that are made again at each start, so that a crash leaves nothing except
// durable state.
func (h *Harness) AddFunc(makes ...func() mono.Module) {
	h.t.Helper()
	h.main.AddFunc(makes...)
}

// Plugin adds a module under a given name, as App.Plugin does. It is made again at each start.
func (h *Harness) Plugin(name string, f func() mono.Module) {
	h.t.Helper()
	h.main.add("Plugin", maker{name: name, make: f})
}

// Use adds middleware to the App, as App.Use does. The same value serves every run.
func (h *Harness) Use(middleware ...mono.Middleware) {
	h.t.Helper()
	h.main.notStarted("Use")
	h.main.middleware = append(h.main.middleware, middleware...)
}

// MustStart starts the App, and fails the test if it does not start. After Stop it starts the
// App again, with its durable state.
func (h *Harness) MustStart() {
	h.t.Helper()
	h.main.MustStart()
}

// Start is MustStart for a test that needs the error.
func (h *Harness) Start() error {
	h.t.Helper()
	return h.main.Start()
}

// Instance starts another instance of the App on the same transport, or the first one.
func (h *Harness) Instance() *Instance {
	h.t.Helper()
	return h.main.Instance()
}

// Stop stops all instances of the App, the youngest first. An error fails the test. Other
// programs continue until their own Stop, or the end of the test.
func (h *Harness) Stop() {
	h.t.Helper()
	h.main.Stop()
}

// Crash ends the process of the App as a loss of power would, and starts it again with its
// durable state. Later actions of the old modules have no effect. On a real server Crash ends the
// connection of the process.
func (h *Harness) Crash() {
	h.t.Helper()
	h.main.Crash()
}

// App returns the running App, for Describe or Health.
func (h *Harness) App() *mono.App {
	h.t.Helper()
	return h.main.App()
}

// Scope makes the Harness a mono.Binder.
func (h *Harness) Scope() *mono.Scope { return h.main.Scope() }

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

// Virtual reports whether time is virtual and faults are possible. It is false on a real
// server.
func (h *Harness) Virtual() bool { return h.net.virtual() }

// Seed returns the seed of this run.
func (h *Harness) Seed() uint64 { return h.seed }

// AllowPanics lets the test pass although a panic was contained in it.
func (h *Harness) AllowPanics() { h.panicsOK = true }

// AllowUnfinished lets the test end while messages of these handles are unfinished.
func (h *Harness) AllowUnfinished(handles ...mono.Handle) {
	h.unfinished.permitted = append(h.unfinished.permitted, handles...)
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
	kills() bool // whether kill has an effect
	restart()
	settle(ctx context.Context) error
	virtual() bool
	steps() int
}
