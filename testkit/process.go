package testkit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// process is one run of an App, from its start to its stop or its crash. It is the middleware
// and the observer of its App.
type process struct {
	h         *Harness
	instance  *Instance
	restarted bool // its instance has run before
	app       *mono.App
	tr        transport.Transport
	crashed   atomic.Bool   // it has crashed
	started   chan struct{} // closed when its start has ended
}

// newProcess makes a process of an instance.
func (i *Instance) newProcess() (*process, error) {
	p := i.program
	tr, err := p.h.net.connect(context.Background())
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	made := &process{h: p.h, instance: i, tr: tr, started: make(chan struct{})}
	made.app = mono.New(p.h.record(tr, made), p.appOptions(made)...)
	for _, setup := range p.setups {
		setup(made.app)
	}
	made.app.Use(p.middleware...)
	made.app.Use(made)
	p.addModules(made.app)
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	made.restarted = slices.ContainsFunc(p.h.processes, func(other *process) bool { return other.instance == i })
	p.h.processes = append(p.h.processes, made)
	return made, nil
}

// program returns the program of the process.
func (p *process) program() *Program { return p.instance.program }

// programName returns the name of the program, "" without a process.
func (p *process) programName() string {
	if p == nil {
		return ""
	}
	return p.program().name
}

// String is the name of the process in texts.
func (p *process) String() string { return p.instance.String() }

func (p *process) start(ctx context.Context) error {
	defer close(p.started)
	switch {
	case p.restarted:
		p.h.journal.note(p, "%s starts again", p)
	case p.instance.number > 1 || p.program().name != "":
		p.h.journal.note(p, "%s starts", p)
	}
	if err := p.app.Start(ctx); err != nil {
		return err
	}
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	p.program().latest = p.app
	return nil
}

func (p *process) stop(ctx context.Context) error {
	if !p.h.over() {
		p.h.journal.note(p, "%s stops", p)
	}
	return p.app.Stop(ctx)
}

// end closes what is left of a failed start.
func (p *process) end(ctx context.Context) {
	if err := p.app.Stop(ctx); err != nil {
		p.h.t.Errorf("testkit: stopping %s after its start has failed: %v", p, err)
	}
}

// discard ends the goroutines of a process that has crashed. It calls the Stop of its modules
// without any time; their messages reach nothing.
func (p *process) discard() {
	<-p.started
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.app.Stop(ctx) // errors of a dead process do not count
}

// logger returns the logger of the App. Its lines name the program, and its instance after the
// first.
func (p *process) logger() *slog.Logger {
	l := slog.New(&logHandler{p: p, Handler: slog.NewTextHandler(p.h.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})})
	if p.program().name != "" {
		l = l.With("program", p.program().name)
	}
	if p.instance.number > 1 {
		l = l.With("instance", p.instance.number)
	}
	return l
}

// logHandler passes on the modules' warnings. It drops the records of a dead process, and those
// of mono, which are in the history.
type logHandler struct {
	p *process
	slog.Handler
}

func (l *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if l.p.crashed.Load() || strings.HasPrefix(r.Message, "mono: ") {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

func (l *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{l.p, l.Handler.WithAttrs(attrs)}
}

func (l *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{l.p, l.Handler.WithGroup(name)}
}

// processOf finds the process of a transport.
func (h *Harness) processOf(tr transport.Transport) *process {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.processes {
		if p.tr == tr {
			return p
		}
	}
	return nil
}

// allStarted reports whether every program that has modules has been started.
func (h *Harness) allStarted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !slices.ContainsFunc(h.programs, func(p *Program) bool { return p.latest == nil && len(p.makers)+len(p.fakes) > 0 })
}

// over reports whether the test has ended, and is only being taken down.
func (h *Harness) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}
