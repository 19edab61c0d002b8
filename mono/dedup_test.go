package mono_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

var (
	dedupJobs          = mono.NewQueue[job]("dedup.jobs", mono.MaxAttempts(1))
	dedupHistory       = mono.NewStream[job]("dedup.history").KeyedBy(job.key)
	dedupNonPersistent = mono.NewQueue[job]("dedup.non-persistent", mono.NonPersistent())
)

// dedup is an App with a sender and with a worker that fails jobs below 0. It collects
// the observations of duplicates.
type dedup struct {
	*mono.App
	t          *testing.T
	scope      *mono.Scope
	duplicates trace
	got        chan handled
}

func startDedup(t *testing.T, p path) *dedup {
	t.Helper()
	d := &dedup{App: p.app(t), t: t, got: make(chan handled, 100)}
	d.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if o, ok := o.(mono.MessageDeduplicated); ok {
			d.duplicates.add(fmt.Sprint(o.Module, " ", o.Handle.Name(), " ", o.ID, " ", o.Sequence))
		}
	}))
	d.Add(
		worker("worker", dedupJobs, d.got, func(h handled) error {
			if h.N < 0 {
				return errors.New("a negative job")
			}
			return nil
		}),
		module("reader", func(s *mono.Scope) { dedupHistory.Handle(s, nothing) }),
		module("sender", func(s *mono.Scope) {
			s.Use(dedupJobs, dedupHistory, dedupNonPersistent)
			d.scope = s
		}),
	)
	begin(t, d.App)
	return d
}

// enqueue sends a job from the module "sender".
func (d *dedup) enqueue(n int, opts ...mono.QueueSendOption) mono.Stored {
	d.t.Helper()
	stored, err := dedupJobs.With(opts...).EnqueueStored(d.t.Context(), d.scope, job{N: n})
	if err != nil {
		d.t.Fatal(err)
	}
	return stored
}

// A send with the id of a finished job or of a discarded dead letter succeeds and stores
// nothing. The duplicate is reported to the sender and to observers.
func TestEnqueueStoredReportsDuplicates(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		d := startDedup(t, p)
		done := d.enqueue(1, mono.DedupID("done"))
		if done != (mono.Stored{ID: "done", Sequence: 1}) {
			t.Errorf("the first: got %+v", done)
		}
		next(t, d.got)
		if again := d.enqueue(2, mono.DedupID("done")); again != (mono.Stored{ID: "done", Sequence: 1, Duplicate: true}) {
			t.Errorf("a finished job: got %+v", again)
		}
		if err := dedupJobs.With(mono.DedupID("done")).Enqueue(t.Context(), d, job{N: 3}); err != nil {
			t.Errorf("Enqueue: %v", err)
		}

		dead := d.enqueue(-1, mono.DedupID("dead"))
		next(t, d.got)
		l := awaitDeadLetters(t, dedupJobs.DeadLetters(d), 1)[0]
		if err := dedupJobs.DeadLetters(d).Discard(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if again := d.enqueue(4, mono.DedupID("dead")); again != (mono.Stored{ID: "dead", Sequence: dead.Sequence, Duplicate: true}) || dead.Duplicate {
			t.Errorf("a discarded dead letter: got %+v after %+v", again, dead)
		}

		late := d.enqueue(5, mono.DedupID("late"), mono.Delay(time.Hour))
		if again := d.enqueue(6, mono.DedupID("late"), mono.Delay(time.Hour)); late != (mono.Stored{ID: "late"}) || again != (mono.Stored{ID: "late", Duplicate: true}) {
			t.Errorf("a delayed job: got %+v after %+v", again, late)
		}
		random := d.enqueue(7)
		if h := next(t, d.got); h.N != 7 || h.id != random.ID || random.Sequence <= dead.Sequence || random.Duplicate {
			t.Errorf("without an id: got %+v, and %+v was handled", random, h)
		}
		want := []string{"sender dedup.jobs done 1", " dedup.jobs done 1", fmt.Sprint("sender dedup.jobs dead ", dead.Sequence), "sender dedup.jobs late 0"}
		if seen := d.duplicates.all(); !slices.Equal(seen, want) {
			t.Errorf("observed %q, want %q", seen, want)
		}
	})
}

// An append with an id that is stored already is a duplicate, also for Append and
// AppendAsync.
func TestAppendStoredReportsDuplicates(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		d := startDedup(t, p)
		one := dedupHistory.With(mono.DedupID("one"))
		for _, want := range []mono.Stored{{ID: "one", Sequence: 1}, {ID: "one", Sequence: 1, Duplicate: true}} {
			if got, err := one.AppendStored(t.Context(), d.scope, job{Key: "a"}); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
		if got, err := dedupHistory.AppendStored(t.Context(), d.scope, job{Key: "a"}); err != nil || got.Sequence != 2 || len(got.ID) != 32 || got.Duplicate {
			t.Errorf("without an id: got %+v, %v", got, err)
		}
		if err := one.Append(t.Context(), d.scope, job{Key: "a"}); err != nil {
			t.Error(err)
		}
		done := make(chan error, 1)
		if err := one.AppendAsync(t.Context(), d.scope, job{Key: "a"}, func(err error) { done <- err }); err != nil {
			t.Error(err)
		}
		if err := next(t, done); err != nil {
			t.Error(err)
		}
		want := slices.Repeat([]string{"sender dedup.history one 1"}, 3)
		if seen := d.duplicates.all(); !slices.Equal(seen, want) {
			t.Errorf("observed %q, want %q", seen, want)
		}
	})
}

// A message is stored once even if the acknowledgement of its first append is lost. Its
// sender gets the id, and the second attempt is not reported as a duplicate.
func TestStoredAfterALostAcknowledgement(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		var seen trace
		app := mono.New(&forgetful{b.connect(), false}, quiet(t))
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			if _, ok := o.(mono.MessageDeduplicated); ok {
				seen.add(fmt.Sprint(o))
			}
		}))
		got := make(chan handled, 10)
		app.Add(worker("worker", dedupJobs, got, succeed))
		begin(t, app)
		stored, err := dedupJobs.EnqueueStored(t.Context(), app, job{N: 1})
		if h := next(t, got); err != nil || stored.ID != h.id || stored.Sequence != 1 || stored.Duplicate {
			t.Errorf("got %+v, %v, and %+v was handled", stored, err, h)
		}
		if all := seen.all(); len(all) != 0 {
			t.Errorf("observed %q", all)
		}
	})
}

// If the outcome is unknown, the sender still gets the id, to send the message again.
func TestStoredHasTheIDIfOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := mono.New(&forgetful{inproc.New(inproc.Options{}), true}, quiet(t))
		got := make(chan handled, 10)
		app.Add(worker("worker", dedupJobs, got, succeed))
		begin(t, app)
		stored, err := dedupJobs.EnqueueStored(t.Context(), app, job{N: 1})
		if h := next(t, got); mono.OutcomeOf(err) != mono.OutcomeUnknown || err == nil || stored != (mono.Stored{ID: h.id}) {
			t.Errorf("got %+v, %v, and %+v was handled", stored, err, h)
		}
	})
}

// forgetful is a transport that loses the acknowledgement of the first append to each
// log, or of all appends if always is set.
type forgetful struct {
	transport.Transport
	always bool
}

func (f *forgetful) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	l, err := f.Transport.Log(ctx, c)
	return &forgetfulLog{Log: l, always: f.always}, err
}

type forgetfulLog struct {
	transport.Log
	always, lost bool
}

func (l *forgetfulLog) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	at, err := l.Log.Append(ctx, m, o)
	if l.lost && !l.always {
		return at, err
	}
	l.lost = true
	return transport.Appended{}, transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "the acknowledgement is lost")
}

// A send that stores nothing fails. The error comes without an id if nothing was sent.
func TestStoredOfFailedSend(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		d := startDedup(t, p)
		if got, err := dedupNonPersistent.EnqueueStored(t.Context(), d.scope, job{}); got != (mono.Stored{}) || mono.CodeOf(err) != mono.FailedPrecondition || mono.OutcomeOf(err) != mono.OutcomeNotDone {
			t.Errorf("a non-persistent queue: got %+v, %v", got, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := dedupJobs.EnqueueStored(ctx, d.scope, job{}); got != (mono.Stored{}) || mono.CodeOf(err) != mono.Canceled {
			t.Errorf("after the end of the context: got %+v, %v", got, err)
		}
		got, err := dedupHistory.With(mono.DedupID("one")).AppendStored(t.Context(), d.scope, job{Key: "not a key"})
		if got != (mono.Stored{}) || mono.CodeOf(err) != mono.InvalidArgument {
			t.Errorf("a bad key: got %+v, %v", got, err)
		}
	})
}

// The id that EnqueueStored returns identifies the job also after a restart of an
// embedded server, whether it was given or generated.
func TestStoredIDIsKeptOverARestart(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]mono.Queue[job]{
		"given":     mono.NewQueue[job]("dedup.kept").With(mono.DedupID("mine")),
		"generated": mono.NewQueue[job]("dedup.kept"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			run := func(send mono.Queue[job]) (stored mono.Stored) {
				server, err := embedded.Start(t.Context(), embedded.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				defer server.Shutdown(context.Background())
				tr, err := server.Connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got := make(chan handled, 10)
				backend{"embedded", func() transport.Transport { return tr }}.within(t, func(app *mono.App) {
					if stored, err = send.EnqueueStored(t.Context(), app, job{}); err != nil {
						t.Fatal(err)
					}
					if !stored.Duplicate {
						next(t, got)
					}
				}, worker("worker", q, got, succeed))
				return stored
			}
			first := run(q)
			if again := run(q.With(mono.DedupID(first.ID))); !again.Duplicate {
				t.Errorf("the job was stored again: %+v after %+v", again, first)
			}
		})
	}
}

// A durable event with an id is stored once. An event that is not stored is delivered each time.
func TestDedupIDOfEvents(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		durable, plain := mono.NewEvent[job]("dedup.told", mono.Durable()), mono.NewEvent[job]("dedup.plain")
		stored, delivered := make(chan int, 10), make(chan string, 10)
		app := b.start(t, module("m", func(s *mono.Scope) {
			durable.Handle(s, func(_ context.Context, j job) error { stored <- j.N; return nil })
			plain.Handle(s, func(ctx context.Context, j job) error { delivered <- mono.CallFrom(ctx).ID(); return nil })
		}))
		for n, id := range []string{"one", "one", "two"} {
			if err := durable.With(mono.DedupID(id)).Publish(t.Context(), app, job{N: n}); err != nil {
				t.Error(err)
			}
			if err := plain.With(mono.DedupID(id)).Publish(t.Context(), app, job{N: n}); err != nil {
				t.Error(err)
			}
		}
		if got := []int{next(t, stored), next(t, stored)}; !slices.Equal(got, []int{0, 2}) {
			t.Errorf("handled %v", got)
		}
		if got := []string{next(t, delivered), next(t, delivered), next(t, delivered)}; !slices.Equal(got, []string{"one", "one", "two"}) {
			t.Errorf("delivered %q", got)
		}
		none(t, stored)
	})
}
