package testkit

import (
	"slices"

	"gomono.dev/mono"
)

// Program is one of several programs of a test, such as a release beside an older one, or another
// role. It has its own modules, fakes and options, and is started, stopped and crashed alone. All
// programs share one server, and the time, faults and history of the Harness.
//
// A Program is a mono.Binder, and the Binder of a send selects the program. A send through it comes
// from the test, and uses the first instance of the program that runs. Any program can use a
// variable with a handle. If releases declare a handle differently, the test needs two variables
// with one name: use each with its own program. A question of the test, such as Consumed, is about
// all programs, and its answers name the program.
//
// Its methods are for the test's goroutine. Scope may be called on any goroutine.
type Program struct {
	h    *Harness
	name string // "" for the first one

	makers     []maker
	fakes      map[string]*fakeModule
	middleware []mono.Middleware
	options    []mono.AppOption
	setups     []func(*mono.App)
	topology   topology

	// Guarded by the lock of the Harness.
	instances []*Instance
	latest    *mono.App // the last App that has started
}

// maker makes a module for one run of the App.
type maker struct {
	name  string // of a plugin
	given mono.Module
	make  func() mono.Module
	place string
}

// Builder is a Harness or a Program. Fakes can be added to both. A Harness adds them to its first
// program.
type Builder interface {
	mono.Binder
	program() *Program
}

func (p *Program) program() *Program { return p }

// Program adds a program beside the first one, with some modules. Add and AddFunc add others, and
// MustStart starts it. The history, log lines and answers contain its name. A test of several
// releases has a Program for each, and can do without the first one:
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
		h.t.Fatal("testkit: Program without a name: give it a unique one, such as \"v2\"")
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

// Options adds options of the App of this program, such as its mono.Generation. They override
// AppOptions, which all programs have. Use AppOptions for a mono.Namespace: questions and faults
// identify a handle by its kind and name.
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
