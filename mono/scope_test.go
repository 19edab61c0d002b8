package mono_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
)

// monitor is a module that reports the App by its Scope, from its Start until the test ends it.
type monitor struct {
	scope *mono.Scope
	seen  map[string]mono.Health // by the hook
	know  map[string]int         // the modules that Describe lists, by the hook
	fails bool                   // Start fails

	quit     chan struct{}
	watching sync.WaitGroup
}

func newMonitor() *monitor {
	return &monitor{seen: make(map[string]mono.Health), know: make(map[string]int), quit: make(chan struct{})}
}

func (m *monitor) Name() string { return "monitor" }

func (m *monitor) look(hook string) {
	m.seen[hook] = m.scope.Health(context.Background())
	m.know[hook] = len(m.scope.Describe().Modules)
}

func (m *monitor) Bind(s *mono.Scope) error {
	m.scope = s
	m.look("Bind")
	return nil
}

func (m *monitor) Start(context.Context) error {
	m.look("Start")
	if m.fails {
		return errors.New("not yet")
	}
	for range 4 {
		m.watching.Go(func() {
			for {
				select {
				case <-m.quit:
					return
				default:
					m.scope.Health(context.Background())
					m.scope.Describe()
					m.scope.Instance()
				}
			}
		})
	}
	return nil
}

func (m *monitor) Stop(context.Context) error {
	m.look("Stop")
	return nil
}

// A module reads the health and the topology of the App at any time, concurrently with all else,
// and does not send for it.
func TestScopeReportsTheApp(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		m := newMonitor()
		app := p.app(t)
		app.Add(m, provider(echo), &checkedStore{used: 8, size: 8})
		before := app.Scope()
		if h := before.Health(t.Context()); h.Healthy || h.State != mono.StateCreated || before.Instance() != "" || before.Describe().Transport != app.Describe().Transport {
			t.Errorf("before the start: %+v, %q", h, before.Instance())
		}
		begin(t, app)
		h := m.scope.Health(t.Context())
		if h.Healthy || h.State != mono.StateRunning || !h.Transport.Healthy || h.Modules["store"].Message != "the store is full" || h.Modules["store"].Details["used"] != 8 || h.Message != app.Health(t.Context()).Message {
			t.Errorf("running: %+v", h)
		}
		if got, want := m.scope.Describe(), app.Describe(); !reflect.DeepEqual(got, want) || len(got.Modules) != 3 {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if h := before.Health(t.Context()); h.State != mono.StateRunning || before.Instance() != "" {
			t.Errorf("a Scope from before the start: %+v, %q", h, before.Instance())
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.look("the end")
		close(m.quit)
		m.watching.Wait()
		for hook, want := range map[string]struct {
			state   mono.State
			modules int
		}{
			"Bind": {mono.StateStarting, 0}, "Start": {mono.StateStarting, 3}, "Stop": {mono.StateStopping, 3}, "the end": {mono.StateStopped, 3},
		} {
			if h := m.seen[hook]; h.Healthy || h.State != want.state || !strings.Contains(h.Message, string(want.state)) || h.Modules == nil || m.know[hook] != want.modules {
				t.Errorf("in %s: %+v, %d modules", hook, h, m.know[hook])
			}
		}
	})
}

// HealthChecks returns the checks of Health, which can be run one by one. While the App does not
// run, the only check is that of its state.
func TestHealthChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := func(checks []mono.HealthCheck) (names []string) {
			for _, c := range checks {
				names = append(names, strings.TrimSpace(c.Kind+" "+c.Name))
			}
			return names
		}
		only := func(when string, s *mono.Scope, state mono.State) {
			t.Helper()
			checks := s.HealthChecks()
			if r := checks[0].Run(t.Context()); len(checks) != 1 || checks[0].Kind != "app" || r.Healthy || !r.Checked || r.Message != "the App is "+string(state) {
				t.Errorf("%s: %q, %+v", when, names(checks), r)
			}
		}
		conn := mono.NewResource[*sick]("scope.conn")
		release := make(chan struct{})
		hang := &lifecycle{name: "hangs", health: func(context.Context) error { <-release; return nil }}
		app := newApp(t, mono.HealthTimeout(time.Second))
		var bound *mono.Scope
		app.Add(hang, module("store", func(s *mono.Scope) {
			bound = s
			conn.Provide(s, func(context.Context) (*sick, error) { return &sick{}, nil })
			c := box("b", func(string) {})
			c.Health = func(context.Context) error { panic("the box is broken") }
			s.Attach(c)
			only("in Bind", s, mono.StateStarting)
		}))
		only("the zero Scope", new(mono.Scope), mono.StateCreated)
		only("before the start", app.Scope(), mono.StateCreated)
		begin(t, app)
		checks := bound.HealthChecks()
		if got, want := names(checks), []string{"app", "transport", "module hangs", "module store", "resource scope.conn", "box b"}; !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		began := time.Now()
		for i, want := range []string{"", "", "", "", "it is sick", "internal: the health check of box b panicked"} {
			if i == 2 {
				continue // it hangs
			}
			if r := checks[i].Run(t.Context()); r.Healthy != (want == "") || r.Message != want {
				t.Errorf("%s: %+v", checks[i].Kind, r)
			}
		}
		if time.Since(began) != 0 {
			t.Errorf("the checks that do not hang took %v", time.Since(began))
		}
		if r := checks[2].Run(t.Context()); r.Healthy || time.Since(began) != time.Second || !strings.Contains(r.Message, "HealthTimeout") {
			t.Errorf("after %v: %+v", time.Since(began), r)
		}
		h := app.Health(t.Context())
		if h.Message != "unhealthy: [module hangs resource scope.conn box b]" || h.Components["box b"].Message == "" || !h.Transport.Checked {
			t.Errorf("%+v", h)
		}
		close(release)
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		only("after the stop", bound, mono.StateStopped)
	})
}

// sick is the value of a resource that is not healthy.
type sick struct{}

func (*sick) Ping(context.Context) error { return errors.New("it is sick") }

// All modules of a run have one instance id. Another start and another process have another.
func TestScopeInstance(t *testing.T) {
	t.Parallel()
	ids := make(map[string]bool)
	for range 2 {
		m, second := newMonitor(), newMonitor()
		close(m.quit)
		close(second.quit)
		m.fails = true
		app := newApp(t)
		app.Add(m)
		app.Plugin("second", second)
		if err := app.Start(t.Context()); err == nil || m.scope.Instance() == "" {
			t.Fatalf("the first start: %v, %q", err, m.scope.Instance())
		}
		ids[m.scope.Instance()] = true
		first := m.scope
		m.fails = false
		begin(t, app)
		ids[m.scope.Instance()] = true
		if id := m.scope.Instance(); id != second.scope.Instance() || id != app.Scope().Instance() || id == first.Instance() {
			t.Errorf("ids %q, %q, %q; before %q", id, second.scope.Instance(), app.Scope().Instance(), first.Instance())
		}
		if h := first.Health(t.Context()); !h.Healthy {
			t.Errorf("a Scope of the failed start reports %+v, want the state of the App", h)
		}
	}
	if len(ids) != 4 || ids[""] {
		t.Errorf("the ids are %v", ids)
	}
}

// The zero Scope reports an App that has not been started.
func TestZeroScope(t *testing.T) {
	t.Parallel()
	var s mono.Scope
	if h := s.Health(t.Context()); h.Healthy || h.State != mono.StateCreated || h.Message != "the App is created" {
		t.Errorf("its health is %+v", h)
	}
	if d := s.Describe(); d.State != mono.StateCreated || s.Instance() != "" {
		t.Errorf("it describes %+v, instance %q", d, s.Instance())
	}
}

// selfish is a module whose health check asks for the health of the App.
type selfish struct{ scope *mono.Scope }

func (*selfish) Name() string { return "selfish" }

func (m *selfish) Bind(s *mono.Scope) error { m.scope = s; return nil }

func (m *selfish) Health(ctx context.Context) error {
	if h := m.scope.Health(ctx); !h.Healthy {
		return errors.New(h.Message)
	}
	return nil
}

// A health check that asks for the health of the App waits for itself, until HealthTimeout.
func TestHealthOfItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t, mono.HealthTimeout(time.Second))
		app.Add(&selfish{})
		begin(t, app)
		began := time.Now()
		if h := app.Health(t.Context()); h.Healthy || time.Since(began) != time.Second {
			t.Errorf("after %v: %+v", time.Since(began), h)
		}
	})
}
