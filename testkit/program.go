package testkit

import (
	"slices"

	"gomono.dev/mono"
)

// Program is one of several programs of a test: a release beside an older one, or the process of
// another role. It has its own modules, fakes and options, and is started, stopped and crashed on
// its own. All programs share one server, and the time, faults and history of the Harness.
//
// A Program is a mono.Binder: a send through it comes from the test, by the first of its processes
// that runs. So the Binder of a send selects the program, and a declaration of a handle can be used
// with any program. Releases that declare a handle differently have two declarations of one name:
// use each with its own program. A question of the test, such as Consumed, is about all programs;
// its answers name the program.
//
// Like those of Harness, its methods are for the test's goroutine. Scope may be called on any.
type Program struct {
	h    *Harness
	name string // "": the first one, that of the Harness

	makers     []maker
	fakes      map[string]*fakeModule
	middleware []mono.Middleware
	options    []mono.AppOption
	setups     []func(*mono.App)
	topology   topology

	// Guarded by the lock of the Harness.
	instances []*Instance
	latest    *mono.App // the last one that has started, running or not
}

// maker makes a module for one run of the App.
type maker struct {
	name  string // of a plugin
	given mono.Module
	make  func() mono.Module
	place string
}

// Builder is a Harness or a Program: what modules and fakes are added to. Those of a Harness
// belong to its first program.
type Builder interface {
	mono.Binder
	program() *Program
}

func (p *Program) program() *Program { return p }

// Program adds a program beside the first one. It has these modules, and those that its Add and
// AddFunc add, and does not run until its MustStart. Its name is in the history, in log lines and
// in answers. A test of several releases has a Program for each, and need not use the first one:
//
//	v1, v2 := h.Program("v1", &old.Module{}), h.Program("v2", &orders.Module{})
//	v1.Options(mono.Generation(1))
//	v2.Options(mono.Generation(2))
//	v1.MustStart()
//	v2.MustStart() // beside v1
//	v1.Stop()
func (h *Harness) Program(name string, modules ...mono.Module) *Program {
	h.t.Helper()
	if name == "" {
		h.t.Fatal("testkit: Program without a name: give it one that no other program has, such as \"v2\"")
	}
	if slices.ContainsFunc(h.allPrograms(), func(p *Program) bool { return p.name == name }) {
		h.t.Fatalf("testkit: there is a program %q already: give each its own name, and use Instance for another process of one", name)
	}
	p := h.addProgram(name)
	p.Add(modules...)
	return p
}

func (h *Harness) addProgram(name string) *Program {
	p := &Program{h: h, name: name, fakes: make(map[string]*fakeModule)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.programs = append(h.programs, p)
	return p
}

// String is the name of the program in texts.
func (p *Program) String() string {
	if p.name == "" {
		return "the App"
	}
	return "program " + p.name
}

// of adds the name of the program to a text, unless it is the first one.
func (p *Program) of(text string) string {
	if p.name == "" {
		return text
	}
	return text + " of " + p.String()
}

// Name returns the name of the program.
func (p *Program) Name() string { return p.name }

// Add is Harness.Add for this program.
func (p *Program) Add(modules ...mono.Module) {
	p.h.t.Helper()
	for _, m := range modules {
		p.add("Add", maker{given: m, make: func() mono.Module { return m }})
	}
}

// AddFunc is Harness.AddFunc for this program. Each of its processes has its own modules.
func (p *Program) AddFunc(makes ...func() mono.Module) {
	p.h.t.Helper()
	for _, f := range makes {
		p.add("AddFunc", maker{make: f})
	}
}

func (p *Program) add(what string, m maker) {
	p.h.t.Helper()
	p.notStarted(what)
	m.place = callerOutside()
	p.makers = append(p.makers, m)
}

// Options adds options of the App of this program, such as its mono.Generation. They come after
// those of AppOptions, which all programs have. A mono.Namespace belongs to AppOptions: questions
// and faults identify a handle by its kind and name.
func (p *Program) Options(opts ...mono.AppOption) {
	p.h.t.Helper()
	p.notStarted("Options")
	p.options = append(p.options, opts...)
}

// Setup calls f with each App that the program makes, before its start: for mono.App.Remote,
// RemoteGroups, Plugin, Use and Observe. f may be called on any goroutine.
func (p *Program) Setup(f func(*mono.App)) {
	p.h.t.Helper()
	p.notStarted("Setup")
	p.setups = append(p.setups, f)
}

func (p *Program) notStarted(what string) {
	p.h.t.Helper()
	if len(p.instances) > 0 {
		p.h.t.Fatalf("testkit: %s after MustStart: build %s first, then start it", what, p.built())
	}
}

// built is the name of what the test builds.
func (p *Program) built() string {
	if p.name == "" {
		return "the system"
	}
	return p.String()
}

// MustStart is Harness.MustStart for this program.
func (p *Program) MustStart() {
	p.h.t.Helper()
	if err := p.Start(); err != nil {
		p.h.t.Fatalf("testkit: %s does not start: %v", p, err)
	}
}

// Start is MustStart for a test that needs the error.
func (p *Program) Start() error {
	p.h.t.Helper()
	p.checkModules()
	if len(p.instances) == 0 {
		p.addInstance()
	}
	if p.instances[0].running() != nil {
		p.h.t.Fatalf("testkit: %s has been started already: Stop it before MustStart, or make another with Instance", p)
	}
	return p.startInstance(p.instances[0])
}

// Instance is Harness.Instance for this program.
func (p *Program) Instance() *Instance {
	p.h.t.Helper()
	p.checkModules()
	if len(p.instances) > 0 {
		p.requireFunctions("another process needs its own modules")
	}
	i := p.addInstance()
	if err := p.startInstance(i); err != nil {
		p.h.t.Fatalf("testkit: %s does not start: %v", i, err)
	}
	return i
}

func (p *Program) startInstance(i *Instance) error {
	p.h.t.Helper()
	if err := i.start(); err != nil {
		return err
	}
	p.h.checkDeclared()
	return nil
}

func (p *Program) addInstance() *Instance {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	i := &Instance{program: p, number: len(p.instances) + 1}
	p.instances = append(p.instances, i)
	return i
}

// checkModules reports modules that cannot be used as the test intends.
func (p *Program) checkModules() {
	p.h.t.Helper()
	if len(p.makers) == 0 && len(p.fakes) == 0 {
		p.h.t.Fatalf("testkit: %s has no modules: add some with %sAdd or %[2]sAddFunc before %[2]sMustStart", p.built(), p.receiver())
	}
	if p.h.faults.crashes() {
		p.requireFunctions("a fault crashes " + p.String())
	}
}

// requireFunctions fails the test if a module was given as a value.
func (p *Program) requireFunctions(why string) {
	p.h.t.Helper()
	for _, m := range p.makers {
		if m.given != nil {
			p.h.t.Fatalf("testkit: %s, and the %T added at %s would keep its state: add it with %sAddFunc(func() mono.Module { return … }), which makes a new one", why, m.given, m.place, p.receiver())
		}
	}
}

// receiver is what the text of an error writes before a method.
func (p *Program) receiver() string {
	if p.name == "" {
		return "h."
	}
	return "its "
}

// Stop stops all processes of the program, the youngest first. An error fails the test. After it,
// MustStart starts the program again, as a roll-back does.
func (p *Program) Stop() {
	p.h.t.Helper()
	for _, i := range slices.Backward(p.instances) {
		i.Stop()
	}
}

// Crash is Harness.Crash for this program.
func (p *Program) Crash() {
	p.h.t.Helper()
	p.first().Crash()
}

// App is Harness.App for this program.
func (p *Program) App() *mono.App {
	p.h.t.Helper()
	running := p.first().running()
	if running == nil {
		p.h.t.Fatalf("testkit: %s does not run: call %sMustStart first", p, p.receiver())
	}
	return running.app
}

// first returns the first instance that runs, or else one that has been stopped.
func (p *Program) first() *Instance {
	p.h.t.Helper()
	if len(p.instances) == 0 {
		p.h.t.Fatalf("testkit: %s has not been started: call %sMustStart first", p, p.receiver())
	}
	for _, i := range p.instances {
		if i.running() != nil {
			return i
		}
	}
	return p.instances[0]
}

// Scope makes the Program a mono.Binder.
func (p *Program) Scope() *mono.Scope {
	if live := p.live(); live != nil {
		return live.app.Scope()
	}
	return &mono.Scope{}
}

// live returns the first process that runs, or nil.
func (p *Program) live() *process {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	for _, i := range p.instances {
		if i.process != nil {
			return i.process
		}
	}
	return nil
}

// describe returns the topology of the last App that has started.
func (p *Program) describe() mono.Topology {
	p.h.mu.Lock()
	latest := p.latest
	p.h.mu.Unlock()
	if latest == nil {
		return mono.Topology{}
	}
	return latest.Describe()
}

func (p *Program) appOptions(of *process) []mono.AppOption {
	opts := []mono.AppOption{mono.Logger(of.logger())}
	if !p.h.set.localCalls {
		opts = append(opts, mono.NoLocalCalls())
	}
	return slices.Concat(opts, p.h.set.app, p.options)
}

// addModules adds new modules to an App, and the fakes.
func (p *Program) addModules(app *mono.App) {
	names := make(map[string]bool)
	for _, maker := range p.makers {
		m := maker.make()
		if maker.name != "" {
			app.Plugin(maker.name, m)
			names[maker.name] = true
			continue
		}
		app.Add(m)
		if m != nil {
			names[nameOf(m)] = true
		}
	}
	app.Add(p.fakeModules(names)...)
}
