package natstest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/testkit/natstest"
)

// painted is a job of the second release, which has a color.
type painted struct {
	N     int    `json:"n"`
	Color string `json:"color,omitempty"`
}

// Two releases declare one queue. The second one has another payload and more attempts.
var (
	plainJobs   = mono.NewQueue[job]("test.paint", mono.AckWait(time.Second))
	paintedJobs = mono.NewQueue[painted]("test.paint", mono.AckWait(time.Second), mono.MaxAttempts(7))
)

// painter returns a module that works on jobs of a queue.
func painter[T any](q mono.Queue[T], work mono.Sink[T]) func() mono.Module {
	return func() mono.Module {
		return mono.NewModule("painter", func(s *mono.Scope) error {
			q.Handle(s, work)
			return nil
		})
	}
}

func succeed[T any](context.Context, T) error { return nil }

// releases adds two releases of a painter.
func releases(h *testkit.Harness) (v1, v2 *testkit.Program) {
	v1, v2 = h.Program("v1"), h.Program("v2")
	v1.AddFunc(painter(plainJobs, succeed[job]))
	v1.Options(mono.Generation(1))
	v2.AddFunc(painter(paintedJobs, succeed[painted]))
	v2.Options(mono.Generation(2))
	return v1, v2
}

// finished returns the programs that finished each job, in order.
func finished(h *testkit.Harness) map[int][]string {
	all := make(map[int][]string)
	note := func(n int, program string, r testkit.HandlerResult) {
		if r == testkit.ResultDone && !slices.Contains(all[n], program) {
			all[n] = append(all[n], program)
		}
	}
	for _, d := range testkit.Consumed(h, plainJobs) {
		note(d.Value.N, d.Program, d.Result)
	}
	for _, d := range testkit.Consumed(h, paintedJobs) {
		note(d.Value.N, d.Program, d.Result)
	}
	return all
}

// sends returns functions that send the next job, by each release.
func sends(t *testing.T, v1, v2 mono.Binder) (plain, colored func()) {
	n := 0
	next := func(send func() error) {
		t.Helper()
		if err := send(); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return func() { next(func() error { return plainJobs.Enqueue(t.Context(), v1, job{n}) }) },
		func() { next(func() error { return paintedJobs.Enqueue(t.Context(), v2, painted{n, "red"}) }) }
}

// Two replicas of a release are replaced by the next release, and then rolled back. Both releases
// send meanwhile. The release that runs finishes each job.
func TestRollingDeployAndRollBack(t *testing.T) {
	t.Parallel()
	natstest.Each(t, func(t *testing.T, h *testkit.Harness) {
		v1, v2 := releases(h)
		replicas := []*testkit.Instance{v1.Instance(), v1.Instance()}
		replace := func(i int, by *testkit.Program) {
			h.Settle()
			replicas[i].Stop()
			replicas[i] = by.Instance()
		}
		plain, colored := sends(t, v1, v2)
		plain()
		replace(0, v2)
		plain()
		colored()
		replace(1, v2)
		colored()
		replace(0, v1)
		plain()
		colored()
		replace(1, v1)
		plain()
		got := finished(h)
		for n, want := range []string{0: "v1", 1: "", 2: "", 3: "v2", 4: "", 5: "", 6: "v1"} {
			if len(got[n]) == 0 || want != "" && !slices.Equal(got[n], []string{want}) {
				t.Errorf("job %d was finished by %q, want %q", n, got[n], want)
			}
		}
		if dead := testkit.DeadLettered(h, paintedJobs); len(dead) > 0 {
			t.Errorf("dead letters: %+v", dead)
		}
	})
}

// A program crashes while its handler runs. The other one gets the job, and the program is
// stopped, as in a roll-back.
func TestCrashOfOneProgram(t *testing.T) {
	t.Parallel()
	natstest.Each(t, func(t *testing.T, h *testkit.Harness) {
		v1, v2 := h.Program("v1"), h.Program("v2")
		v1.AddFunc(painter(plainJobs, succeed[job]))
		v2.AddFunc(painter(paintedJobs, func(ctx context.Context, _ painted) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		v2.MustStart()
		if err := paintedJobs.Enqueue(t.Context(), v2, painted{N: 1}); err != nil {
			t.Fatal(err)
		}
		h.Settle()
		v1.MustStart()
		v2.Crash()
		v2.Stop()
		h.Advance(3 * time.Second)
		if got := finished(h); !slices.Equal(got[1], []string{"v1"}) {
			t.Errorf("finished by %q, want v1", got[1])
		}
		if d := testkit.Consumed(h, paintedJobs); len(d) == 0 || d[0].Result != testkit.ResultCrashed || d[0].Program != "v2" {
			t.Errorf("attempts of v2: %+v", d)
		}
	})
}

// Programs in two roles receive one event. None of them calls the group of the other unused while
// it runs.
func TestRolesDoNotCallEachOtherUnused(t *testing.T) {
	t.Parallel()
	told := mono.NewEvent[job]("test.told", mono.Durable())
	natstest.Each(t, func(t *testing.T, h *testkit.Harness) {
		var unused []string
		role := func(name string) *testkit.Program {
			p := h.Program(name, mono.NewModule(name, func(s *mono.Scope) error {
				told.Handle(s, succeed[job])
				return nil
			}))
			p.Setup(func(a *mono.App) {
				a.Observe(mono.ObserverFunc(func(o mono.Observation) {
					if g, ok := o.(mono.GroupUnused); ok {
						unused = append(unused, name+" reports "+g.Group)
					}
				}))
			})
			return p
		}
		mail, audit := role("mail"), role("audit")
		mail.MustStart()
		audit.MustStart()
		if len(unused) > 0 {
			t.Errorf("both run: %q", unused)
		}
		mail.Stop()
		audit.Stop()
		audit.MustStart()
		if want := []string{"audit reports mail"}; !slices.Equal(unused, want) {
			t.Errorf("got %q, want %q", unused, want)
		}
	})
}

// Two programs have the same modules, and each runs one role. What one sends, the other handles,
// also after its crash. Each program has its own fake.
func TestRoles(t *testing.T) {
	t.Parallel()
	var (
		take  = mono.NewService[job, job]("test.take")
		price = mono.NewService[job, job]("test.price")
		stock = mono.NewService[job, job]("test.stock")
	)
	natstest.Each(t, func(t *testing.T, h *testkit.Harness) {
		role := func(name string) *testkit.Program {
			p := h.Program(name)
			p.AddFunc(
				func() mono.Module {
					return mono.InRole("web", mono.NewModule("desk", func(s *mono.Scope) error {
						check, ask, send := stock.Client(s), price.Client(s), plainJobs.Enqueuer(s)
						take.Handle(s, func(ctx context.Context, j job) (job, error) {
							if _, err := check(ctx, j); err != nil {
								return j, err
							}
							if err := send(ctx, j); err != nil {
								return j, err
							}
							return ask(ctx, j)
						})
						return nil
					}))
				},
				func() mono.Module { return mono.InRole("worker", painter(plainJobs, succeed[job])()) },
				func() mono.Module {
					return mono.InRole("worker", mono.NewModule("prices", func(s *mono.Scope) error {
						price.Handle(s, func(_ context.Context, j job) (job, error) { return job{j.N * 100}, nil })
						return nil
					}))
				},
			)
			p.Options(mono.ActiveRoles(name))
			testkit.Stub(p, stock)
			return p
		}
		web, worker := role("web"), role("worker")
		web.MustStart()
		if _, err := take.Call(t.Context(), web, job{1}); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("without a worker: %v", err)
		}
		h.Settle()
		if d := testkit.Consumed(h, plainJobs); len(d) > 0 {
			t.Errorf("handled before the worker runs: %+v", d)
		}
		worker.MustStart()
		for n := range 2 {
			if reply, err := take.Call(t.Context(), web, job{n + 2}); err != nil || reply.N != 100*n+200 {
				t.Errorf("%+v, %v", reply, err)
			}
			h.Settle()
			worker.Crash() // it starts again
		}
		got := finished(h)
		for n := 1; n <= 3; n++ {
			if !slices.Equal(got[n], []string{"worker"}) {
				t.Errorf("job %d was finished by %q, want the worker", n, got[n])
			}
		}
	})
}
