// Package health answers the probes of an orchestrator or a load balancer.
//
//	probes := health.New()
//	app.Plugin("health", probes)
//	go http.ListenAndServe(":8081", probes)
//
// The handler serves these paths, for GET and HEAD. The status is 200 or 503.
//
//   - /livez: the process serves HTTP. Nothing else is checked, in particular nothing outside the
//     process: a restart does not repair a server elsewhere. A stuck handler makes its module not
//     ready, and mono.StopTimeout ends a stop that takes too long. Neither concerns /livez.
//   - /readyz: the App runs, and all checks of [mono.App.Health] pass: the transport, each module
//     with its groups and handlers, each resource, bucket and store. MaxLag and MaxAge add checks.
//   - /readyz/NAME: one check, such as /readyz/transport, /readyz/module/orders, /readyz/resource/db,
//     /readyz/bucket/sessions or /readyz/lag/queue/orders.receipts. The name of the App's state is app.
//
// The query ?verbose lists all checks, and ?exclude=NAME, which can be repeated, leaves one out. The
// body is text, or JSON in the format of draft-inadarei-api-health-check for a request that accepts
// application/health+json or application/json. JSON is always verbose. A check that fails has its
// reason only there: the plain text has its name. A reason is the text of an error, which may hold
// an address or a secret: see [HideErrors].
//
// Checks run at once, each for at most mono.HealthTimeout. One that hangs or panics fails alone. A
// result is used for a second, and probes share a check that runs: they cannot load the system. A
// probe waits for the checks that it asks for. Its timeout has to be greater than HealthTimeout.
// The state of the App is never cached: at the first moment of a stop, /readyz fails. With
// mono.DrainDelay the App serves on for a while, until the load balancer has noticed.
//
// The service [Ready] answers on the subject services.health.ready, after the namespace, with the
// same JSON:
//
//	nats req services.health.ready ''
//
// All instances that share a namespace provide it, also those of other programs. Any one of them
// answers, and serviceId is its [mono.Scope.Instance]. ServiceName gives a program a service of its own.
//
// Make a Probes for each App of a process, on another port or path.
package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono"
)

// Ready is the service that a Probes provides, unless ServiceName sets another. It answers while the
// App is not ready, too: the report has the status.
var Ready = ready("health.ready")

func ready(name string) mono.Service[struct{}, Report] {
	return mono.NewService[struct{}, Report](name, mono.Codec(codec.JSON), mono.Doc("Reports whether the instance that answers is ready, with all checks."))
}

// Probes answers probes about one App. It is a module of the App and an [http.Handler], which serves
// at any time: before the start the App is not ready. Add it with Plugin, so that its service is
// the first to start and the last to stop.
type Probes struct {
	hideErrors bool
	service    mono.Service[struct{}, Report]
	bounds     []*bound

	mu     sync.Mutex
	scope  *mono.Scope       // of the last Bind
	checks map[string]*check // by name, of the App of scope
}

// An Option changes a default of New.
type Option func(*Probes)

// HideErrors replaces the reasons of failures by "reason withheld", in text and JSON, and leaves out
// details. The log of the App has them: use it if strangers can reach the endpoint.
func HideErrors() Option { return func(p *Probes) { p.hideErrors = true } }

// ServiceName sets the name of the service, such as "health.shop", instead of health.ready. It panics
// on a bad name.
func ServiceName(name string) Option {
	service := ready(name)
	return func(p *Probes) { p.service = service }
}

// New returns a Probes.
func New(opts ...Option) *Probes {
	p := &Probes{service: Ready, scope: new(mono.Scope)}
	for _, o := range opts {
		if o == nil {
			panic("health.New: an option is nil: leave it out")
		}
		o(p)
	}
	return p
}

// Bind provides the service and adds the checks of MaxLag and MaxAge to the health of the App.
func (p *Probes) Bind(s *mono.Scope) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.scope.Describe().State; s == mono.StateRunning || s == mono.StateStopping {
		return errors.New("the Probes is a module of another App, which runs: make one with health.New for each App")
	}
	p.scope, p.checks = s, make(map[string]*check)
	p.service.Handle(s, func(ctx context.Context, _ struct{}) (Report, error) {
		return p.report(p.run(ctx, p.readiness(), nil)), nil
	})
	for _, b := range p.bounds {
		s.Attach(b.component(s))
	}
	return nil
}

// readiness returns the checks of which readiness consists. The first is the state of the App.
func (p *Probes) readiness() []mono.HealthCheck {
	p.mu.Lock()
	s := p.scope
	p.mu.Unlock()
	return s.HealthChecks()
}

// liveness returns the only check of liveness.
func liveness() []mono.HealthCheck {
	pass := func(context.Context) mono.HealthResult { return mono.HealthResult{Healthy: true, Checked: true} }
	return []mono.HealthCheck{{Kind: "ping", Run: pass}}
}

// isState reports the check of the App's state, or of the process.
func isState(name string) bool { return name == "app" || name == "ping" }

// cacheFor is how long a result is used.
const cacheFor = time.Second

// check is the state of one check over all probes.
type check struct {
	running chan struct{} // nil if it does not run
	result  mono.HealthResult
	at      time.Time // of the result; zero if there is none
	success time.Time // of the last success; zero if there was none
}

// result is the result of a check for one probe.
type result struct {
	name, kind string
	excluded   bool // it was not run, and has no result
	at         time.Time
	success    time.Time
	mono.HealthResult
}

// run runs the checks that are not excluded, all at once. The state cannot be excluded.
func (p *Probes) run(ctx context.Context, checks []mono.HealthCheck, excluded []string) []result {
	results := make([]result, len(checks))
	var wait sync.WaitGroup
	for i, c := range checks {
		r := &results[i]
		r.name, r.kind = nameOf(c), c.Kind
		switch {
		case isState(r.name): // it takes no time, and must not be out of date
			r.HealthResult, r.at = c.Run(ctx), time.Now()
		case slices.Contains(excluded, r.name):
			r.excluded = true
		default:
			wait.Go(func() { p.await(ctx, c, r) })
		}
	}
	wait.Wait()
	return results
}

// await sets a result that is at most cacheFor old. It starts the check if there is none and it does
// not run yet. The check does not end with ctx, because other probes wait for it.
func (p *Probes) await(ctx context.Context, c mono.HealthCheck, r *result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.checks[r.name]
	if known == nil {
		known = new(check)
		p.checks[r.name] = known
	}
	if known.running == nil && (known.at.IsZero() || time.Since(known.at) >= cacheFor) {
		known.running = make(chan struct{})
		go p.start(c, r.name, known)
	}
	if running := known.running; running != nil {
		p.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if ctx.Err() != nil && known.running == running {
			r.HealthResult = mono.HealthResult{Checked: true, Message: fmt.Sprintf("the probe did not wait for the check: %v", ctx.Err())}
			r.at, r.success = time.Now(), known.success
			return
		}
	}
	r.HealthResult, r.at, r.success = known.result, known.at, known.success
}

// start runs a check, and logs a change of its result. No probe waits for the log.
func (p *Probes) start(c mono.HealthCheck, name string, known *check) {
	result := c.Run(context.Background())
	p.mu.Lock()
	log, success := p.scope.Logger(), known.success
	was := known.at.IsZero() || known.result.Healthy
	known.result, known.at = result, time.Now()
	if result.Healthy {
		known.success = known.at
	}
	close(known.running)
	known.running = nil
	p.mu.Unlock()
	switch {
	case was && !result.Healthy:
		log.Warn("mono: health check failed", "check", name, "error", result.Message)
	case !was && result.Healthy:
		log.Info("mono: health check passes again", "check", name, "lastSuccess", success)
	}
}
