package testkit

import (
	"slices"

	"gomono.dev/mono"
)

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
	p.h.faults.checkDeclared()
	return nil
}

func (p *Program) addInstance() *Instance {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	i := &Instance{program: p, number: len(p.instances) + 1}
	p.instances = append(p.instances, i)
	return i
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

// first returns the first instance that runs, or one that was stopped if none runs.
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
