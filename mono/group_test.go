package mono_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

// deleteGroup deletes a group through a separate Transport.
func deleteGroup(t *testing.T, b backend, log, group string) {
	t.Helper()
	tr := b.connect()
	defer tr.Close(context.Background())
	l, err := tr.Log(t.Context(), transport.LogConfig{Name: log, Subjects: []string{"of." + log}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.DeleteGroup(t.Context(), group); err != nil {
		t.Fatal(err)
	}
}

// watchGroups returns channels with the observations of lost and restored groups.
func watchGroups(app *mono.App) (lost <-chan mono.GroupLost, restored <-chan mono.GroupRestored) {
	l, r := make(chan mono.GroupLost, 10), make(chan mono.GroupRestored, 10)
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		switch o := o.(type) {
		case mono.GroupLost:
			l <- o
		case mono.GroupRestored:
			r <- o
		}
	}))
	return l, r
}

// A worker reports the deletion and the recreation of its group. Jobs accepted after the
// recreation are not lost.
func TestDeletedGroupOfAQueueIsRecreated(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("group.jobs")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 100)
		app := b.app(t, worker("worker", q, got, succeed))
		lost, restored := watchGroups(app)
		begin(t, app)
		for round := range 3 {
			deleteGroup(t, b, "queues_group_jobs", mono.DefaultGroup)
			if g := next(t, lost); g.Module != "worker" || g.Group != mono.DefaultGroup || g.Handle.Name() != q.Name() || mono.CodeOf(g.Err) != mono.NotFound {
				t.Errorf("got %+v", g)
			}
			if g := next(t, restored); g.Module != "worker" || g.Group != mono.DefaultGroup || g.Handle.Name() != q.Name() {
				t.Errorf("got %+v", g)
			}
			if h := app.Health(t.Context()); !h.Healthy {
				t.Errorf("the health is %+v", h)
			}
			for n := range 10 {
				if err := q.Enqueue(t.Context(), app, job{N: 100*round + n}); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 10 {
				if h := next(t, got); h.N != 100*round+n || h.attempt != 1 {
					t.Errorf("got %+v", h)
				}
			}
		}
	})
}

// The subscriber recreates the deleted group of a durable event. The publisher does not know
// the groups.
func TestDeletedGroupOfAnEventIsRecreated(t *testing.T) {
	t.Parallel()
	e := mono.NewEvent[job]("group.announced", mono.Durable())
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan int, 100)
		publisher := b.start(t, module("publisher", func(s *mono.Scope) { s.Use(e) }))
		app := b.app(t, module("subscriber", func(s *mono.Scope) {
			e.Handle(s, func(_ context.Context, j job) error { got <- j.N; return nil })
		}))
		lost, restored := watchGroups(app)
		begin(t, app)
		deleteGroup(t, b, "events_group_announced", "subscriber")
		next(t, lost)
		next(t, restored)
		for n := range 10 {
			if err := e.Publish(t.Context(), publisher, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 10 {
			if m := next(t, got); m != n {
				t.Errorf("got %d, want %d", m, n)
			}
		}
	})
}

// A process that only sends recreates a group that is deleted while no worker runs.
func TestSenderRecreatesADeletedGroup(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("group.unattended")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 1000)
		sender := b.start(t, module("sender", func(s *mono.Scope) { s.Use(q) }))
		b.within(t, func(*mono.App) {}, worker("worker", q, got, succeed))
		deleteGroup(t, b, "queues_group_unattended", mono.DefaultGroup)
		b.awaitGroup(t, "queues_group_unattended", mono.DefaultGroup)
		for n := range 10 {
			if err := q.Enqueue(t.Context(), sender, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		b.start(t, worker("worker", q, got, succeed))
		for n := range 10 {
			if h := next(t, got); h.N != n {
				t.Errorf("got %+v, want %d", h, n)
			}
		}
	})
}

// awaitGroup waits until a group exists.
func (b backend) awaitGroup(t *testing.T, log, group string) {
	t.Helper()
	tr := b.connect()
	defer tr.Close(context.Background())
	l, err := tr.Log(t.Context(), transport.LogConfig{Name: log, Subjects: []string{"of." + log}})
	if err != nil {
		t.Fatal(err)
	}
	realtime.Until(t, "group "+group+" of "+log+" exists", func() bool {
		groups, err := l.Groups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(groups, func(g transport.GroupInfo) bool { return g.Config.Name == group })
	})
}

// A program recreates its group after another program has deleted it with DeleteGroup.
func TestGroupDeletedWhileAnotherProcessDeclaresIt(t *testing.T) {
	t.Parallel()
	old := mono.NewQueue[job]("group.shared", mono.Groups("a", "b"))
	now := mono.NewQueue[job]("group.shared", mono.Groups("a"))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		running := b.app(t, worker("b", old, got, succeed))
		lost, restored := watchGroups(running)
		begin(t, running)
		newer := b.start(t, worker("a", now, make(chan handled, 10), succeed))
		if err := mono.DeleteGroup(t.Context(), newer, now, "b"); mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), "mono.Force") {
			t.Errorf("the group of a running program was deleted: %v", err)
		}
		none(t, lost)
		if err := mono.DeleteGroup(t.Context(), newer, now, "b", mono.Force()); err != nil {
			t.Fatal(err)
		}
		next(t, lost)
		next(t, restored)
		if err := now.Enqueue(t.Context(), newer, job{N: 7}); err != nil {
			t.Fatal(err)
		}
		if h := next(t, got); h.N != 7 {
			t.Errorf("got %+v", h)
		}
	})
}

// refusing is an App on a server that rejects new groups while refuses is set.
type refusing struct {
	*mono.App
	b       backend
	refuses atomic.Bool
}

func newRefusing(t *testing.T, modules ...mono.Module) *refusing {
	r := &refusing{}
	o := embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)}
	o.Client.Consumer = func(_, _ string, c *jetstream.ConsumerConfig) {
		if r.refuses.Load() {
			c.MaxDeliver = 1
		}
	}
	server, err := embedded.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	r.b = backend{"nats", func() transport.Transport {
		tr, err := server.Connect(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}}
	r.App = r.b.app(t, modules...)
	return r
}

// While a deleted group cannot be recreated, its module is unhealthy and sends fail.
func TestDeletedGroupThatCannotBeRecreated(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("group.refused")
	got := make(chan handled, 10)
	app := newRefusing(t, worker("worker", q, got, succeed))
	lost, restored := watchGroups(app.App)
	begin(t, app.App)
	app.refuses.Store(true)
	deleteGroup(t, app.b, "queues_group_refused", mono.DefaultGroup)
	next(t, lost)
	await(t, "health to report the reason", func() bool {
		c := app.Health(t.Context()).Modules["worker"]
		return !c.Healthy && strings.Contains(c.Message, `"workers" is gone and cannot be recreated yet`)
	})
	var err error
	await(t, "senders to fail", func() bool { err = q.Enqueue(t.Context(), app, job{}); return err != nil })
	if mono.CodeOf(err) != mono.Unavailable || mono.OutcomeOf(err) != mono.OutcomeNotDone || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("got %v", err)
	}
	none(t, restored)
	app.refuses.Store(false)
	next(t, restored)
	await(t, "senders to succeed", func() bool { return q.Enqueue(t.Context(), app, job{N: 7}) == nil })
	for next(t, got).N != 7 {
	}
	if h := app.Health(t.Context()); !h.Healthy {
		t.Errorf("the health is %+v", h)
	}
}

// await polls until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	realtime.Until(t, what, holds)
}

// Stop ends the attempts to recreate a group.
func TestStopDuringTheRecreationOfAGroup(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("group.stopped")
	app := newRefusing(t, worker("worker", q, make(chan handled, 10), succeed))
	lost, restored := watchGroups(app.App)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	app.refuses.Store(true)
	deleteGroup(t, app.b, "queues_group_stopped", mono.DefaultGroup)
	next(t, lost)
	if err := app.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	none(t, restored)
}

// All groups exist before the first module starts: an event published in a Start reaches
// modules that start later.
func TestDurableEventOfAStartReachesLaterModules(t *testing.T) {
	t.Parallel()
	e := mono.NewEvent[job]("group.early", mono.Durable())
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan int, 1)
		var publish mono.Publisher[job]
		b.start(t, &lifecycle{
			name:  "early",
			bind:  func(s *mono.Scope) error { publish = e.Publisher(s); return nil },
			start: func(ctx context.Context) error { return publish(ctx, job{N: 7}) },
		}, module("later", func(s *mono.Scope) {
			e.Handle(s, func(_ context.Context, j job) error { got <- j.N; return nil })
		}))
		if n := next(t, got); n != 7 {
			t.Errorf("got %d", n)
		}
	})
}

// The deletion of one partition of a stream's group ends the receiver. Appends still
// succeed.
func TestDeletedPartitionOfAStream(t *testing.T) {
	t.Parallel()
	b := backend{"nats", natsBackend(t)}
	st := mono.NewStream[job]("group.ledger", mono.Partitions(4)).KeyedBy(job.key)
	app := b.app(t, consumer("keeper", st, make(chan handled, 10), succeed))
	lost, restored := watchGroups(app)
	begin(t, app)
	if err := newNATSTools(t, b).js.DeleteConsumer(t.Context(), "streams_group_ledger", "keeper_partition_2"); err != nil {
		t.Fatal(err)
	}
	if g := next(t, lost); g.Group != "keeper" {
		t.Errorf("got %+v", g)
	}
	await(t, "health to report the remedy", func() bool {
		c := app.Health(t.Context()).Modules["keeper"]
		return !c.Healthy && strings.Contains(c.Message, "restart the App") && strings.Contains(c.Message, "mono.From")
	})
	for n := range 10 {
		if err := st.Append(t.Context(), app, job{N: n, Key: string(rune('a' + n))}); err != nil {
			t.Error(err)
		}
	}
	n := 0
	for range st.Read(t.Context(), app) {
		n++
	}
	if n != 10 {
		t.Errorf("%d messages are stored, want 10", n)
	}
	none(t, restored)
}

// lossy is a transport whose groups accept one member. The test ends it through lose.
type lossy struct {
	transport.Transport
	joins atomic.Int32
	lose  chan func(error) // OnEnd of the member
}

func (l *lossy) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	log, err := l.Transport.Log(ctx, c)
	return lossyLog{log, l}, err
}

type lossyLog struct {
	transport.Log
	*lossy
}

func (l lossyLog) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	if l.joins.Add(1) > 1 {
		return nil, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "not now")
	}
	l.lose <- c.OnEnd
	return l.Log.Consume(ctx, c, h)
}

// A receiver tries to rejoin its group once a second until Stop. A goroutine that continued
// would keep the synctest bubble from ending.
func TestRejoiningEndsWithStop(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("group.rejoined")
	synctest.Test(t, func(t *testing.T) {
		tr := &lossy{Transport: inproc.New(inproc.Options{}), lose: make(chan func(error), 1)}
		app := mono.New(tr, quiet(t))
		app.Add(worker("worker", q, make(chan handled, 1), succeed))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		(<-tr.lose)(mono.Errorf(mono.NotFound, "deleted"))
		<-time.After(time.Minute)
		if n := tr.joins.Load(); n < 60 || n > 62 {
			t.Errorf("%d attempts in a minute", n)
		}
		if c := app.Health(t.Context()).Modules["worker"]; c.Healthy || !strings.Contains(c.Message, "not now") {
			t.Errorf("the health is %+v", c)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A worker recreates a log that was deleted with its group, and senders go on.
func TestDeletedLogOfAQueueIsRecreated(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("group.log")
	b := backend{"nats", natsBackend(t)}
	js := newNATSTools(t, b).js
	got := make(chan handled, 100)
	app := b.app(t, worker("worker", q, got, succeed))
	lost, restored := watchGroups(app)
	begin(t, app)
	for round := range 2 {
		if err := js.DeleteStream(t.Context(), "queues_group_log"); err != nil {
			t.Fatal(err)
		}
		next(t, lost)
		next(t, restored)
		if err := q.Enqueue(t.Context(), app, job{N: round}); err != nil {
			t.Fatal(err)
		}
		if h := next(t, got); h.N != round || h.attempt != 1 {
			t.Errorf("got %+v", h)
		}
		if h := app.Health(t.Context()); !h.Healthy {
			t.Errorf("the health is %+v", h)
		}
	}
}
