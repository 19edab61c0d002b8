package mono_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
)

// A handle gets another name, and later a third one. It keeps its first one as its address, so all
// releases meet there, and Read has the whole history.
func TestRenameAHandle(t *testing.T) {
	t.Parallel()
	type word struct{ Text string }
	wrap, unwrap := func(text string) word { return word{text} }, func(w word) string { return w.Text }
	onBackends(t, func(t *testing.T, b backend) {
		three := shapeOf("3", options{area: "third", formerly: "ladder"}, wrap, unwrap)
		b.climb(t,
			shapeOf("1", options{}, wrap, unwrap),
			shapeOf("2", options{area: "second", formerly: "ladder"}, wrap, unwrap),
			three,
		)
		b.history(t, three, 8)
	})
}

// renames are the handles of a release that are told apart by their kinds of messages.
type renames struct {
	retried  mono.Queue[job]
	brief    mono.Queue[job]
	plain    mono.Event[job]
	accounts mono.Stream[job]
}

// newRenames declares them with names in an area, and those of another area before.
func newRenames(area, formerly string) renames {
	of := func(name string) []mono.MessageOption {
		if formerly == "" {
			return nil
		}
		return []mono.MessageOption{mono.Formerly(formerly + "." + name)}
	}
	queue := func(name string, more ...mono.QueueOption) mono.Queue[job] {
		for _, o := range of(name) {
			more = append(more, o)
		}
		return mono.NewQueue[job](area+"."+name, more...)
	}
	var event []mono.EventOption
	var stream []mono.StreamOption
	for _, o := range of("plain") {
		event = append(event, o)
	}
	for _, o := range of("accounts") {
		stream = append(stream, o)
	}
	return renames{
		queue("retried", mono.MaxAttempts(1)), queue("brief", mono.NonPersistent()),
		mono.NewEvent[job](area+".plain", event...), mono.NewStream[job](area+".accounts", stream...).KeyedBy(job.key),
	}
}

func (r renames) send(ctx context.Context, app *mono.App, n int) error {
	j := job{n, "k"}
	return errors.Join(r.brief.Enqueue(ctx, app, j), r.plain.Publish(ctx, app, j), r.accounts.Append(ctx, app, j))
}

// The two names have the same subjects, log, groups, dead letters and delayed jobs, and each release
// finds those of the other one. Everything that a program shows has its own name.
func TestRenamedHandleKeepsItsAddress(t *testing.T) {
	t.Parallel()
	older, newer := newRenames("address.old", ""), newRenames("address.new", "address.old")
	onBackends(t, func(t *testing.T, b backend) {
		got, names := make(chan job, 100), make(chan string, 100)
		refuse := true
		start := func(r renames, generation uint64) (*mono.App, func()) {
			take := func(ctx context.Context, j job) error {
				names <- mono.CallFrom(ctx).Handle().Name()
				got <- j
				return nil
			}
			app := b.release(t, generation, func(s *mono.Scope) {
				r.retried.Handle(s, func(ctx context.Context, j job) error {
					if refuse {
						return mono.Permanent(errors.New("refused"))
					}
					return take(ctx, j)
				})
				r.brief.Handle(s, take)
				r.plain.Handle(s, take)
				r.accounts.Handle(s, take)
			})
			return app, starts(t, app)
		}
		drained := func(want string) {
			t.Helper()
			for len(names) > 0 {
				if name := <-names; !strings.HasPrefix(name, want) {
					t.Errorf("a handler sees the name %s, want %s…", name, want)
				}
			}
		}
		releases := []renames{older, newer}
		for i, from := range releases {
			to := releases[1-i]
			area := []string{"address.new", "address.old"}[i]
			refuse = true
			receiver, stop := start(to, uint64(2-i))
			config := configOf(t, receiver, "queues_address_old_retried")
			if of := config.Metadata["mono-handle"]; of != "queue address.old.retried" {
				t.Errorf("the log belongs to %q", of)
			}
			sender := b.release(t, uint64(1+i), func(s *mono.Scope) { s.Use(from.retried, from.brief, from.plain, from.accounts) })
			stopSender := starts(t, sender)
			if err := from.send(t.Context(), sender, i); err != nil {
				t.Error(err)
			}
			for range 3 {
				if j := next(t, got); j.N != i {
					t.Errorf("got %v", j)
				}
			}
			drained(area)
			if err := from.retried.Enqueue(t.Context(), sender, job{N: 10}); err != nil {
				t.Error(err)
			}
			awaitDeadLetters(t, to.retried.DeadLetters(receiver), 1)
			stop()
			if err := errors.Join(
				from.retried.With(mono.Delay(300*time.Millisecond)).Enqueue(t.Context(), sender, job{N: 20}),
				from.accounts.Append(t.Context(), sender, job{30, "k"}),
			); err != nil {
				t.Error(err)
			}
			refuse = false
			_, stop = start(to, uint64(2-i))
			for range 2 { // stored and delayed by the one release, handled by the other one
				if j := next(t, got); j.N != 20 && j.N != 30 {
					t.Errorf("got %v", j)
				}
			}
			drained(area)
			stop()
			for _, l := range awaitDeadLetters(t, from.retried.DeadLetters(sender), 1) { // made by the other release
				if v, err := l.Value(); err != nil || v.N != 10 {
					t.Errorf("the dead letter holds %v, %v", v, err)
				}
				if err := from.retried.DeadLetters(sender).Replay(t.Context(), l); err != nil {
					t.Error(err)
				}
			}
			receiver, stop = start(to, uint64(2-i))
			if j := next(t, got); j.N != 10 {
				t.Errorf("replayed: %v", j)
			}
			drained(area)
			for _, queue := range []mono.Queue[job]{from.retried, to.retried} { // by either name the group is the App's
				if err := mono.DeleteGroup(t.Context(), receiver, queue, mono.DefaultGroup); mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), "is declared here") {
					t.Errorf("%s: %v", queue.Name(), err)
				}
			}
			stop()
			stopSender()
		}
	})
}

// A queue that is renamed without Formerly leaves its jobs behind. If the old one is declared as
// removed, the start names the option, and with it the jobs are handled.
func TestRenameAHandleWithoutFormerly(t *testing.T) {
	t.Parallel()
	old, wrong, right := mono.NewQueue[job]("without.old"), mono.NewQueue[job]("without.new"), mono.NewQueue[job]("without.new", mono.Formerly("without.old"))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan job, 10)
		bind := func(q mono.Queue[job]) mono.Module {
			return module("m", func(s *mono.Scope) { q.Handle(s, receiverOf(got)) })
		}
		b.within(t, func(app *mono.App) {
			if err := old.Enqueue(t.Context(), app, job{N: 1}); err != nil {
				t.Error(err)
			}
		}, module("sender", func(s *mono.Scope) { s.Use(old) }))
		var log logBuffer
		app := mono.New(b.connect(), log.option()).Add(bind(wrong))
		app.Removed(old)
		starts(t, app)()
		if cure := `if the handle has another name now, declare that with mono.Formerly("without.old") instead`; !strings.Contains(strings.ReplaceAll(log.String(), `\"`, `"`), cure) {
			t.Errorf("%s does not contain %s", log.String(), cure)
		}
		none(t, got)
		b.start(t, bind(right))
		if j := next(t, got); j.N != 1 {
			t.Errorf("got %v", j)
		}
	})
}

// Describe, observers and errors have the new name, and the topology shows the address.
func TestRenamedHandleIsShownWithItsName(t *testing.T) {
	t.Parallel()
	asked := mono.NewService[job, job]("shown.new", mono.Formerly("shown.old"))
	jobs := mono.NewQueue[job]("shown.jobs", mono.Formerly("shown.tasks"), mono.MaxPending(1))
	onBackends(t, func(t *testing.T, b backend) {
		app := mono.New(b.connect(), quiet(t), mono.Namespace("shop")).Add(module("m", func(s *mono.Scope) {
			asked.Handle(s, func(context.Context, job) (job, error) { return job{}, mono.Errorf(mono.NotFound, "none") })
			s.Use(jobs)
		}))
		app.Remote(mono.NewService[job, job]("shown.elsewhere", mono.Formerly("shown.before")))
		begin(t, app)
		if a, n := asked.Address(), asked.Name(); a != "shown.old" || n != "shown.new" {
			t.Errorf("the address is %s, and the name %s", a, n)
		}
		for _, want := range []struct{ name, subject, log, formerly string }{
			{"shown.new", "shop.services.shown.old", "", "shown.old"},
			{"shown.jobs", "shop.queues.shown.tasks", "shop_queues_shown_tasks", "shown.tasks"},
		} {
			all := app.Describe().Handles
			i := slices.IndexFunc(all, func(h mono.HandleInfo) bool { return h.Name == want.name })
			if i < 0 || all[i].Subject != want.subject || all[i].Log != want.log || all[i].Settings["Formerly"] != want.formerly {
				t.Errorf("%+v is not among %+v", want, all)
			}
		}
		if err := jobs.Enqueue(t.Context(), app, job{}); err != nil {
			t.Fatal(err)
		}
		if err := jobs.Enqueue(t.Context(), app, job{}); err == nil || !strings.Contains(err.Error(), "queue shown.jobs") {
			t.Errorf("got %v", err)
		}
	})
}

// An address is a name that no other handle of its kind has. Mistakes name it.
func TestWrongFormerly(t *testing.T) {
	t.Parallel()
	for want, declare := range map[string]func(){
		`queue "wrong.new" declared at `:                        func() { mono.NewQueue[job]("wrong.new", mono.Formerly("")) },
		`Formerly("Wrong"): invalid name "Wrong": want dot-sep`: func() { mono.NewEvent[job]("wrong.new", mono.Formerly("Wrong")) },
		`Formerly("wrong.new") is its present name: give`:       func() { mono.NewStream[job]("wrong.new", mono.Formerly("wrong.new")) },
		`Formerly("a") and Formerly("b"): a handle has one`: func() {
			mono.NewService[job, job]("wrong.new", mono.Formerly("a"), mono.Formerly("b"))
		},
	} {
		if got := panicOf(declare); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	queue := func(name string, formerly ...string) mono.Handle {
		var opts []mono.QueueOption
		for _, f := range formerly {
			opts = append(opts, mono.Formerly(f))
		}
		return mono.NewQueue[job](name, opts...)
	}
	for _, c := range []struct {
		first, second mono.Handle
		want          []string
	}{
		{queue("old"), queue("new", "old"), []string{`module b: queue new: is declared with Formerly(old) at `, `and queue old is declared without Formerly at `, "so queue old would be both"}},
		{queue("new", "old"), queue("old"), []string{`module b: queue old: is declared without Formerly at `, `and queue new is declared with Formerly(old) at `}},
		{queue("one", "old"), queue("two", "old"), []string{`module b: queue two: is declared with Formerly(old) at `, `and queue one is declared with Formerly(old) at `}},
		{queue("one", "old"), queue("two", "one"), []string{`module b: queue two: is declared with Formerly(one) at `, "so queue one would be both"}},
		{queue("new", "old"), queue("new"), []string{`module b: queue new: is declared twice, with Formerly(old) at `, "and without Formerly at "}},
	} {
		app := newApp(t).Add(module("a", func(s *mono.Scope) { s.Use(c.first) }), module("b", func(s *mono.Scope) { s.Use(c.second) }))
		startRefused(t, app, append(c.want, "1 problem(s)", "rename_test.go:")...)
	}
	remote := newApp(t).Add(module("a", func(s *mono.Scope) { s.Use(mono.NewService[job, job]("new", mono.Formerly("old"))) }))
	remote.Remote(mono.NewService[job, job]("old"))
	startRefused(t, remote, "1 problem(s)", "module a: service old", "and service new is declared with Formerly(old) at ")
	other := newApp(t).Add(module("a", func(s *mono.Scope) { s.Use(queue("new", "old"), mono.NewEvent[job]("old")) })) // of another kind
	starts(t, other)()
}

// renamedModule is a module with the name that it had before.
type renamedModule struct {
	name, formerly string
	bind           func(*mono.Scope)
}

func (m *renamedModule) Name() string             { return m.name }
func (m *renamedModule) Formerly() string         { return m.formerly }
func (m *renamedModule) Bind(s *mono.Scope) error { m.bind(s); return nil }

// A renamed module keeps its groups by its method Formerly, and a single receiver by mono.Group. The
// releases then share each message, and continue where the other one has stopped.
func TestRenameAModule(t *testing.T) {
	t.Parallel()
	durable, plain := mono.NewEvent[job]("module.durable", mono.Durable()), mono.NewEvent[job]("module.plain")
	ledger, jobs := mono.NewStream[job]("module.ledger"), mono.NewQueue[job]("module.jobs", mono.Groups("mail", "audit"))
	onBackends(t, func(t *testing.T, b backend) {
		got, senders := make(chan job, 100), make(chan string, 100)
		take := func(ctx context.Context, j job) error {
			if c := mono.CallFrom(ctx); !mono.Same(c.Handle(), plain) {
				senders <- c.Sender()
			}
			got <- j
			return nil
		}
		bind := func(event []mono.EventHandlerOption, stream []mono.StreamHandlerOption, queue []mono.QueueHandlerOption) func(*mono.Scope) {
			return func(s *mono.Scope) {
				s.Use(durable, plain, ledger, jobs)
				durable.Handle(s, take, event...)
				plain.Handle(s, take, event...)
				ledger.Handle(s, take, stream...)
				jobs.Handle(s, take, queue...)
			}
		}
		keep := mono.Group("mail")
		releases := []func() mono.Module{
			func() mono.Module { return module("mail", bind(nil, nil, nil)) },
			func() mono.Module { return &renamedModule{"post", "mail", bind(nil, nil, nil)} },
			func() mono.Module {
				return module("letters", bind([]mono.EventHandlerOption{keep}, []mono.StreamHandlerOption{keep}, []mono.QueueHandlerOption{keep}))
			},
		}
		var scope *mono.Scope
		start := func(i int) (*[]string, func()) {
			m := releases[i]()
			app := mono.New(b.connect(), quiet(t), mono.Generation(uint64(i))).Add(mono.NewModule("sender", func(s *mono.Scope) error {
				s.Use(durable, plain, ledger, jobs)
				scope = s
				return nil
			}), m)
			unused := watchUnused(app)
			return unused, starts(t, app)
		}
		n := 0
		send := func() {
			t.Helper()
			if err := errors.Join(durable.Publish(t.Context(), scope, job{N: n}), plain.Publish(t.Context(), scope, job{N: n}), ledger.Append(t.Context(), scope, job{N: n}), jobs.Enqueue(t.Context(), scope, job{N: n})); err != nil {
				t.Error(err)
			}
			for range 4 { // once by one of the releases
				if j := next(t, got); j.N != n {
					t.Errorf("got %d, want %d", j.N, n)
				}
			}
			for range 3 { // an event that is not stored has no sender
				if from := next(t, senders); from != "sender" {
					t.Errorf("it was sent by %q", from)
				}
			}
			n++
		}
		_, stop := start(0)
		send()
		for _, deployed := range []int{1, 0, 1, 2, 1, 2} {
			unused, stopOther := start(deployed)
			send()
			stop()
			send()
			if slices.ContainsFunc(*unused, func(g string) bool { return !strings.HasSuffix(g, "/audit") }) {
				t.Errorf("release %d calls groups unused: %q", deployed+1, *unused)
			}
			stop = stopOther
		}
		stop()
		none(t, got)
		app := b.app(t, releases[1]())
		begin(t, app)
		if m := app.Describe().Modules[0]; m.Name != "post" || m.Formerly != "mail" {
			t.Errorf("the module is described as %+v", m)
		}
	})
}

// A module that is renamed without Formerly begins with new groups. The start names the cure, with
// which it handles what waits for it.
func TestRenameAModuleWithoutFormerly(t *testing.T) {
	t.Parallel()
	told, sure := mono.NewEvent[job]("module.told", mono.Durable()), mono.NewStream[job]("module.sure")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan job, 100)
		bind := func(s *mono.Scope) {
			s.Use(told, sure)
			told.Handle(s, receiverOf(got))
			sure.Handle(s, receiverOf(got))
		}
		starts(t, b.app(t, module("mail", bind)))()
		b.within(t, func(app *mono.App) {
			if err := errors.Join(told.Publish(t.Context(), app, job{N: 1}), sure.Append(t.Context(), app, job{N: 1})); err != nil {
				t.Error(err)
			}
		}, module("sender", func(s *mono.Scope) { s.Use(told, sure) }))
		var log logBuffer
		app := mono.New(b.connect(), log.option()).Add(module("post", bind))
		unused := watchUnused(app)
		findings, err := app.Preflight(t.Context())
		starts(t, app)()
		const cure = `if module post had the name "mail", give it the method Formerly() string, which returns that name`
		if !slices.Equal(*unused, []string{"module.told/mail", "module.sure/mail"}) || strings.Count(strings.ReplaceAll(log.String(), `\"`, `"`), cure) != 2 {
			t.Errorf("unused are %q, and the log is %s", *unused, log.String())
		}
		if advised := slices.ContainsFunc(findings, func(f mono.Finding) bool { return strings.Contains(f.Remedy, cure) }); err != nil || !advised {
			t.Errorf("the findings are %v, %v", findings, err)
		}
		for len(got) > 0 { // the new group of the stream has begun at its first message
			<-got
		}
		b.start(t, &renamedModule{"post", "mail", func(s *mono.Scope) { told.Handle(s, receiverOf(got)) }})
		if j := next(t, got); j.N != 1 {
			t.Errorf("got %v", j)
		}
	})
}

// A name that a module cannot have had is a mistake. Two modules with one former name may share its
// groups, but not a group of one handle.
func TestWrongFormerNamesOfModules(t *testing.T) {
	t.Parallel()
	told, other := mono.NewEvent[job]("wrong.told", mono.Durable()), mono.NewEvent[job]("wrong.other", mono.Durable())
	hears := func(name, formerly string, events ...mono.Event[job]) mono.Module {
		return &renamedModule{name, formerly, func(s *mono.Scope) {
			for _, e := range events {
				e.Handle(s, nothing)
			}
		}}
	}
	startRefused(t, newApp(t).Add(hears("post", "post")), "module post: its method Formerly returns its present name")
	startRefused(t, newApp(t).Add(hears("post", "Post Office")), `module post: its method Formerly returns "Post Office", which cannot be the name of a module`)
	startRefused(t, newApp(t).Add(hears("post", "mail", told), hears("letters", "mail", told)), `event wrong.told: is handled twice with the group "mail", by module post at `)
	starts(t, newApp(t).Add(hears("post", "mail", told), hears("letters", "mail", other)))()
	queue := mono.NewQueue[job]("wrong.workers") // its group is not named after the module
	app := newApp(t).Add(&renamedModule{"workers", "old", func(s *mono.Scope) { queue.Handle(s, nothing) }})
	starts(t, app)()
}
