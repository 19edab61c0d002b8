package mono_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// watchUnused returns the groups that a start reports as unused.
func watchUnused(app *mono.App) *[]string {
	unused := new([]string)
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if g, ok := o.(mono.GroupUnused); ok {
			*unused = append(*unused, g.Handle.Name()+"/"+g.Group)
		}
	}))
	return unused
}

// Two programs receive one event and one stream. Neither calls the groups of the other unused
// while it runs, and neither deletes them by mistake.
func TestRunningGroupsOfAnotherProgram(t *testing.T) {
	t.Parallel()
	told, ledger := mono.NewEvent[job]("unused.told", mono.Durable()), mono.NewStream[job]("unused.ledger")
	hears := func(name string) mono.Module {
		return module(name, func(s *mono.Scope) {
			told.Handle(s, nothing)
			ledger.Handle(s, nothing)
		})
	}
	onBackends(t, func(t *testing.T, b backend) {
		b.start(t, hears("mail"))
		audit := b.app(t, hears("audit"))
		unused := watchUnused(audit)
		begin(t, audit)
		if len(*unused) > 0 {
			t.Errorf("groups of a running program are unused: %q", *unused)
		}
		for _, h := range []mono.Handle{told, ledger} {
			if err := mono.DeleteGroup(t.Context(), audit, h, "mail"); mono.CodeOf(err) != mono.FailedPrecondition {
				t.Errorf("%s: the group of a running program was deleted: %v", h.Name(), err)
			}
		}
	})
}

// A program that only sends reports the group of a subscriber that was removed, unless it
// declares that another program has it.
func TestSenderReportsTheGroupOfARemovedSubscriber(t *testing.T) {
	t.Parallel()
	e, q := mono.NewEvent[job]("unused.removed", mono.Durable()), mono.NewQueue[job]("unused.jobs", mono.Groups("a"))
	old := mono.NewQueue[job]("unused.jobs", mono.Groups("a", "b"))
	sender := module("sender", func(s *mono.Scope) { s.Use(e, q) })
	onBackends(t, func(t *testing.T, b backend) {
		b.within(t, func(*mono.App) {}, module("notify", func(s *mono.Scope) {
			e.Handle(s, nothing)
			s.Use(old)
		}))
		app := b.app(t, sender)
		unused := watchUnused(app)
		begin(t, app)
		if want := []string{"unused.removed/notify", "unused.jobs/b"}; !slices.Equal(*unused, want) {
			t.Errorf("unused are %q, want %q", *unused, want)
		}
		app = b.app(t, sender)
		app.RemoteGroups(e, "notify")
		unused = watchUnused(app)
		begin(t, app)
		if want := []string{"unused.jobs/b"}; !slices.Equal(*unused, want) {
			t.Errorf("unused are %q, want %q", *unused, want)
		}
	})
}

// The groups of a handle that is not stored cannot be declared.
func TestRemoteGroupsOfANonPersistentHandle(t *testing.T) {
	t.Parallel()
	app := mono.New(inproc.New(inproc.Options{}))
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "event unused.plain") || !strings.Contains(text, "not stored") {
			t.Errorf("got %q", text)
		}
	}()
	app.RemoteGroups(mono.NewEvent[job]("unused.plain"), "a")
}

// Two modules with one group of an event or a stream would each miss messages. Workers of a queue
// may share a group.
func TestModulesThatShareAGroup(t *testing.T) {
	t.Parallel()
	told, plain, ledger := mono.NewEvent[job]("shared.told", mono.Durable()), mono.NewEvent[job]("shared.plain"), mono.NewStream[job]("shared.ledger")
	jobs := mono.NewQueue[job]("shared.jobs")
	hears := func(name string) mono.Module {
		return module(name, func(s *mono.Scope) {
			told.Handle(s, nothing, mono.Group("both"))
			plain.Handle(s, nothing, mono.Group("both"))
			ledger.Handle(s, nothing, mono.Group("both"))
			jobs.Handle(s, nothing)
		})
	}
	app := mono.New(inproc.New(inproc.Options{}), quiet(t)).Add(hears("mail"), hears("audit"))
	err := app.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "3 problem(s)") {
		t.Fatalf("got %v, want three problems", err)
	}
	for _, h := range []mono.Handle{told, plain, ledger} {
		if want := h.Name() + ": is handled twice with the group \"both\", by module mail at "; !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not contain %q", err, want)
		}
	}
}

// Two declarations that contradict each other are reported as they are written.
func TestContradictionsAreReportedAsWritten(t *testing.T) {
	t.Parallel()
	for want, options := range map[string][2][]mono.QueueOption{
		"is declared twice, without MaxAttempts at ":  {nil, {mono.MaxAttempts(2)}},
		" and with MaxAttempts(2) at ":                {nil, {mono.MaxAttempts(2)}},
		"is declared twice, with NonPersistent() at ": {{mono.NonPersistent()}, nil},
		" and without NonPersistent at ":              {{mono.NonPersistent()}, nil},
	} {
		app := mono.New(inproc.New(inproc.Options{}), quiet(t)).Add(module("m", func(s *mono.Scope) {
			s.Use(mono.NewQueue[job]("written.jobs", options[0]...), mono.NewQueue[job]("written.jobs", options[1]...))
		}))
		if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A stream that exists in another order is refused with the names of the options.
func TestOrderThatCannotBeChanged(t *testing.T) {
	t.Parallel()
	unordered := mono.NewStream[job]("order.changed", mono.Unordered()).KeyedBy(job.key)
	ordered := mono.NewStream[job]("order.changed").KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		b.within(t, func(*mono.App) {}, module("m", func(s *mono.Scope) { unordered.Handle(s, nothing) }))
		app := b.app(t, module("m", func(s *mono.Scope) { ordered.Handle(s, nothing) }))
		err := app.Start(t.Context())
		defer func() { _ = app.Stop(context.Background()) }()
		if err == nil || !strings.Contains(err.Error(), "it exists with mono.Unordered(), or without a key, and mono.Partitions(16) is declared here") {
			t.Errorf("got %v", err)
		}
	})
}
