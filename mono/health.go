package mono

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gomono.dev/codec"
)

// Health is the state of health of an App at one moment. It marshals to JSON.
type Health struct {
	Healthy   bool                    `json:"healthy"`
	State     State                   `json:"state"`
	Message   string                  `json:"message,omitempty"` // why it is not healthy
	Time      time.Time               `json:"time"`
	Transport HealthResult            `json:"transport"`
	Modules   map[string]HealthResult `json:"modules"`
	Resources map[string]HealthResult `json:"resources"`

	// Components has the results of components, such as buckets, by kind and name, as in
	// "bucket sessions".
	Components map[string]HealthResult `json:"components,omitempty"`
}

// HealthResult is the result of one health check.
type HealthResult struct {
	Healthy  bool
	Checked  bool           // false if there is no check
	Message  string         // the error of the check
	Details  map[string]any // added with ReportDetail
	Duration time.Duration
}

// MarshalJSON writes the duration as text, such as "1.5ms". It replaces a detail that
// JSON cannot encode by the error.
func (c HealthResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Healthy  bool           `json:"healthy"`
		Checked  bool           `json:"checked"`
		Message  string         `json:"message,omitempty"`
		Details  map[string]any `json:"details,omitempty"`
		Duration string         `json:"duration"`
	}{c.Healthy, c.Checked, c.Message, printable(c.Details), c.Duration.String()})
}

func printable(values map[string]any) map[string]any {
	values = maps.Clone(values)
	for name, value := range values {
		if _, err := codec.JSON.Marshal(&value); err != nil {
			values[name] = err.Error()
		}
	}
	return values
}

// ReportDetail adds a detail to the health check that ctx belongs to, regardless of its
// result. With another context it does nothing. The value should marshal to JSON, and
// must not change any more.
func ReportDetail(ctx context.Context, name string, value any) {
	if d, ok := ctx.Value(detailsKey{}).(*details); ok {
		d.mu.Lock()
		d.values[name] = value
		d.mu.Unlock()
	}
}

type detailsKey struct{}

type details struct {
	mu     sync.Mutex
	values map[string]any
}

func (d *details) copy() map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.values) == 0 {
		return nil
	}
	return maps.Clone(d.values)
}

// Health checks the transport, every module, every resource and every component, all at
// once, each for at most HealthTimeout. The transport is unhealthy while it denies a send of the App.
// A module is also unhealthy while the transport denies one of its subscriptions, if a
// group of its receivers was deleted, and while a handler of a stored message is stuck
// (StuckAfter). A check that hangs is unhealthy alone, and is not started again before
// it has returned. An App that does not run is not healthy.
func (a *App) Health(ctx context.Context) Health {
	h := newHealth(a.State())
	if h.State != StateRunning {
		return h
	}
	checks := a.healthChecks()
	if checks == nil {
		return h
	}
	results := make([]HealthResult, len(checks))
	var wait sync.WaitGroup
	for i, c := range checks {
		wait.Go(func() { results[i] = c.Run(ctx) })
	}
	wait.Wait()
	for i, c := range checks {
		h.put(c, results[i])
	}
	h.sum()
	return h
}

// HealthCheck is one of the checks of which [App.Health] consists.
type HealthCheck struct {
	Kind string // "app", "transport", "module", "resource", or the kind of a component, such as "bucket"
	Name string // "" for the App and the transport

	// Run returns the result of the check, after HealthTimeout at the latest. It joins a check
	// that has not returned. If ctx ends first, the result is unhealthy.
	Run func(ctx context.Context) HealthResult
}

// HealthChecks returns the checks of which Health consists, so that a module can run each one by
// itself. The first is of the kind "app": it is healthy if the App runs. The others follow only
// then: the transport, and the modules in the order of their start, each with its resources, and
// the components. The checks are those of one moment. Get them again for the next one.
func (s *Scope) HealthChecks() []HealthCheck {
	state := StateCreated
	if s.app != nil {
		state = s.app.State()
	}
	result := HealthResult{Healthy: state == StateRunning, Checked: true}
	if !result.Healthy {
		result.Message = stateMessage(state)
	}
	checks := []HealthCheck{{Kind: "app", Run: func(context.Context) HealthResult { return result }}}
	if result.Healthy {
		checks = append(checks, s.app.healthChecks()...)
	}
	return checks
}

// healthChecks returns the checks of an App that runs.
func (a *App) healthChecks() (checks []HealthCheck) {
	in := a.current.Load()
	if in == nil {
		return nil
	}
	add := func(id identity, f func(context.Context) error) {
		run := func(ctx context.Context) HealthResult { return a.health.run(ctx, a, id, f) }
		checks = append(checks, HealthCheck{string(id.kind), id.name, run})
	}
	add(identity{kind: "transport"}, in.denials.checkTransport)
	for _, u := range in.plan.units {
		add(identity{"module", u.name}, u.healthCheck())
		for _, r := range u.provided {
			add(r.decl.identity(), r.healthCheck())
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(in.plan.components), compareIdentity) {
		add(id, in.plan.components[id].Health)
	}
	return checks
}

// newHealth returns the health of an App before anything is checked.
func newHealth(state State) Health {
	return Health{
		State: state, Time: time.Now(), Message: stateMessage(state),
		Modules: make(map[string]HealthResult), Resources: make(map[string]HealthResult), Components: make(map[string]HealthResult),
	}
}

func stateMessage(s State) string { return "the App is " + string(s) }

// put stores the result of a check.
func (h *Health) put(c HealthCheck, result HealthResult) {
	switch c.Kind {
	case "transport":
		h.Transport = result
	case "module":
		h.Modules[c.Name] = result
	case "resource":
		h.Resources[c.Name] = result
	default:
		h.Components[c.Kind+" "+c.Name] = result
	}
}

// sum sets whether everything is healthy, and the names of what is not.
func (h *Health) sum() {
	var bad []string
	if !h.Transport.Healthy {
		bad = append(bad, "transport")
	}
	note := func(kind string, results map[string]HealthResult) {
		for _, name := range sortedKeys(results) {
			if !results[name].Healthy {
				bad = append(bad, kind+name)
			}
		}
	}
	note("module ", h.Modules)
	note("resource ", h.Resources)
	note("", h.Components)
	h.Healthy, h.Message = len(bad) == 0, ""
	if !h.Healthy {
		h.Message = fmt.Sprintf("unhealthy: %v", bad)
	}
}

// healthChecks holds the checks that have not returned.
type healthChecks struct {
	mu      sync.Mutex
	running map[identity]*runningCheck
}

// runningCheck is a check that has not returned. Later callers wait for the same
// result.
type runningCheck struct {
	began    time.Time
	details  details
	returned chan struct{}
	err      error // once returned is closed
}

// run runs one check, or joins it if it already runs. A nil f means that there is no
// check: the result is healthy.
func (h *healthChecks) run(ctx context.Context, a *App, id identity, f func(context.Context) error) HealthResult {
	if f == nil {
		return HealthResult{Healthy: true}
	}
	r := h.join(a, id, f)
	timer := time.NewTimer(time.Until(r.began.Add(a.options.healthTimeout)))
	defer timer.Stop()
	check := HealthResult{Checked: true}
	select {
	case <-r.returned:
		check.Healthy = r.err == nil
		if r.err != nil {
			check.Message = r.err.Error()
		}
	case <-timer.C:
		check.Message = fmt.Sprintf("the check that began %v ago has not returned within HealthTimeout (%v)", time.Since(r.began), a.options.healthTimeout)
	case <-ctx.Done():
		check.Message = fmt.Sprintf("the caller of Health did not wait for the check: %v", ctx.Err())
	}
	check.Details, check.Duration = r.details.copy(), time.Since(r.began)
	return check
}

// join returns the running check, or starts one. The check has a context of its own,
// because it does not belong to its first caller.
func (h *healthChecks) join(a *App, id identity, f func(context.Context) error) *runningCheck {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.running[id]; ok {
		return r
	}
	if h.running == nil {
		h.running = make(map[identity]*runningCheck)
	}
	r := &runningCheck{began: time.Now(), details: details{values: make(map[string]any)}, returned: make(chan struct{})}
	h.running[id] = r
	what := "the health check of " + strings.TrimSpace(id.String())
	go func() {
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), detailsKey{}, &r.details), a.options.healthTimeout)
		defer cancel()
		r.err = goexitError(what)
		defer func() {
			h.mu.Lock()
			delete(h.running, id)
			h.mu.Unlock()
			close(r.returned)
		}()
		r.err = guard(what, a.panicked, func() error { return f(ctx) })
	}()
	return r
}

// healthCheck returns the health check of a unit, which combines the module's check
// with the errors of its receivers. It returns nil if there is nothing to check.
func (u *unit) healthCheck() func(context.Context) error {
	own, ok := u.module.(HealthChecker)
	switch {
	case ok:
		return func(ctx context.Context) error { return errors.Join(u.check(), own.Health(ctx)) }
	case len(u.receivers) > 0:
		return func(context.Context) error { return u.check() }
	}
	return nil
}
