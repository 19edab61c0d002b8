package mono

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	h, in := newHealth(a.State()), a.current.Load()
	if h.State != StateRunning || in == nil {
		return h
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	run := func(name string, f func(context.Context) error, put func(HealthResult)) {
		wait.Go(func() {
			check := a.health.run(ctx, a, name, f)
			mu.Lock()
			put(check)
			mu.Unlock()
		})
	}
	run("transport", in.denials.checkTransport, func(c HealthResult) { h.Transport = c })
	for _, u := range in.plan.units {
		run("module "+u.name, u.healthCheck(), func(c HealthResult) { h.Modules[u.name] = c })
		for _, r := range u.provided {
			run(r.decl.String(), r.healthCheck(), func(c HealthResult) { h.Resources[r.decl.name] = c })
		}
	}
	for id, c := range in.plan.components {
		run(id.String(), c.Health, func(c HealthResult) { h.Components[id.String()] = c })
	}
	wait.Wait()
	h.sum()
	return h
}

// newHealth returns the health of an App before anything is checked.
func newHealth(state State) Health {
	return Health{
		State: state, Time: time.Now(), Message: "the App is " + string(state),
		Modules: make(map[string]HealthResult), Resources: make(map[string]HealthResult), Components: make(map[string]HealthResult),
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
	running map[string]*runningCheck
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
func (h *healthChecks) run(ctx context.Context, a *App, name string, f func(context.Context) error) HealthResult {
	if f == nil {
		return HealthResult{Healthy: true}
	}
	r := h.join(a, name, f)
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
func (h *healthChecks) join(a *App, name string, f func(context.Context) error) *runningCheck {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.running[name]; ok {
		return r
	}
	if h.running == nil {
		h.running = make(map[string]*runningCheck)
	}
	r := &runningCheck{began: time.Now(), details: details{values: make(map[string]any)}, returned: make(chan struct{})}
	h.running[name] = r
	go func() {
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), detailsKey{}, &r.details), a.options.healthTimeout)
		defer cancel()
		r.err = goexitError("the health check of " + name)
		defer func() {
			h.mu.Lock()
			delete(h.running, name)
			h.mu.Unlock()
			close(r.returned)
		}()
		r.err = guard("the health check of "+name, a.panicked, func() error { return f(ctx) })
	}()
	return r
}

// healthCheck returns the health check of a unit, which combines the module's check
// with the errors of its receivers. It returns nil if there is nothing to check.
func (u *unit) healthCheck() func(context.Context) error {
	own, _ := u.module.(HealthChecker)
	wrong := u.check()
	switch {
	case wrong == nil && own == nil:
		return nil
	case own == nil:
		return func(context.Context) error { return wrong }
	}
	return func(ctx context.Context) error { return errors.Join(wrong, own.Health(ctx)) }
}
