package mono

import (
	"context"
	"errors"
	"fmt"
	"time"
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
	if err := a.lifecycle.acquire(ctx, lifecycleBusy); err != nil {
		return err
	}
	defer a.lifecycle.release()
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
	a.log.Info("mono: started", "modules", len(in.plan.units), "transport", a.transport.Capabilities().Name, "duration", time.Since(began))
	return a.change(StateRunning, StateStarting)
}

func (in *instance) start(ctx context.Context) error {
	in.codecs = newCodecs(in.app.options.codec, in.panicked)
	b := &binder{in, &in.plan, in.report}
	b.bindAll()
	if err := b.check(); err != nil {
		return err
	}
	in.observeConfiguration()
	in.compile()
	if err := in.report.err(); err != nil {
		return err
	}
	in.app.current.Store(in)
	in.started.push("watching the transport", always(in.app.transport.Watch(in.denials.handle)))
	in.openLogs(ctx)
	if err := in.report.err(); err != nil {
		return err
	}
	in.startChannels()
	for _, u := range in.plan.units {
		if err := in.startUnit(ctx, u); err != nil {
			return fmt.Errorf("mono: module %s: %w", u.name, err)
		}
	}
	return nil
}

func (in *instance) compile() {
	in.outsideNext = in.chain(transmit)
	for _, u := range in.plan.units {
		for _, s := range u.senders {
			s.compile()
		}
	}
	for _, r := range in.plan.receivers {
		r.compile()
	}
}

// startChannels starts the copying of the channels that fan out. It ends when the
// channel is closed, at the latest when everything has stopped.
func (in *instance) startChannels() {
	quit := make(chan struct{})
	in.started.push("channels", always(func() { close(quit) }))
	for _, c := range in.plan.channels {
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
	in.started.push("channels of module "+u.name, always(u.leaveChannels))
	if s, ok := u.module.(Starter); ok {
		if err := hook(ctx, "Start", in.panicked, s.Start, u.stopLate); err != nil {
			return err
		}
	}
	in.started.push("module "+u.name, func(s *stopping) error { return in.stopUnit(s, u) })
	for _, r := range u.receivers {
		if err := r.subscribe(ctx); err != nil {
			return err
		}
	}
	in.observe(ModuleStarted{Module: u.name, Duration: time.Since(began)})
	return nil
}

// stopLate stops a module whose Start has succeeded after the App gave up on it.
func (u *unit) stopLate() {
	if s, ok := u.module.(Stopper); ok {
		_ = s.Stop(context.Background()) // no caller is left to get the error
	}
}
