package mono_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/objstore"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// limitedConfig is the configuration of a server whose account has limits, and a user with denied
// subjects.
const limitedConfig = `
accounts: {
	APP: {
		jetstream: {max_memory: 3000000, max_streams: 12, max_consumers: 20, mem_max_stream_bytes: 1MB}
		users: [
			{user: admin, password: admin}
			{user: app, password: app, permissions: {publish: {deny: ["events.paid", "services.quote.secret"]}, subscribe: {deny: ["services.quote"]}}}
		]
	}
}
`

var silent = slog.New(slog.DiscardHandler)

// limitedServer is a server with the configuration, and an administrator's connection.
type limitedServer struct {
	*embedded.Server
	js jetstream.JetStream
}

func newLimitedServer(t *testing.T) *limitedServer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(limitedConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Listen: "127.0.0.1:0", ConfigFile: file, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("admin", "admin"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &limitedServer{s, js}
}

func (s *limitedServer) connect(t *testing.T, user string) transport.Transport {
	t.Helper()
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, User: user, Password: user, Memory: true, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// state returns everything that the server stores, as text.
func (s *limitedServer) state(t *testing.T) []string {
	t.Helper()
	var all []string
	note := func(is any) {
		text, err := json.Marshal(is)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	streams := s.js.ListStreams(t.Context())
	for is := range streams.Info() {
		is.TimeStamp, is.Sources = time.Time{}, nil // when the server last copied
		note(is)
		stream, err := s.js.Stream(t.Context(), is.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		for c := range stream.ListConsumers(t.Context()).Info() {
			c.TimeStamp, c.PushBound = time.Time{}, false // the server binds its own later
			note(c)
		}
	}
	if streams.Err() != nil {
		t.Fatal(streams.Err())
	}
	slices.Sort(all)
	return all
}

// keep deletes all streams but some.
func (s *limitedServer) keep(t *testing.T, seeds []string) {
	t.Helper()
	names := s.js.StreamNames(t.Context())
	for name := range names.Name() {
		if !slices.Contains(seeds, name) {
			if err := s.js.DeleteStream(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
	}
}

// lack is something that the server does not have, and the module that needs it.
type lack struct {
	name    string
	bind    func(*mono.Scope)
	finding []string // parts of the text: object, need, and remedy
	start   []string // parts of the error of Start; nil if the App starts nevertheless
	runs    func(t *testing.T, app *mono.App, seen *seenLacks)
}

type seenLacks struct{ observed chan mono.Observation }

func (s *seenLacks) Observe(o mono.Observation) {
	select {
	case s.observed <- o:
	default:
	}
}

// Preflight lists, in one call and without a change of the server, everything that fails later.
func TestPreflightListsTenLacks(t *testing.T) {
	t.Parallel()
	s := newLimitedServer(t)
	paid := mono.NewEvent[job]("paid")
	quote := mono.NewService[job, job]("quote")
	ledger := mono.NewStream[job]("ledger").KeyedBy(job.key)
	mail := mono.NewQueue[job]("mail")
	jobs := mono.NewQueue[job]("jobs")
	cheap := mono.NewQueue[job]("cheap", mono.NonPersistent())
	wide := mono.NewStream[job]("wide", mono.Partitions(32)).KeyedBy(job.key)
	big := mono.NewStream[job]("big", mono.MaxBytes(1_050_000))
	huge := []kv.Bucket[string]{kv.NewBucket[string]("huge-a", kv.MaxBytes(900_000)), kv.NewBucket[string]("huge-b", kv.MaxBytes(900_000))}
	copies := kv.NewBucket[string]("copies", kv.Replicas(3))
	large := kv.NewBucket[string]("large", kv.MaxValue(2<<20))
	var values *kv.KeyValue[string]
	more := []mono.Queue[job]{mono.NewQueue[job]("more.a"), mono.NewQueue[job]("more.b"), mono.NewQueue[job]("more.c")}
	told := mono.NewEvent[job]("told", mono.Durable())
	lacks := []lack{
		{
			"publish", func(s *mono.Scope) { paid.Publisher(s) },
			[]string{"event paid: ", `permission to publish to ["events.paid"]`, `user "app" of account "APP"`, "allow it in the user's permissions"}, nil,
			func(t *testing.T, app *mono.App, seen *seenLacks) {
				if err := paid.Publish(t.Context(), app, job{}); err != nil {
					t.Fatal(err)
				}
				for o := range seen.observed {
					if _, denied := o.(mono.SendDenied); denied {
						return
					}
				}
			},
		},
		{
			"subscribe", func(s *mono.Scope) {
				quote.Handle(s, func(_ context.Context, j job) (job, error) { return j, nil })
			},
			[]string{"service quote: ", `permission to subscribe to ["services.quote"]`, "allow it in the user's permissions"},
			[]string{`denies subscribing to "services.quote"`}, nil,
		},
		{
			"streams", func(s *mono.Scope) { s.Use(more[0], more[1], more[2]) },
			[]string{"more streams (", "queues_more_a", "the account has 9 streams of at most 12", "max_streams"},
			[]string{"maximum number of streams reached"}, nil,
		},
		{
			"another form", func(s *mono.Scope) { ledger.Handle(s, nothing) },
			[]string{"stream ledger: ", "its log as it is declared", "mono.Unordered()", "declare it as it exists"},
			[]string{"it exists with mono.Unordered()"}, nil,
		},
		{
			"overlap", func(s *mono.Scope) { s.Use(mail) },
			[]string{"queue mail: ", `a separate stream, queues_mail, for "queues.mail"`, "the stream archive stores this subject", "nats stream rm"},
			[]string{"subjects overlap"}, nil,
		},
		{
			"another consumer", func(s *mono.Scope) { jobs.Handle(s, nothing) },
			[]string{"queue jobs: ", "the pull consumer workers of the stream queues_jobs", "push consumer", "nats consumer rm queues_jobs workers"},
			[]string{"queue jobs"}, nil,
		},
		{
			"leftover", func(s *mono.Scope) { cheap.Handle(s, nothing) },
			[]string{"queue cheap: ", "no log queues_cheap", "with 1 jobs", "let a release that stores the queue finish them"},
			[]string{"its log queues_cheap exists with 1 jobs"}, nil,
		},
		{
			"consumers", func(s *mono.Scope) { wide.Handle(s, nothing) },
			[]string{"stream wide: ", "32 more consumers of the stream streams_wide", "0 consumers of at most 20", "max_consumers"},
			[]string{"maximum consumers limit reached"}, nil,
		},
		{
			"size of a stream", func(s *mono.Scope) { s.Use(big) },
			[]string{"stream big: ", "the stream streams_big with MaxBytes 1050000", "allows 1048576 bytes", "lower MaxBytes"},
			[]string{"exceeds account limit max stream bytes"}, nil,
		},
		{
			"replicas", func(s *mono.Scope) { copies.Open(s) },
			[]string{"bucket copies: ", "3 replicas of the stream KV_copies", "not in a cluster", "set Replicas to 1"},
			[]string{"replicas > 1 not supported"}, nil,
		},
		{
			"reserved", func(s *mono.Scope) { huge[0].Open(s); huge[1].Open(s) },
			[]string{"bytes of memory, reserved with MaxBytes for the streams", "KV_huge-b", "max_memory"},
			[]string{"insufficient memory resources"}, nil,
		},
		{
			"payload", func(s *mono.Scope) { values = large.Open(s) },
			[]string{"bucket large: ", "values of 2097152 bytes", "max_payload"}, nil,
			func(t *testing.T, _ *mono.App, _ *seenLacks) {
				if _, err := values.Put(t.Context(), "a", strings.Repeat("a", 3<<19)); mono.CodeOf(err) != mono.InvalidArgument {
					t.Errorf("a large value: %v", err)
				}
			},
		},
		{
			"unused group", func(s *mono.Scope) { s.Use(told) },
			[]string{"event told: ", `the group "gone"`, "mono.DeleteGroup"}, nil,
			func(t *testing.T, _ *mono.App, seen *seenLacks) {
				for o := range seen.observed {
					if _, unused := o.(mono.GroupUnused); unused {
						return
					}
				}
			},
		},
	}
	seeds := s.seed(t, told, mono.NewQueue[job]("cheap"), jobs, mono.NewStream[job]("ledger"))
	var modules []mono.Module
	for _, l := range lacks {
		modules = append(modules, module(strings.ReplaceAll(l.name, " ", "-"), l.bind))
	}
	before := s.state(t)
	app := mono.New(s.connect(t, "app"), quiet(t)).Add(modules...)
	findings, err := app.Preflight(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, is := range s.state(t) {
		if !slices.Contains(before, is) {
			t.Errorf("the server has changed: %s", is)
		}
	}
	for _, f := range findings {
		t.Log(f)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for i, l := range lacks {
		if !slices.ContainsFunc(findings, func(f mono.Finding) bool { return containsAll(f.String(), l.finding) && f.Remedy != "" }) {
			t.Errorf("%s: no finding has %q", l.name, l.finding)
		}
		s.showFailure(t, &lacks[i])
		s.keep(t, seeds)
	}
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// seed makes what earlier releases and other programs have left. It returns the names of the
// streams.
func (s *limitedServer) seed(t *testing.T, told mono.Event[job], cheap, jobs mono.Queue[job], ledger mono.Stream[job]) []string {
	t.Helper()
	old := mono.New(s.connect(t, "admin"), quiet(t)).Add(
		module("gone", func(s *mono.Scope) { told.Handle(s, nothing) }),
		module("old", func(s *mono.Scope) { s.Use(cheap, jobs, ledger) }),
	)
	stop := starts(t, old)
	if err := cheap.Enqueue(t.Context(), old, job{}); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := s.js.DeleteConsumer(t.Context(), "queues_jobs", mono.DefaultGroup); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.CreatePushConsumer(t.Context(), "queues_jobs", jetstream.ConsumerConfig{Durable: mono.DefaultGroup, DeliverSubject: "push", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	for name, subject := range map[string]string{"archive": "queues.mail", "records": "records"} {
		if _, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, Storage: jetstream.MemoryStorage, MaxBytes: 950_000}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for name := range s.js.StreamNames(t.Context()).Name() {
		names = append(names, name)
	}
	return names
}

// showFailure fails the test unless a lack makes the start of its module fail, or is noticed at
// run time.
func (s *limitedServer) showFailure(t *testing.T, l *lack) {
	t.Helper()
	seen := &seenLacks{make(chan mono.Observation, 100)}
	app := mono.New(s.connect(t, "app"), quiet(t)).Add(module("m", l.bind))
	app.Observe(seen)
	err := app.Start(t.Context())
	switch {
	case l.start == nil && err != nil:
		t.Errorf("%s: %v", l.name, err)
	case l.start == nil:
		l.runs(t, app, seen)
	case err == nil || !containsAll(err.Error(), l.start):
		t.Errorf("%s: the start returns %v, want an error with %q", l.name, err, l.start)
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Errorf("%s: %v", l.name, err)
	}
}

// systemOf returns modules that use every kind of handle and component.
func systemOf() []mono.Module {
	e, q, st := mono.NewEvent[job]("fit.told", mono.Durable()), mono.NewQueue[job]("fit.jobs"), mono.NewStream[job]("fit.ledger").KeyedBy(job.key)
	ask, plain := mono.NewService[job, job]("fit.ask"), mono.NewEvent[job]("fit.plain")
	bucket := kv.NewBucket[string]("fit", kv.MaxBytes(10_000))
	store := objstore.NewStore("fit")
	return []mono.Module{
		module("sends", func(s *mono.Scope) {
			s.Use(e, q, st, ask, plain)
			bucket.Open(s)
		}),
		module("receives", func(s *mono.Scope) {
			e.Handle(s, nothing)
			q.Handle(s, nothing)
			st.Handle(s, nothing)
			plain.Handle(s, nothing)
			ask.Handle(s, func(_ context.Context, j job) (job, error) { return j, nil })
			store.Open(s)
		}),
	}
}

// An App on a server that fits has no findings, before its first start and after it. Preflight does
// not keep the App from starting, and needs one that has not started.
func TestPreflightOfAFit(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		for range 2 {
			app := mono.New(b.connect(), quiet(t)).Add(systemOf()...)
			for range 2 {
				if findings, err := app.Preflight(t.Context()); len(findings) > 0 || err != nil {
					t.Errorf("got %v, %v", findings, err)
				}
			}
			stop := starts(t, app)
			if _, err := app.Preflight(t.Context()); mono.CodeOf(err) != mono.FailedPrecondition {
				t.Errorf("while the App runs: %v", err)
			}
			stop()
		}
	})
}

// What exists in another form, or is left by an earlier release, is found on each backend, and
// mistakes of the App beside it.
func TestPreflightOfAnotherRelease(t *testing.T) {
	t.Parallel()
	stored := mono.NewQueue[job]("again.cheap")
	old := module("old", func(s *mono.Scope) {
		s.Use(stored, mono.NewStream[job]("again.ledger"))
		mono.NewEvent[job]("again.told", mono.Durable()).Handle(s, nothing)
		mono.NewEvent[job]("again.plain", mono.Durable()).Handle(s, nothing)
		kv.NewBucket[string]("again").Open(s)
		objstore.NewStore("again").Open(s)
	})
	onBackends(t, func(t *testing.T, b backend) {
		b.within(t, func(*mono.App) {}, old)
		app := mono.New(b.connect(), quiet(t)).Add(module("m", func(s *mono.Scope) {
			s.Use(mono.NewQueue[job]("again.cheap", mono.NonPersistent()), mono.NewEvent[job]("again.told", mono.Durable()), mono.NewEvent[job]("again.plain"))
			s.Use(mono.NewStream[job]("again.ledger").KeyedBy(job.key))
			kv.NewBucket[string]("again", kv.Memory()).Open(s)
			kv.NewBucket[string]("missing", kv.Existing()).Open(s)
			objstore.NewStore("again", objstore.Memory()).Open(s)
			s.Use(mono.NewService[job, job]("again.nobody"))
		}))
		findings, err := app.Preflight(t.Context())
		if err == nil || !strings.Contains(err.Error(), "service again.nobody: no module provides it") {
			t.Errorf("got %v, want the mistake of the App", err)
		}
		want := map[string]bool{ // whether it is a warning
			"queue again.cheap": false, "event again.told": true, "event again.plain": true, "stream again.ledger": false,
			"bucket again": false, "bucket missing": false, "store again": false,
		}
		for _, f := range findings {
			warning, wanted := want[f.Object]
			if !wanted || warning != f.Warning || f.Need == "" || f.Found == "" || f.Remedy == "" {
				t.Errorf("got %+v", f)
			}
			delete(want, f.Object)
		}
		if len(want) > 0 {
			t.Errorf("not found: %v, but %v", want, findings)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// plainTransport hides that a transport can compare needs.
type plainTransport struct{ transport.Transport }

func TestPreflightNeedsATransport(t *testing.T) {
	t.Parallel()
	app := mono.New(plainTransport{inproc.New(inproc.Options{})}, quiet(t))
	if _, err := app.Preflight(t.Context()); mono.CodeOf(err) != mono.Unimplemented {
		t.Errorf("on another transport: %v", err)
	}
	tr := inproc.New(inproc.Options{})
	app = mono.New(tr, quiet(t))
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Preflight(t.Context()); mono.CodeOf(err) != mono.Unavailable {
		t.Errorf("on a closed transport: %v", err)
	}
}
