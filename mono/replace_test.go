package mono_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gomono.dev/mono"
)

// carrier is a queue or a durable event that another one replaces.
type carrier struct {
	mono.Handle
	receive func(*mono.Scope, chan<- job)
	send    func(context.Context, mono.Binder, job) error
	stats   func(context.Context, mono.Binder) (mono.Stats, error)
	brief   bool // it stores nothing
}

func queueOf(name string, opts ...mono.QueueOption) carrier {
	q := mono.NewQueue[job](name, opts...)
	return carrier{q, func(s *mono.Scope, got chan<- job) { q.Handle(s, receiverOf(got)) }, q.Enqueue, q.Stats, len(opts) > 0}
}

func eventOf(name string) carrier {
	e := mono.NewEvent[job](name, mono.Durable())
	return carrier{e, func(s *mono.Scope, got chan<- job) { e.Handle(s, receiverOf(got)) }, e.Publish, e.Stats, false}
}

// carriers are the handles of a release: it receives from all, and sends each job to one of them.
type carriers struct {
	receives, sends []carrier
}

func (c carriers) send(ctx context.Context, app *mono.App, j job) error {
	return c.sends[j.N%len(c.sends)].send(ctx, app, j)
}

// Handles are replaced by others in three releases: one that receives from all, one that sends to the
// new ones, and one without the old ones. So a queue is split, merged with another one, moved to
// another address, or made one that stores nothing.
func TestReplaceHandles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ older, newer []carrier }{
		"split":  {[]carrier{queueOf("split.all")}, []carrier{queueOf("split.mails"), queueOf("split.bills")}},
		"merge":  {[]carrier{queueOf("merge.mails"), queueOf("merge.bills")}, []carrier{queueOf("merge.all")}},
		"move":   {[]carrier{queueOf("move.jobs")}, []carrier{queueOf("move.jobs-2")}},
		"event":  {[]carrier{eventOf("move.told")}, []carrier{eventOf("move.told-2")}},
		"brief":  {[]carrier{queueOf("brief.jobs")}, []carrier{queueOf("brief.jobs-2", mono.NonPersistent())}},
		"stored": {[]carrier{queueOf("stored.jobs", mono.NonPersistent())}, []carrier{queueOf("stored.jobs-2")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBackends(t, func(t *testing.T, b backend) { b.replace(t, c.older, c.newer) })
		})
	}
}

func (b backend) replace(t *testing.T, older, newer []carrier) {
	both := slices.Concat(older, newer)
	releases := []carriers{{older, older}, {both, older}, {both, newer}, {newer, newer}}
	got := make(chan job, 100)
	start := func(i int, receives bool) (app *mono.App, stop func()) {
		app = b.release(t, uint64(i), func(s *mono.Scope) {
			for _, c := range releases[i].sends {
				s.Use(c)
			}
			for _, c := range releases[i].receives {
				if receives {
					c.receive(s, got)
				}
			}
		})
		return app, starts(t, app)
	}
	n := 0
	send := func(i int, app *mono.App) {
		t.Helper()
		for range 2 { // one for each of two handles
			if err := releases[i].send(t.Context(), app, job{N: n}); err != nil {
				t.Errorf("release %d: %v", i+1, err)
			}
			n++
		}
	}
	arrive := func() {
		t.Helper()
		for range 2 {
			if j := next(t, got); j.N < n-2 || j.N >= n {
				t.Errorf("%d arrived, want %d or %d", j.N, n-2, n-1)
			}
		}
	}
	app, stop := start(0, true)
	runs := 0
	for _, deployed := range []int{1, 0, 1, 2, 1, 2, 3, 2, 3} { // each release is rolled back once
		other, stopOther := start(deployed, true)
		for i, sender := range map[int]*mono.App{runs: app, deployed: other} {
			send(i, sender)
			arrive()
		}
		stop()
		stopOther()
		for _, pair := range [][2]int{{runs, deployed}, {deployed, runs}} { // what the one has stored, the other one handles
			if slices.ContainsFunc(releases[pair[0]].sends, func(c carrier) bool { return c.brief }) {
				continue
			}
			sender, stopSender := start(pair[0], false)
			send(pair[0], sender)
			stopSender()
			_, stopReceiver := start(pair[1], true)
			arrive()
			stopReceiver()
		}
		app, stop = start(deployed, true)
		runs = deployed
		for _, c := range older { // nothing waits, so the next release may be without them
			if deployed != 2 || c.brief {
				continue
			}
			if s, err := c.stats(t.Context(), app); err != nil || s.Messages+s.Delayed+s.DeadLetters > 0 {
				t.Errorf("%s has %+v, %v", c.Name(), s, err)
			}
		}
	}
	stop()
}

// watchLogs returns the logs that a start reports as unused, with the numbers of their messages.
func watchLogs(app *mono.App) map[string]uint64 {
	logs := make(map[string]uint64)
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if l, ok := o.(mono.LogUnused); ok {
			logs[l.Log] = l.Messages
		}
	}))
	return logs
}

// A handle is removed in two releases: one that does not send, and one that has it in App.Removed,
// whose start reports what was left until the logs are deleted.
func TestRemoveAHandle(t *testing.T) {
	t.Parallel()
	jobs, told, ledger := mono.NewQueue[job]("gone.jobs"), mono.NewEvent[job]("gone.told", mono.Durable()), mono.NewStream[job]("gone.ledger").KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan job, 100)
		release := func(i int) *mono.App {
			app := b.release(t, uint64(i), func(s *mono.Scope) {
				if i == 1 {
					s.Use(jobs, told, ledger)
				}
				if i < 3 {
					jobs.Handle(s, func(ctx context.Context, j job) error {
						if j.N < 0 {
							return mono.Permanent(errors.New("negative"))
						}
						return receiverOf(got)(ctx, j)
					})
					told.Handle(s, receiverOf(got))
					ledger.Handle(s, receiverOf(got))
				}
			})
			if i == 3 {
				app.Removed(jobs, told, ledger)
			}
			return app
		}
		n := 0
		send := func(app *mono.App) {
			t.Helper()
			n++
			if err := errors.Join(jobs.Enqueue(t.Context(), app, job{n, "k"}), told.Publish(t.Context(), app, job{n, "k"}), ledger.Append(t.Context(), app, job{n, "k"})); err != nil {
				t.Error(err)
			}
		}
		arrive := func() {
			t.Helper()
			for range 3 {
				if j := next(t, got); j.N != n {
					t.Errorf("got %v, want %d", j, n)
				}
			}
		}
		first, second := release(1), release(2)
		stopFirst := starts(t, first)
		stopSecond := starts(t, second)
		send(first)
		arrive()
		stopSecond() // the roll-back
		send(first)
		arrive()
		stopFirst()

		// The last step is taken while an older sender runs, and messages wait.
		b.within(t, func(app *mono.App) {
			send(app)
			if err := jobs.Enqueue(t.Context(), app, job{-1, "k"}); err != nil {
				t.Error(err)
			}
		}, module("sender", func(s *mono.Scope) { s.Use(jobs, told, ledger) }))
		var log logBuffer
		early := mono.New(b.connect(), log.option()).Add(module("m", func(*mono.Scope) {}))
		early.Removed(jobs, told, ledger)
		logs := watchLogs(early)
		findings, err := early.Preflight(t.Context())
		starts(t, early)()
		if err != nil || len(findings) != 3 || logs["queues_gone_jobs"] != 2 || logs["events_gone_told"] != 1 || logs["streams_gone_ledger"] != 3 || len(logs) != 3 {
			t.Errorf("reported are %v, and the findings are %v, %v", logs, findings, err)
		}
		for _, want := range []string{
			"the handle is removed here, but its log exists: let a release that has the handle finish what waits, then when no process of a release with the handle runs, delete the log (on NATS: nats stream rm queues_gone_jobs); if the handle has another name now, declare that with mono.Formerly(\"gone.jobs\") instead",
			"if its history is not needed and a release that has the stream has handled it, then when no process of a release with the handle runs, delete the log (on NATS: nats stream rm streams_gone_ledger)",
		} {
			if !strings.Contains(strings.ReplaceAll(log.String(), `\"`, `"`), want) {
				t.Errorf("%s does not contain %q", log.String(), want)
			}
		}

		// The right way back: a release with the handles finishes what waits, beside the last one.
		second = release(2)
		stopSecond = starts(t, second)
		arrive()
		awaitDeadLetters(t, jobs.DeadLetters(second), 1)
		third := release(3)
		await(t, "the workers of the release before wait for jobs again", func() bool {
			findings, err := third.Preflight(t.Context())
			return err == nil && len(findings) == 1
		})
		logs = watchLogs(third)
		stopThird := starts(t, third)
		if len(logs) != 1 || logs["queues_gone_jobs__dead"] != 1 { // the others are in use
			t.Errorf("beside the release before, reported are %v", logs)
		}
		if _, err := jobs.DeadLetters(second).DiscardAll(t.Context(), mono.DeadLetterFilter{}); err != nil {
			t.Error(err)
		}
		stopSecond()
		stopThird()
		third = release(3)
		logs = watchLogs(third)
		stopThird = starts(t, third)
		if len(logs) != 4 || logs["queues_gone_jobs"]+logs["events_gone_told"]+logs["queues_gone_jobs__dead"] != 0 || logs["streams_gone_ledger"] != 3 {
			t.Errorf("reported are %v", logs)
		}
		stopThird()
		if b.name == "nats" {
			tools := newNATSTools(t, b)
			for log := range logs {
				if err := tools.js.DeleteStream(t.Context(), log); err != nil {
					t.Error(err)
				}
			}
			third = release(3)
			logs = watchLogs(third)
			starts(t, third)()
			if len(logs) > 0 {
				t.Errorf("after the deletion, reported are %v", logs)
			}
		}
		first = release(1) // even now a release with the handles works
		stopFirst = starts(t, first)
		send(first)
		arrive()
		stopFirst()
	})
}

// A removed handle is not used, and was stored.
func TestWrongRemovedHandles(t *testing.T) {
	t.Parallel()
	old, renamed, brief := mono.NewQueue[job]("gone.old"), mono.NewQueue[job]("gone.new", mono.Formerly("gone.old")), mono.NewQueue[job]("gone.brief", mono.NonPersistent())
	for _, used := range []mono.Queue[job]{old, renamed} {
		app := newApp(t).Add(module("m", func(s *mono.Scope) { s.Use(used) }))
		app.Removed(old)
		startRefused(t, app, "1 problem(s)", "queue gone.old: is declared as removed, and a module uses queue "+used.Name()+", declared at ", "replace_test.go:")
	}
	if got := panicOf(func() { newApp(t).Removed(brief) }); !strings.Contains(got, "queue gone.brief") || !strings.Contains(got, "not stored") {
		t.Errorf("got %q", got)
	}
}

// An event is durable no more. The releases run beside each other: each one's subscribers get what
// both publish, and the group of the older one gets what was published while it was away.
func TestRemoveDurability(t *testing.T) {
	t.Parallel()
	durable, plain := mono.NewEvent[job]("fleeting.told", mono.Durable()), mono.NewEvent[job]("fleeting.told")
	onBackends(t, func(t *testing.T, b backend) {
		older, newer := make(chan job, 10), make(chan job, 10)
		start := func(e mono.Event[job], got chan<- job) (*mono.App, map[string]uint64, func()) {
			app := b.release(t, 1, func(s *mono.Scope) { e.Handle(s, receiverOf(got)) })
			logs := watchLogs(app)
			return app, logs, starts(t, app)
		}
		first, _, stopFirst := start(durable, older)
		second, logs, stopSecond := start(plain, newer)
		if _, reported := logs["events_fleeting_told"]; !reported {
			t.Errorf("reported are %v", logs)
		}
		for n, send := range []func() error{
			func() error { return durable.Publish(t.Context(), first, job{N: 0}) },
			func() error { return plain.Publish(t.Context(), second, job{N: 1}) },
		} {
			if err := send(); err != nil {
				t.Error(err)
			}
			for _, got := range []chan job{older, newer} {
				if j := next(t, got); j.N != n {
					t.Errorf("got %v, want %d", j, n)
				}
			}
		}
		stopFirst()
		if err := plain.Publish(t.Context(), second, job{N: 2}); err != nil {
			t.Error(err)
		}
		next(t, newer)
		stopSecond() // the roll-back
		_, _, stopFirst = start(durable, older)
		if j := next(t, older); j.N != 2 {
			t.Errorf("after the roll-back it got %v", j)
		}
		stopFirst()
	})
}
