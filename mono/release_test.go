package mono_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// release returns an App of a release of a program.
func (b backend) release(t testing.TB, generation uint64, bind func(*mono.Scope)) *mono.App {
	return mono.New(b.connect(), quiet(t), mono.Generation(generation)).Add(module("m", bind))
}

// starts starts an App and returns a function that stops it.
func starts(t testing.TB, app *mono.App) (stop func()) {
	t.Helper()
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// startRefused fails the test unless an App does not start, for a reason with all parts.
func startRefused(t testing.TB, app *mono.App, parts ...string) {
	t.Helper()
	err := app.Start(t.Context())
	_ = app.Stop(context.Background())
	if err == nil {
		t.Fatalf("the App has started, want an error with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not contain %q", err, part)
		}
	}
}

// Releases of a durable event, and of a stream without order, with and without a key run beside
// each other, and after a roll-back. Whoever is there gets all messages.
func TestReleasesWithAndWithoutAKey(t *testing.T) {
	t.Parallel()
	event := mono.NewEvent[job]("release.told", mono.Durable())
	stream := mono.NewStream[job]("release.kept", mono.Unordered())
	onBackends(t, func(t *testing.T, b backend) {
		for _, handled := range []bool{true, false} {
			got := make(chan int, 100)
			take := func(_ context.Context, j job) error { got <- j.N; return nil }
			bind := func(e mono.Event[job], s mono.Stream[job]) func(*mono.Scope) {
				return func(sc *mono.Scope) {
					sc.Use(e, s)
					if handled {
						e.Handle(sc, take)
						s.Handle(sc, take)
					}
				}
			}
			n := 0
			send := func(app *mono.App, e mono.Event[job], s mono.Stream[job]) {
				t.Helper()
				if err := errors.Join(e.Publish(t.Context(), app, job{n, "k"}), s.Append(t.Context(), app, job{n + 1, "k"})); err != nil {
					t.Error(err)
				}
				n += 2
			}
			keyedEvent, keyedStream := event.KeyedBy(job.key), stream.KeyedBy(job.key)
			first := b.release(t, 1, bind(event, stream))
			stopFirst := starts(t, first)
			send(first, event, stream)
			second := b.release(t, 2, bind(keyedEvent, keyedStream))
			stopSecond := starts(t, second)
			send(second, keyedEvent, keyedStream)
			send(first, event, stream)
			stopFirst()
			send(second, keyedEvent, keyedStream)
			read := 0
			for m, err := range keyedStream.Read(t.Context(), second) {
				if read++; err != nil || m.Key != "" && m.Key != "k" {
					t.Errorf("read %+v, %v", m, err)
				}
			}
			stopSecond()
			first = b.release(t, 1, bind(event, stream))
			stopFirst = starts(t, first)
			send(first, event, stream)
			for range stream.Read(t.Context(), first) {
				read++
			}
			if handled {
				if want := 4 + 5; read != want {
					t.Errorf("the two releases read %d messages, want %d", read, want)
				}
				var all []int
				for range n {
					all = append(all, next(t, got))
				}
				if slices.Sort(all); len(slices.Compact(all)) != n {
					t.Errorf("handled %v, want 0 to %d", all, n-1)
				}
			}
			stopFirst()
		}
	})
}

// Whichever release of a stream cannot work is refused at its start, also if it only sends.
func TestReleasesInAnotherOrderAreRefused(t *testing.T) {
	t.Parallel()
	plain := mono.NewStream[job]("release.ordered")
	keyed := plain.KeyedBy(job.key)
	sends := func(s mono.Stream[job]) func(*mono.Scope) { return func(sc *mono.Scope) { sc.Use(s) } }
	handles := func(s mono.Stream[job]) func(*mono.Scope) {
		return func(sc *mono.Scope) { s.Handle(sc, nothing) }
	}
	onBackends(t, func(t *testing.T, b backend) {
		starts(t, b.release(t, 1, sends(plain)))()
		for _, bind := range []func(*mono.Scope){sends(keyed), handles(keyed)} {
			startRefused(t, b.release(t, 2, bind), "stream release.ordered", "mono.Unordered(), or without a key", "mono.Partitions(16)")
		}
	})
	onBackends(t, func(t *testing.T, b backend) {
		starts(t, b.release(t, 2, handles(keyed)))()
		for _, bind := range []func(*mono.Scope){sends(plain), handles(plain)} {
			startRefused(t, b.release(t, 1, bind), "stream release.ordered", "streams.release.ordered._k.*", "mono.Partitions")
		}
	})
}

// A program that only sends changes the options of a log, until a receiver of its release or of a
// later one declares others.
func TestSenderChangesOptions(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		for _, step := range []struct {
			receives         bool
			generation       uint64
			declared, stored uint64
		}{{false, 1, 3, 3}, {false, 2, 10, 10}, {false, 1, 4, 10}, {true, 2, 5, 5}, {false, 2, 6, 5}, {true, 1, 7, 5}, {false, 3, 8, 8}} {
			queue := mono.NewQueue[job]("release.jobs", mono.MaxPending(step.declared))
			stream := mono.NewStream[job]("release.said", mono.MaxPerKey(step.declared)).KeyedBy(job.key)
			app := b.release(t, step.generation, func(s *mono.Scope) {
				s.Use(queue, stream)
				if step.receives {
					queue.Handle(s, nothing)
					stream.Handle(s, nothing)
				}
			})
			stop := starts(t, app)
			limits := []uint64{configOf(t, app, "queues_release_jobs").MaxMessages, configOf(t, app, "streams_release_said").MaxPerSubject}
			if want := []uint64{step.stored, step.stored}; !slices.Equal(limits, want) {
				t.Errorf("%+v: the limits are %v", step, limits)
			}
			stop()
		}
	})
}

// configOf returns the configuration of a log.
func configOf(t testing.TB, app *mono.App, name string) transport.LogConfig {
	t.Helper()
	log, err := mono.Raw(app).Log(t.Context(), transport.LogConfig{Name: name, Subjects: []string{"none." + name}, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	info, err := log.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.Config
}

// A queue that stores nothing does not start on the log of a release that stored it, which would
// accept jobs without a worker. A sender that runs when such a release comes back is told.
func TestNonPersistentQueueWithALog(t *testing.T) {
	t.Parallel()
	stored, volatile := mono.NewQueue[job]("release.volatile"), mono.NewQueue[job]("release.volatile", mono.NonPersistent())
	bind := func(q mono.Queue[job]) func(*mono.Scope) { return func(s *mono.Scope) { s.Use(q) } }
	onBackends(t, func(t *testing.T, b backend) {
		const sent = 20
		got := make(chan job, 2*sent)
		second := b.release(t, 2, func(s *mono.Scope) {
			volatile.Handle(s, func(_ context.Context, j job) error { got <- j; return nil })
		})
		stop := starts(t, second)
		first := b.release(t, 1, bind(stored))
		stopFirst := starts(t, first)
		for n := range sent { // the worker gets them, and the log does not
			if err := volatile.Enqueue(t.Context(), second, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for range sent {
			next(t, got)
		}
		if err := stored.Enqueue(t.Context(), first, job{}); err != nil {
			t.Error(err)
		}
		stop()
		stopFirst()
		startRefused(t, b.release(t, 2, bind(volatile)), "queue release.volatile", "its log queues_release_volatile exists with 1 jobs", "let a release that stores the queue finish them, then delete the log")
	})
}

// An event that is not durable any more is reported as long as its log stores it.
func TestEventThatIsNotDurableAnyMore(t *testing.T) {
	t.Parallel()
	durable, plain := mono.NewEvent[job]("release.fleeting", mono.Durable()), mono.NewEvent[job]("release.fleeting")
	onBackends(t, func(t *testing.T, b backend) {
		bind := func(e mono.Event[job]) func(*mono.Scope) { return func(s *mono.Scope) { e.Handle(s, nothing) } }
		starts(t, b.release(t, 1, bind(durable)))()
		for want := range uint64(2) {
			app := b.release(t, 2, bind(plain))
			var unused []mono.LogUnused
			app.Observe(mono.ObserverFunc(func(o mono.Observation) {
				if u, ok := o.(mono.LogUnused); ok {
					unused = append(unused, u)
				}
			}))
			stop := starts(t, app)
			if len(unused) != 1 || unused[0].Handle.Name() != "release.fleeting" || unused[0].Log != "events_release_fleeting" || unused[0].Messages != want {
				t.Errorf("reported are %+v, want %d messages", unused, want)
			}
			if err := plain.Publish(t.Context(), app, job{}); err != nil {
				t.Error(err)
			}
			log, err := mono.Raw(app).Log(t.Context(), transport.LogConfig{Name: "events_release_fleeting", Subjects: []string{"none"}, Existing: true})
			if err != nil {
				t.Fatal(err)
			}
			realtime.Until(t, "the event is stored", func() bool {
				info, err := log.Info(t.Context())
				return err == nil && info.Messages == want+1
			})
			stop()
		}
	})
}

// durableInproc is a transport whose logs outlive the process, as far as mono knows.
type durableInproc struct{ transport.Transport }

func (d durableInproc) Capabilities() transport.Capabilities {
	can := d.Transport.Capabilities()
	can.Durable = true
	return can
}

// A binary without a generation is told so if it stores anything that outlives it.
func TestGenerationOfABinaryWithoutOne(t *testing.T) {
	t.Parallel()
	stored, plain := mono.NewQueue[job]("generation.jobs"), mono.NewEvent[job]("generation.plain")
	backend := inproc.NewBackend(inproc.Options{})
	for _, c := range []struct {
		transport transport.Transport
		handle    mono.Handle
		options   []mono.AppOption
		want      bool
	}{
		{durableInproc{backend.Connect()}, stored, nil, true},
		{durableInproc{backend.Connect()}, plain, nil, false},
		{backend.Connect(), stored, nil, false},
		{durableInproc{backend.Connect()}, stored, []mono.AppOption{mono.Generation(0)}, false},
		{durableInproc{backend.Connect()}, stored, []mono.AppOption{mono.Generation(7)}, false},
	} {
		var log logBuffer
		app := mono.New(c.transport, append(c.options, log.option())...)
		app.Add(module("m", func(s *mono.Scope) { s.Use(c.handle) }))
		starts(t, app)()
		if got := strings.Contains(log.String(), "build it with -buildvcs=true, or set mono.Generation"); got != c.want {
			t.Errorf("%s with %d options: a warning %t, want %t\n%s", c.handle.Name(), len(c.options), got, c.want, log.String())
		}
	}
}

// The advice about a group that is not declared any more lets its messages be finished.
func TestAdviceFinishesTheMessagesOfARemovedGroup(t *testing.T) {
	t.Parallel()
	one, two := mono.NewQueue[job]("advice.jobs"), mono.NewQueue[job]("advice.jobs", mono.Groups("a", "b"))
	all := mono.NewQueue[job]("advice.jobs", mono.Groups("a", "b", "workers"))
	onBackends(t, func(t *testing.T, b backend) {
		b.within(t, func(app *mono.App) {
			if err := one.Enqueue(t.Context(), app, job{N: 1}); err != nil {
				t.Error(err)
			}
		}, module("m", func(s *mono.Scope) { s.Use(one) }))
		var log logBuffer
		app := mono.New(b.connect(), log.option()).Add(module("m", func(s *mono.Scope) { s.Use(two) }))
		starts(t, app)()
		if want := `add \"workers\" to mono.Groups and handle the queue with mono.Group(\"workers\") too`; !strings.Contains(log.String(), want) {
			t.Errorf("%s does not contain %s", log.String(), want)
		}
		done := make(chan job, 1)
		stop := starts(t, b.app(t, module("m", func(s *mono.Scope) {
			all.Handle(s, func(_ context.Context, j job) error { done <- j; return nil }, mono.Group("workers"))
		})))
		if j := next(t, done); j.N != 1 {
			t.Errorf("got %v", j)
		}
		stop()
	})
}
