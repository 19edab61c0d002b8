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

// process is one run of the App, from its start to its stop or its crash. It is
// the middleware and the observer of its App.
type process struct {
	h        *Harness
	instance int
	again    bool // its instance has run before
	app      *mono.App
	tr       transport.Transport
	dead     atomic.Bool   // it has crashed
	started  chan struct{} // closed when its start has ended
}

func (h *Harness) newProcess(instance int) (*process, error) {
	tr, err := h.net.connect(context.Background())
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	p := &process{h: h, instance: instance, tr: tr, started: make(chan struct{})}
	opts := []mono.AppOption{mono.Logger(slog.New(&logHandler{p: p, Handler: slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})}))}
	if !h.set.home {
		opts = append(opts, mono.NoLocalCalls())
	}
	p.app = mono.New(tr, append(opts, h.set.app...)...)
	p.app.Use(h.middleware...)
	p.app.Use(p)
	names := make(map[string]bool)
	for _, maker := range h.makes {
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
		p.again = p.again || other.instance == instance
	}
	h.processes = append(h.processes, p)
	return p, nil
}

// String names the process in texts.
func (p *process) String() string {
	if p.instance == 1 {
		return "the App"
	}
	return fmt.Sprintf("instance %d of the App", p.instance)
}

func (p *process) start(ctx context.Context) error {
	defer close(p.started)
	switch {
	case p.again:
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

// end closes what a start that failed has left.
func (p *process) end(ctx context.Context) {
	if err := p.app.Stop(ctx); err != nil {
		p.h.t.Errorf("testkit: the stop of %s after its start has failed: %v", p, err)
	}
}

// bury ends the goroutines of a process that has crashed. Its modules' Stop is
// called without any time, and can reach nobody.
func (p *process) bury() {
	<-p.started
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.app.Stop(ctx) // a dead process makes no errors
}

// logHandler lets the modules' warnings through. It drops what a dead process says,
// and what mono does, which the history has.
type logHandler struct {
	p *process
	slog.Handler
}

func (l *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if l.p.dead.Load() || strings.HasPrefix(r.Message, "mono: ") {
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

// processOf finds the process that a transport belongs to.
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

// live returns a process that runs, or nil.
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

// over reports whether the test has ended, and only has to be taken down.
func (h *Harness) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}
