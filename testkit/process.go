package testkit

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// process is one run of the App, from its start to its stop or its crash. It is the middleware
// and the observer of its App.
type process struct {
	h         *Harness
	instance  int
	restarted bool // its instance has run before
	app       *mono.App
	tr        transport.Transport
	crashed   atomic.Bool   // it has crashed
	started   chan struct{} // closed when its start has ended
}

func (h *Harness) newProcess(instance int) (*process, error) {
	tr, err := h.net.connect(context.Background())
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	p := &process{h: h, instance: instance, tr: tr, started: make(chan struct{})}
	opts := []mono.AppOption{mono.Logger(slog.New(&logHandler{p: p, Handler: slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})}))}
	if !h.set.localCalls {
		opts = append(opts, mono.NoLocalCalls())
	}
	p.app = mono.New(h.record(tr, p), append(opts, h.set.app...)...)
	p.app.Use(h.middleware...)
	p.app.Use(p)
	names := make(map[string]bool)
	for _, maker := range h.makers {
		m := maker.make()
		if maker.name != "" {
			p.app.Plugin(maker.name, m)
			names[maker.name] = true
			continue
		}
		p.app.Add(m)
		if m != nil {
			names[nameOf(m)] = true
		}
	}
	p.app.Add(h.fakeModules(names)...)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.processes {
		p.restarted = p.restarted || other.instance == instance
	}
	h.processes = append(h.processes, p)
	return p, nil
}

// String is the name of the process in texts.
func (p *process) String() string {
	if p.instance == 1 {
		return "the App"
	}
	return fmt.Sprintf("instance %d of the App", p.instance)
}

func (p *process) start(ctx context.Context) error {
	defer close(p.started)
	switch {
	case p.restarted:
		p.h.journal.note(p, "%s starts again", p)
	case p.instance > 1:
		p.h.journal.note(p, "%s starts", p)
	}
	return p.app.Start(ctx)
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

// live returns a running process, or nil.
func (h *Harness) live() *process {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range h.instances {
		if i.process != nil {
			return i.process
		}
	}
	return nil
}

// over reports whether the test has ended, and is only being taken down.
func (h *Harness) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}
