package mono

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gomono.dev/transport"
)

// Start binds and checks all modules, then starts them: plugins, middleware, and each
// module once everything that it needs is serving. The order is the same in every run.
//
// If the App has mistakes, Start returns one *StartError that lists all of them, before
// anything has started. If a start fails later, everything that had started is stopped
// in reverse. The App is StateCreated again, and can be started again.
//
// ctx and StartTimeout bound the start. The error names a module that exceeds them.
func (a *App) Start(ctx context.Context) error {
	if err := a.acquire(ctx); err != nil {
		return err
	}
	defer a.release()
	if err := a.change(StateStarting, StateCreated); err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.options.startTimeout)
	defer cancel()
	in := newInstance(a)
	if err := guard("the start", a.panicked, func() error { return in.start(ctx) }); err != nil {
		err = errors.Join(err, in.stop(context.WithoutCancel(ctx)))
		a.current.Store(nil)
		return errors.Join(err, a.change(StateCreated, StateStarting))
	}
	a.log.Info("mono: started", "modules", len(in.units), "transport", a.transport.Capabilities().Name, "duration", time.Since(began))
	return a.change(StateRunning, StateStarting)
}

// acquire takes the lifecycle's token, so that Start and Stop run one at a time.
func (a *App) acquire(ctx context.Context) error {
	select {
	case a.lifecycle <- struct{}{}:
		return nil
	default: // a context that has ended must not win over a free token
	}
	select {
	case a.lifecycle <- struct{}{}:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, OutcomeNotDone, "mono: another Start or Stop of the App is still running")
	}
}

func (a *App) release() { <-a.lifecycle }

func (in *instance) start(ctx context.Context) error {
	in.codecs = newCodecs(in.contain(in.app.options.codec))
	in.bindAll()
	if err := in.check(); err != nil {
		return err
	}
	in.observeConfiguration()
	in.compile()
	if err := in.report.err(); err != nil {
		return err
	}
	in.app.current.Store(in)
	in.watchDenials()
	in.openLogs(ctx)
	if err := in.report.err(); err != nil {
		return err
	}
	in.startChannels()
	for _, u := range in.units {
		if err := in.startUnit(ctx, u); err != nil {
			return fmt.Errorf("mono: module %s: %w", u.name, err)
		}
	}
	return nil
}

func (in *instance) compile() {
	in.outsideNext = in.chain(dispatch)
	for _, u := range in.units {
		for _, s := range u.senders {
			s.compile()
		}
		for _, r := range u.receivers {
			r.compile()
		}
	}
}

// startChannels starts the copying of the channels that fan out. It ends when the
// channel is closed, at the latest when everything has stopped.
func (in *instance) startChannels() {
	quit := make(chan struct{})
	in.started = append(in.started, step{what: "channels", stop: func(*stopping) error {
		close(quit)
		return nil
	}})
	for _, c := range in.channels {
		if c.decl.config.FanOut {
			go c.hub.copy(quit)
		}
	}
}

// startUnit opens the resources that a unit provides, fills those that it needs, starts
// it, and subscribes its receivers. Each part that succeeded is recorded, to be undone
// in reverse.
func (in *instance) startUnit(ctx context.Context, u *unit) error {
	began := time.Now()
	if err := in.openResources(ctx, u); err != nil {
		return err
	}
	u.entered = true
	in.started = append(in.started, step{what: "channels of module " + u.name, stop: func(*stopping) error {
		in.leaveChannels(u)
		return nil
	}})
	if s, ok := u.module.(Starter); ok {
		if err := hook(ctx, "Start", in.panicked, s.Start, u.stopLate); err != nil {
			return err
		}
	}
	in.started = append(in.started, step{what: "module " + u.name, stop: func(s *stopping) error { return in.stopUnit(s, u) }})
	for _, r := range u.receivers {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	in.observe(ModuleStarted{Module: u.name, Duration: time.Since(began)})
	return nil
}

// observeConfiguration reports the settings and the handles of modules to observers.
func (in *instance) observeConfiguration() {
	o := in.app.options
	settings := map[string]string{
		"Namespace": o.namespace, "DefaultCodec": o.codec.ContentType(), "StartTimeout": o.startTimeout.String(),
		"StopTimeout": o.stopTimeout.String(), "HealthTimeout": o.healthTimeout.String(), "NoLocalCalls": fmt.Sprint(o.noLocalCalls),
		"Generation": fmt.Sprint(o.generation), "Transport": in.app.transport.Capabilities().Name,
	}
	for _, name := range sortedKeys(settings) {
		in.observe(Configured{Name: name, Value: settings[name]})
	}
	for _, id := range slices.SortedFunc(maps.Keys(in.handles), compareIdentity) {
		in.observeSettings(in.handles[id], "", in.handles[id].config.settings(), nil)
	}
	for _, u := range in.units {
		for _, usage := range u.usages() {
			in.observe(usage)
		}
		for _, r := range u.receivers {
			in.observeSettings(r.decl, u.name, r.config.settings(), r.decl.config.settings())
		}
	}
}

// observeSettings reports the settings that differ from known.
func (in *instance) observeSettings(d *declaration, module string, settings, known map[string]string) {
	for _, name := range sortedKeys(settings) {
		if value, ok := known[name]; !ok || value != settings[name] {
			in.observe(Configured{Handle: d, Module: module, Name: name, Value: settings[name]})
		}
	}
}

func sortedKeys(m map[string]string) []string {
	return slices.Sorted(maps.Keys(m))
}
