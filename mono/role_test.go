package mono_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Handles of the modules below.
var (
	roleQuote  = mono.NewService[job, job]("roles.quote")
	roleJobs   = mono.NewQueue[job]("roles.jobs")
	roleTold   = mono.NewEvent[job]("roles.told", mono.Durable())
	roleLedger = mono.NewStream[job]("roles.ledger").KeyedBy(job.key)
)

// roleWorker is a module that counts its starts and passes on what it receives.
type roleWorker struct {
	starts, stops atomic.Int32
	got           chan string
}

func (*roleWorker) Name() string { return "mail" }

func (w *roleWorker) Bind(s *mono.Scope) error {
	take := func(kind string) mono.Sink[job] {
		return func(context.Context, job) error { w.got <- kind; return nil }
	}
	roleQuote.Handle(s, func(_ context.Context, j job) (job, error) { return job{N: j.N + 1}, nil })
	roleJobs.Handle(s, take("queue"))
	roleTold.Handle(s, take("event"))
	roleLedger.Handle(s, take("stream"))
	return nil
}

func (w *roleWorker) Start(context.Context) error { w.starts.Add(1); return nil }
func (w *roleWorker) Stop(context.Context) error  { w.stops.Add(1); return nil }

// roleSystem returns the modules of a system of two roles, and a module that every process runs.
func roleSystem() (all []mono.Module, shop *mono.Scope, worker *roleWorker) {
	worker = &roleWorker{got: make(chan string, 10)}
	shop = new(mono.Scope)
	return []mono.Module{
		mono.InRole("worker", worker),
		mono.InRole("web", module("shop", func(s *mono.Scope) {
			s.Use(roleQuote, roleJobs, roleTold, roleLedger)
			*shop = *s
		})),
		module("audit", func(s *mono.Scope) { roleTold.Handle(s, nothing) }),
	}, shop, worker
}

func names(of []mono.ModuleInfo) (all []string) {
	for _, m := range of {
		all = append(all, m.Name)
	}
	slices.Sort(all)
	return all
}

// A process runs the modules of its roles and those without one. What it sends before the other
// role has ever run is kept for it.
func TestRoles(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		modules, shop, idle := roleSystem()
		web := mono.New(b.connect(), quiet(t), mono.ActiveRoles("web")).Add(modules...)
		unused := watchUnused(web)
		stop := starts(t, web)
		if d := web.Describe(); !slices.Equal(names(d.Modules), []string{"audit", "shop"}) || !slices.Equal(names(d.Inactive), []string{"mail"}) ||
			!slices.Equal(d.Inactive[0].Roles, []string{"worker"}) {
			t.Errorf("described are %+v, and inactive %+v", d.Modules, d.Inactive)
		}
		if _, err := roleQuote.Call(t.Context(), shop, job{N: 1}); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("without a worker: %v", err)
		}
		for _, err := range []error{
			roleJobs.Enqueue(t.Context(), shop, job{}), roleTold.Publish(t.Context(), shop, job{}), roleLedger.Append(t.Context(), shop, job{Key: "k"}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		modules, _, worker := roleSystem()
		stopWorker := starts(t, mono.New(b.connect(), quiet(t), mono.ActiveRoles("worker")).Add(modules...))
		got := []string{next(t, worker.got), next(t, worker.got), next(t, worker.got)}
		if slices.Sort(got); !slices.Equal(got, []string{"event", "queue", "stream"}) {
			t.Errorf("the worker got %q", got)
		}
		if reply, err := roleQuote.Call(t.Context(), shop, job{N: 1}); err != nil || reply.N != 2 {
			t.Errorf("got %v, %v", reply, err)
		}
		stopWorker()
		stop()
		if n := [4]int32{idle.starts.Load(), idle.stops.Load(), worker.starts.Load(), worker.stops.Load()}; n != [4]int32{0, 0, 1, 1} {
			t.Errorf("starts and stops are %v", n)
		}
		if len(*unused) > 0 {
			t.Errorf("unused are %q", *unused)
		}
	})
}

// A process without ActiveRoles, or with all of them, runs everything, with local calls.
func TestAllRolesInOneProcess(t *testing.T) {
	t.Parallel()
	for _, options := range [][]mono.AppOption{nil, {mono.ActiveRoles("web", "worker")}, {mono.ActiveRoles("web"), mono.ActiveRoles("worker")}} {
		modules, shop, worker := roleSystem()
		stop := starts(t, mono.New(inproc.New(inproc.Options{}), append(options, quiet(t))...).Add(modules...))
		if reply, err := roleQuote.Call(t.Context(), shop, job{N: 1}); err != nil || reply.N != 2 {
			t.Errorf("got %v, %v", reply, err)
		}
		if worker.starts.Load() != 1 {
			t.Error("the worker does not run")
		}
		stop()
	}
	modules, _, worker := roleSystem()
	app := mono.New(inproc.New(inproc.Options{}), quiet(t), mono.ActiveRoles()).Add(modules...)
	starts(t, app)()
	if worker.starts.Load() != 0 || !slices.Equal(names(app.Describe().Modules), []string{"audit"}) {
		t.Errorf("without a role, %+v run", app.Describe().Modules)
	}
}

// A module in two roles runs in the processes of both.
func TestModuleInTwoRoles(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"a", "b", "c"} {
		both := &roleWorker{}
		app := mono.New(inproc.New(inproc.Options{}), quiet(t), mono.ActiveRoles(role)).Add(mono.InRole("a", mono.InRole("b", both)), mono.InRole("c", module("c", func(*mono.Scope) {})))
		starts(t, app)()
		if want := role != "c"; (both.starts.Load() == 1) != want {
			t.Errorf("in role %s it started %d times", role, both.starts.Load())
		}
	}
}

// The start checks the modules of all roles, also in a process that runs them all.
func TestMistakesOfRoles(t *testing.T) {
	t.Parallel()
	store, ticks := mono.NewResource[*job]("roles.store"), mono.NewChannel[int]("roles.ticks")
	for _, options := range [][]mono.AppOption{nil, {mono.ActiveRoles("web")}, {mono.ActiveRoles("worker")}, {mono.ActiveRoles("web", "worker")}} {
		app := mono.New(inproc.New(inproc.Options{}), append(options, quiet(t))...)
		app.Add(
			mono.InRole("worker", module("owner", func(s *mono.Scope) {
				store.Provide(s, func(context.Context) (*job, error) { return &job{}, nil })
				ticks.Receive(s)
				s.Use(mono.NewService[job, job]("roles.nobody"))
			})),
			mono.InRole("web", module("user", func(s *mono.Scope) {
				store.Need(s, new(*job))
				ticks.Send(s)
			})),
			module("everywhere", func(s *mono.Scope) { store.Need(s, new(*job)) }),
			mono.InRole("Bad role", module("bad", func(*mono.Scope) {})),
			mono.InRole("web", nil),
		)
		startRefused(t, app,
			`module user: resource roles.store: this module runs in processes of the roles ["web"], and module owner, which provides it, in processes of the roles ["worker"]: a resource does not leave its process, so give both modules the same roles`,
			`module everywhere: resource roles.store: this module runs in every process, and module owner`,
			`module owner: channel roles.ticks: this module runs in processes of the roles ["worker"], and module user, which uses it too, in processes of the roles ["web"]: a channel`,
			`module owner: service roles.nobody: no module provides it`,
			`module bad: its role "Bad role" is not a name`,
			`a module is nil`,
		)
	}
}

// A role that no module has is a mistake of the process.
func TestUnknownActiveRoles(t *testing.T) {
	t.Parallel()
	idle := module("idle", func(*mono.Scope) {})
	startRefused(t, mono.New(inproc.New(inproc.Options{}), quiet(t), mono.ActiveRoles("web", "wbe")).Add(mono.InRole("worker", mono.InRole("web", idle))),
		`ActiveRoles has "wbe", and no module is in this role: use one of ["web" "worker"]`)
	startRefused(t, mono.New(inproc.New(inproc.Options{}), quiet(t), mono.ActiveRoles("")).Add(idle),
		`ActiveRoles has "", and no module is in a role: add modules with mono.InRole`)
}

// Modules that share a resource or a channel may have more roles than one, and a provider may have
// more than its users.
func TestSharedWithinRoles(t *testing.T) {
	t.Parallel()
	store, ticks := mono.NewResource[*job]("roles.store"), mono.NewChannel[int]("roles.ticks", mono.Capacity(1))
	for _, role := range []string{"a", "b", "c", "d"} {
		var in chan<- int
		var out <-chan int
		var used *job
		app := mono.New(inproc.New(inproc.Options{}), quiet(t), mono.ActiveRoles(role))
		app.Plugin("owner", mono.InRole("a", mono.InRole("b", mono.InRole("c", module("", func(s *mono.Scope) {
			store.Provide(s, func(context.Context) (*job, error) { return &job{N: 1}, nil })
		})))))
		app.Add(
			mono.InRole("a", mono.InRole("b", module("user", func(s *mono.Scope) {
				store.Need(s, &used)
				in = ticks.Send(s)
			}))),
			mono.InRole("b", mono.InRole("a", module("receiver", func(s *mono.Scope) { out = ticks.Receive(s) }))),
			mono.InRole("d", module("other", func(*mono.Scope) {})),
		)
		stop := starts(t, app)
		if runs := role == "a" || role == "b"; runs != (used != nil) {
			t.Errorf("in role %s the resource is %v", role, used)
		} else if runs {
			in <- 1
		}
		d := app.Describe()
		want := map[string][]string{"a": {"owner", "receiver", "user"}, "b": {"owner", "receiver", "user"}, "c": {"owner"}, "d": {"other"}}[role]
		if !slices.Equal(names(d.Modules), want) {
			t.Errorf("in role %s, %q run", role, names(d.Modules))
		}
		stop()
		if used != nil {
			next(t, out) // it was closed after the value
			if _, open := <-out; open {
				t.Errorf("in role %s the channel is not closed", role)
			}
		}
	}
}

// Code that has kept the Scope of a module that does not run here gets an error that names its
// roles. Questions about the App are answered.
func TestScopeOfAModuleOfAnotherRole(t *testing.T) {
	t.Parallel()
	var scope *mono.Scope
	var quote mono.Func[job, job]
	var read mono.Reader[job]
	app := mono.New(inproc.New(inproc.Options{}), quiet(t), mono.ActiveRoles("worker"))
	modules, _, _ := roleSystem()
	app.Add(modules...).Add(mono.InRole("web", mono.InRole("admin", module("desk", func(s *mono.Scope) {
		scope, quote, read = s, roleQuote.Client(s), roleLedger.Reader(s)
		s.Use(roleJobs)
	}))))
	stop := starts(t, app)
	_, called := quote(t.Context(), job{})
	_, stored := roleJobs.EnqueueStored(t.Context(), scope, job{})
	errs := []error{called, stored, roleJobs.Enqueue(t.Context(), scope, job{})}
	errs = append(errs, roleJobs.EnqueueAll(t.Context(), scope, job{})...)
	for _, err := range read(t.Context()) {
		errs = append(errs, err)
	}
	for i, err := range errs {
		if want := `module desk does not run in this process, but in processes of the roles ["admin" "web"]`; mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), want) {
			t.Errorf("send %d: %v, want %s", i, err, want)
		}
	}
	if h := scope.Health(t.Context()); !h.Healthy || len(h.Modules) != 2 || scope.Instance() == "" {
		t.Errorf("health is %+v", h)
	}
	stop()
}

// A component of a module that does not run here is checked, and not opened.
func TestComponentsOfOtherRoles(t *testing.T) {
	t.Parallel()
	build := func(wrong error) (*mono.App, *[]string) {
		var notes []string
		note := func(s string) { notes = append(notes, s) }
		mine, theirs := box("mine", note), box("theirs", note)
		theirs.Check = func(transport.Environment) error { note("check theirs"); return wrong }
		app := mono.New(inproc.New(inproc.Options{}), quiet(t), mono.ActiveRoles("web"))
		app.Add(
			mono.InRole("web", &shelf{"web", []transport.Component{mine}, note}),
			mono.InRole("worker", &shelf{"mail", []transport.Component{mine, theirs}, note}),
		)
		return app, &notes
	}
	app, _ := build(errors.New("it is jammed"))
	startRefused(t, app, "module mail: box theirs: it is jammed")
	app, notes := build(nil)
	stop := starts(t, app)
	d, h := app.Describe(), app.Health(t.Context())
	if len(d.Components) != 1 || !slices.Equal(d.Components[0].UsedBy, []string{"web"}) || len(h.Components) != 1 || !slices.Equal(d.Inactive[0].Uses, []string{"box mine", "box theirs"}) {
		t.Errorf("described are %+v, inactive %+v, and health is %+v", d.Components, d.Inactive, h.Components)
	}
	stop()
	if want := []string{"check theirs", "open mine", "start web", "stop web", "close mine"}; !slices.Equal(*notes, want) {
		t.Errorf("got %q, want %q", *notes, want)
	}
}

// Service discovery on NATS finds the modules that run, and no others.
func TestDiscoveryOfRoles(t *testing.T) {
	t.Parallel()
	connect := natsBackend(t)
	modules, _, _ := roleSystem()
	web := mono.New(connect(), quiet(t), mono.ActiveRoles("web")).Add(modules...)
	defer starts(t, web)()
	find := func() error {
		_, err := mono.Raw(web).Request(t.Context(), &transport.Message{Subject: "$SRV.INFO.mail"})
		return err
	}
	if err := find(); mono.CodeOf(err) != mono.Unavailable {
		t.Errorf("without a worker: %v", err)
	}
	modules, _, _ = roleSystem()
	defer starts(t, mono.New(connect(), quiet(t), mono.ActiveRoles("worker")).Add(modules...))()
	if err := find(); err != nil {
		t.Errorf("with a worker: %v", err)
	}
}
