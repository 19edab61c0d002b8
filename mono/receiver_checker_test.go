package mono_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// guarded is an annotation that needs a guard, and no batches.
type guarded struct{ why string }

func (g guarded) CheckReceiver(r mono.ReceiverInfo) error {
	switch {
	case g.why == "panic":
		panic("the check panics")
	case r.Batch:
		return fmt.Errorf("%s excludes batches", g.why)
	case !slices.ContainsFunc(r.Middleware, func(m mono.Middleware) bool { _, ok := m.(*guard); return ok }):
		return fmt.Errorf("%s needs a guard: add one with Use", g.why)
	case !slices.Contains(r.Propagated, "Guard"):
		return fmt.Errorf("%s needs mono.Propagate", g.why)
	}
	return nil
}

// guard is a middleware that refuses receivers of handles without an annotation.
type guard struct{ asked []string }

func (*guard) Wrap(next mono.Next) mono.Next { return next }

func (g *guard) CheckReceiver(r mono.ReceiverInfo) error {
	g.asked = append(g.asked, r.Module+" "+r.Handle.Name())
	if mono.AnnotationOf(r.Handle, "test.Guard") == nil {
		return errors.New("has no annotation")
	}
	return nil
}

var (
	guardedService = mono.NewService[job, job]("guarded.service", mono.Annotate("test.Guard", guarded{"this service"}))
	guardedQueue   = mono.NewQueue[job]("guarded.queue", mono.Annotate("test.Guard", guarded{"this queue"}))
	guardedStream  = mono.NewStream[job]("guarded.stream", mono.Annotate("test.Guard", guarded{"this stream"}))
	guardedPanic   = mono.NewEvent[job]("guarded.panic", mono.Annotate("test.Guard", guarded{"panic"}))
	unguarded      = mono.NewEvent[job]("guarded.not")
)

// An App does not start, and its Preflight fails, if a handle or a middleware has conditions that a
// receiver does not meet, in a module of any role. Senders are not asked.
func TestReceiverChecker(t *testing.T) {
	t.Parallel()
	done := func(context.Context, job) error { return nil }
	app := func(g *guard, propagate bool, handle func(s *mono.Scope)) error {
		opts := []mono.AppOption{quiet(t), mono.ActiveRoles("one")}
		if propagate {
			opts = append(opts, mono.Propagate("Guard", nil))
		}

		app := mono.New(inproc.New(inproc.Options{}), opts...)
		if g != nil {
			app.Use(g)
		}
		app.Add(mono.InRole("other", module("guarded", handle)), mono.InRole("one", module("sender", func(s *mono.Scope) { unguarded.Publisher(s) })))
		_, preflight := app.Preflight(t.Context())
		err := app.Start(t.Context())
		if fmt.Sprint(preflight) != fmt.Sprint(err) {
			t.Errorf("Preflight returned %v, Start %v", preflight, err)
		}
		if err == nil {
			err = app.Stop(context.Background())
		}
		return err
	}
	good := func(s *mono.Scope) {
		guardedService.Handle(s, func(_ context.Context, j job) (job, error) { return j, nil })
		guardedQueue.Handle(s, done)
	}
	g := new(guard)
	if err := app(g, true, good); err != nil {
		t.Error(err)
	}
	if want := []string{"guarded guarded.service", "guarded guarded.queue"}; !slices.Equal(g.asked, append(want, want...)) {
		t.Errorf("asked about %q", g.asked)
	}
	err := app(nil, true, good)
	requireProblem(t, problemsIn(err), "this service needs a guard: add one with Use")
	requireProblem(t, problemsIn(err), "this queue needs a guard: add one with Use")
	requireProblem(t, problemsIn(app(g, false, good)), "this queue needs mono.Propagate")
	err = app(g, true, func(s *mono.Scope) {
		guardedStream.HandleBatch(s, func(context.Context, []mono.Message[job]) error { return nil })
		guardedPanic.Handle(s, done)
		unguarded.Handle(s, done)
	})
	requireProblem(t, problemsIn(err), "this stream excludes batches")
	requireProblem(t, problemsIn(err), "CheckReceiver of mono_test.guarded")
	requireProblem(t, problemsIn(err), "event guarded.not: has no annotation")
}

func problemsIn(err error) []mono.Problem {
	if e, ok := errors.AsType[*mono.StartError](err); ok {
		return e.Problems
	}
	return nil
}
