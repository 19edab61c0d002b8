package testkit

import (
	"context"
	"fmt"

	"gomono.dev/mono"
)

// Instance is one process of a program, such as on a second machine. It is also a mono.Binder.
type Instance struct {
	program *Program
	number  int // in its program, from 1

	// Guarded by the lock of the Harness.
	process  *process // nil: stopped
	stopping bool
}

// String is the name of the instance in texts.
func (i *Instance) String() string {
	if i.number == 1 {
		return i.program.String()
	}
	return fmt.Sprintf("instance %d of %s", i.number, i.program)
}

// start starts a process. If a fault crashes it meanwhile, the next one counts.
func (i *Instance) start() error {
	p, err := i.newProcess()
	if err != nil {
		return err
	}
	i.become(p)
	err = p.start(context.Background())
	switch {
	case err == nil:
		return nil
	case p.crashed.Load():
		i.program.h.Settle()
		return nil
	}
	i.become(nil)
	p.end(context.Background())
	return err
}

// Stop stops the instance. An error fails the test.
func (i *Instance) Stop() {
	t := i.program.h.t
	t.Helper()
	i.stops(true)
	defer i.stops(false)
	p := i.running()
	if p == nil {
		return
	}
	<-p.started // again, after a crash
	if err := p.stop(context.Background()); err != nil && !p.crashed.Load() {
		t.Errorf("testkit: the stop of %s: %v", p, err)
	}
	i.become(nil)
}

// stops specifies whether a crash starts no other process.
func (i *Instance) stops(now bool) {
	i.program.h.mu.Lock()
	defer i.program.h.mu.Unlock()
	i.stopping = now
}

// Crash is Harness.Crash for this instance.
func (i *Instance) Crash() {
	h := i.program.h
	h.t.Helper()
	if !h.net.kills() {
		h.t.Fatal("testkit: Crash: a client of this server cannot crash, because its testkit.Server has no Kill: check h.Virtual() first")
	}
	i.program.requireFunctions("Crash ends its process")
	p := i.running()
	if p == nil {
		h.t.Fatalf("testkit: Crash: %s does not run", i)
	}
	p.crash("requested by the test")
	h.Settle()
}

// Scope makes the Instance a mono.Binder.
func (i *Instance) Scope() *mono.Scope {
	if p := i.running(); p != nil {
		return p.app.Scope()
	}
	return &mono.Scope{}
}

func (i *Instance) running() *process {
	i.program.h.mu.Lock()
	defer i.program.h.mu.Unlock()
	return i.process
}

// replace lets another process take the place of one that has crashed. It returns false if the
// instance is stopped.
func (i *Instance) replace(p, next *process) bool {
	i.program.h.mu.Lock()
	defer i.program.h.mu.Unlock()
	if i.process != p || i.stopping {
		return false
	}
	i.process = next
	return true
}

func (i *Instance) become(p *process) {
	i.program.h.mu.Lock()
	defer i.program.h.mu.Unlock()
	i.process = p
}

// crash ends a process and starts its instance again. It may be called on any goroutine, and
// does not wait.
func (p *process) crash(where string) {
	h := p.h
	if p.crashed.Swap(true) {
		return
	}
	h.journal.note(p, "%s crashes: %s", p, where)
	h.net.kill(p.tr)
	h.background.Go(p.discard)
	if !p.instance.replace(p, p) {
		return
	}
	next, err := p.instance.newProcess()
	if err != nil {
		h.t.Errorf("testkit: %s cannot be made again: %v", p, err)
		return
	}
	if !p.instance.replace(p, next) {
		next.end(context.Background())
		return
	}
	h.background.Go(func() {
		if err := next.start(context.Background()); err != nil && !next.crashed.Load() {
			h.t.Errorf("testkit: %s does not start after the crash: %v", next, err)
		}
	})
}
