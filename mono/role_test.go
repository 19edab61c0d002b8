package mono_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gomono.dev/mono"
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

// The start checks the modules of all roles, and what cannot be shared between processes.
func TestMistakesOfRoles(t *testing.T) {
	t.Parallel()
	store, ticks := mono.NewResource[*job]("roles.store"), mono.NewChannel[int]("roles.ticks")
	app := mono.New(inproc.New(inproc.Options{}), quiet(t), mono.ActiveRoles("web", "wbe"))
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
		mono.InRole("Bad role", module("bad", func(*mono.Scope) {})),
		mono.InRole("web", nil),
	)
	err := app.Start(t.Context())
	if err == nil {
		t.Fatal("it has started")
	}
	for _, want := range []string{
		`ActiveRoles has "wbe", and no module is in this role: use one of ["Bad role" "web" "worker"]`,
		`module user: resource roles.store: module owner provides it, and does not run in this process, since its roles are ["worker"]: give both modules the same role`,
		`channel roles.ticks: module owner uses it too`,
		`module owner: service roles.nobody: no module provides it`,
		`module bad: its role "Bad role" is not a name`,
		`a module is nil`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not contain %s", err, want)
		}
	}
}
