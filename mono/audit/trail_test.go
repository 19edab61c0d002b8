package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

// keys are the keys of the log of a test.
type keys struct{ private, public string }

func newKeys(t testing.TB) (k keys) {
	t.Helper()
	var err error
	if k.private, k.public, err = audit.GenerateKey("example.com/audit/" + strings.ToLower(strings.ReplaceAll(t.Name(), "#", ""))); err != nil {
		t.Fatal(err)
	}
	return k
}

// start runs an App with an audit log until the end of the test.
func start(t testing.TB, tr transport.Transport, trail *audit.Trail, modules ...mono.Module) *mono.App {
	t.Helper()
	app := mono.New(tr, mono.Logger(slog.New(slog.NewTextHandler(t.Output(), nil))))
	app.Use(trail)
	app.Add(modules...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Stop(context.Background()) })
	return app
}

func newTransport(t testing.TB) transport.Transport {
	return inproc.New(inproc.Options{})
}

// each runs a test on inproc and on NATS.
func each(t *testing.T, test func(t *testing.T, connect func() transport.Transport)) {
	t.Run("inproc", func(t *testing.T) {
		t.Parallel()
		tr := inproc.New(inproc.Options{})
		test(t, func() transport.Transport { return unclosed{tr} })
	})
	t.Run("nats", func(t *testing.T) {
		t.Parallel()
		server, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), SyncInterval: time.Minute, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
		test(t, func() transport.Transport {
			tr, err := server.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return tr
		})
	})
}

// unclosed is a transport that several Apps share.
type unclosed struct{ *inproc.Transport }

func (unclosed) Close(context.Context) error { return nil }

// events reads the entries that a test has recorded, without those about the App.
func events(t testing.TB, tr transport.Transport, k keys) (all []audit.Recorded) {
	t.Helper()
	for e, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: k.public}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Event, "test.") {
			all = append(all, e)
		}
	}
	return all
}

var refund = mono.NewService[string, string]("orders.refund")

// An entry has its event, details, actor, module and handle, and is stored and signed when
// Record returns.
func TestRecord(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		type userKey struct{}
		trail := audit.New(audit.Options{Key: k.private, Actor: func(ctx context.Context) string { s, _ := ctx.Value(userKey{}).(string); return s }})
		app := start(t, tr, trail, mono.NewModule("orders", func(s *mono.Scope) error {
			refund.Handle(s, func(ctx context.Context, id string) (string, error) {
				ctx = context.WithValue(ctx, userKey{}, "ada")
				return id, audit.Record(ctx, "test.refunded", slog.String("order", id), slog.Int("cents", 1990),
					slog.Group("by", slog.Duration("after", time.Second)), slog.Any("cause", errors.New("late <html>")))
			})
			return nil
		}))
		if _, err := refund.Call(t.Context(), app, "a1"); err != nil {
			t.Fatal(err)
		}
		got := events(t, tr, k)
		if len(got) != 1 {
			t.Fatalf("got %d entries", len(got))
		}
		e := got[0]
		if e.Actor != "ada" || e.Module != "orders" || e.Handle != "service orders.refund" || e.Message == "" || e.Instance == "" || e.ID == "" || e.Time.IsZero() {
			t.Errorf("got %+v", e.Entry)
		}
		if want := `{"by":{"after":"1s"},"cause":"late <html>","cents":1990,"order":"a1"}`; string(e.Details) != want {
			t.Errorf("got details %s, want %s", e.Details, want)
		}
		if e.Checkpoint.Size <= e.Index {
			t.Errorf("a checkpoint of %d entries covers entry %d", e.Checkpoint.Size, e.Index)
		}
	})
}

// The log has what the App does: its configuration, its modules and what they use.
func TestLifeOfTheApp(t *testing.T) {
	t.Parallel()
	k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
	app := start(t, tr, audit.New(audit.Options{Key: k.private}), mono.NewModule("orders", func(s *mono.Scope) error {
		refund.Handle(s, func(_ context.Context, id string) (string, error) { return id, nil })
		return nil
	}))
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for e, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: k.public}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Event+" "+e.Module+" "+e.Handle)
	}
	for _, want := range []string{"app.state  ", "app.configured  ", "handle.bound orders service orders.refund", "module.started orders ", "module.stopped orders ", "component.opened audit-trail "} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
}

// What an operator does to dead letters and groups is recorded, with who did it.
func TestOperations(t *testing.T) {
	t.Parallel()
	type userKey struct{}
	k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
	failing := mono.NewQueue[string]("orders.failing", mono.MaxAttempts(1))
	died := make(chan struct{}, 1)
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(audit.New(audit.Options{Key: k.private, Actor: func(ctx context.Context) string { s, _ := ctx.Value(userKey{}).(string); return s }}))
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if _, ok := o.(mono.MessageDeadLettered); ok {
			died <- struct{}{}
		}
	}))
	app.Add(mono.NewModule("orders", func(s *mono.Scope) error {
		failing.Handle(s, func(context.Context, string) error { return errors.New("no") })
		return nil
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := failing.Enqueue(t.Context(), app, "a1"); err != nil {
		t.Fatal(err)
	}
	realtime.Receive(t, died, "a dead letter")
	letters := failing.DeadLetters(app)
	ctx := context.WithValue(t.Context(), userKey{}, "ada")
	if n, err := letters.DiscardAll(ctx, mono.DeadLetterFilter{}); n != 1 || err != nil {
		t.Fatalf("discarded %d, %v", n, err)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for e, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: k.public}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Handle == "queue orders.failing" && e.Event != "app.configured" {
			got = append(got, e.Event+" "+e.Module+" "+e.Actor+" "+string(e.Details))
		}
	}
	want := []string{
		`handle.bound orders  {"usage":"consumes"}`,
		`message.dead-lettered orders  {"attempts":1,"error":"no","group":"workers","reason":"attempts"}`,
		`dead-letter.discarded  ada {"group":"workers"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Secrets are redacted before they are stored.
func TestRedact(t *testing.T) {
	t.Parallel()
	k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
	trail := audit.New(audit.Options{Key: k.private, Redact: func(v any) any {
		m := v.(map[string]any)
		if _, ok := m["password"]; ok {
			m["password"] = "***"
		}
		return m
	}})
	start(t, tr, trail)
	if err := trail.Record(t.Context(), "test.login", slog.String("password", "hunter2"), slog.String("user", "ada")); err != nil {
		t.Fatal(err)
	}
	if e := events(t, tr, k)[0]; strings.Contains(string(e.Raw), "hunter2") || !strings.Contains(string(e.Details), `"user":"ada"`) {
		t.Errorf("got %s", e.Raw)
	}
}

// An entry that cannot be stored is an error that says why.
func TestBadEntries(t *testing.T) {
	t.Parallel()
	k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
	trail := audit.New(audit.Options{Key: k.private, Redact: func(v any) any {
		if v.(map[string]any)["panic"] != nil {
			panic("no")
		}
		return v
	}})
	record := func(event string, details ...slog.Attr) error { return trail.Record(t.Context(), event, details...) }
	if err := record("test.early"); mono.CodeOf(err) != mono.FailedPrecondition {
		t.Errorf("before the start: %v", err)
	}
	app := start(t, tr, trail)
	for _, test := range []struct {
		name string
		err  error
		code mono.Code
		text string
	}{
		{"no event", record(""), mono.InvalidArgument, "no event"},
		{"no JSON", record("test.x", slog.Any("c", make(chan int))), mono.InvalidArgument, "test.x"},
		{"too large", record("test.x", slog.String("c", strings.Repeat("x", audit.MaxEntry))), mono.InvalidArgument, "65535"},
		{"a panic", record("test.x", slog.Bool("panic", true)), mono.Internal, "panicked"},
		{"no trail", audit.Record(t.Context(), "test.x"), mono.FailedPrecondition, "Use"},
	} {
		if mono.CodeOf(test.err) != test.code || !strings.Contains(test.err.Error(), test.text) {
			t.Errorf("%s: got %v", test.name, test.err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := trail.Record(ctx, "test.late"); err != nil && mono.CodeOf(err) != mono.Canceled {
		t.Errorf("a canceled context: %v", err)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := record("test.x"); mono.CodeOf(err) != mono.FailedPrecondition {
		t.Errorf("after the stop: %v", err)
	}
}

// Mistakes in the options are in the start report.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for _, o := range []audit.Options{{}, {Key: k.public}, {Key: k.private, Name: "Bad_Name"}} {
		app := mono.New(newTransport(t), mono.Logger(slog.New(slog.DiscardHandler)))
		app.Use(audit.New(o))
		if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "audit log") {
			t.Errorf("%+v: got %v", o, err)
		}
	}
	if _, _, err := audit.GenerateKey("a b"); err == nil {
		t.Error("an origin with a space is accepted")
	}
	if public, err := audit.PublicKey(k.private); err != nil || public != k.public {
		t.Errorf("got %q, %v", public, err)
	}
}

// Concurrent Records share messages, and each gets one place.
func TestConcurrentRecords(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		trail := audit.New(audit.Options{Key: k.private})
		start(t, tr, trail)
		recordMany(t, trail, "a", 50, 20)
		requireOnce(t, tr, k, 50*20)
	})
}

// Writers in several processes extend one tree.
func TestSeveralWriters(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k := newKeys(t)
		var wait sync.WaitGroup
		for i := range 3 {
			trail := audit.New(audit.Options{Key: k.private})
			start(t, connect(), trail)
			wait.Go(func() { recordMany(t, trail, fmt.Sprint(i), 4, 25) })
		}
		wait.Wait()
		requireOnce(t, connect(), k, 3*4*25)
	})
}

// A writer that records without a pause does not keep another one from its turn.
func TestWritersTakeTurns(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k := newKeys(t)
		greedy, modest := audit.New(audit.Options{Key: k.private}), audit.New(audit.Options{Key: k.private})
		start(t, connect(), greedy)
		start(t, connect(), modest)
		done, began := make(chan struct{}), make(chan struct{})
		var wait sync.WaitGroup
		for range 2 {
			wait.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-done:
						return
					default:
					}
					if err := greedy.Record(t.Context(), "test.greedy"); err != nil {
						t.Error(err)
						return
					}
					if n == 100 {
						began <- struct{}{}
					}
				}
			})
		}
		<-began
		<-began
		recordMany(t, modest, "m", 1, 20)
		close(done)
		wait.Wait()
	})
}

func recordMany(t testing.TB, trail *audit.Trail, name string, routines, each int) {
	var wait sync.WaitGroup
	for g := range routines {
		wait.Go(func() {
			for n := range each {
				if err := trail.Record(t.Context(), "test.many", slog.String("id", fmt.Sprint(name, "-", g, "-", n))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

// requireOnce checks that the log has n ids, each once.
func requireOnce(t testing.TB, tr transport.Transport, k keys, n int) {
	t.Helper()
	seen := make(map[string]int)
	for _, e := range events(t, tr, k) {
		var d struct{ ID string }
		if err := json.Unmarshal(e.Details, &d); err != nil {
			t.Fatal(err)
		}
		if seen[d.ID]++; seen[d.ID] > 1 {
			t.Errorf("%s is there twice", d.ID)
		}
	}
	if len(seen) != n {
		t.Errorf("got %d entries, want %d", len(seen), n)
	}
}

// With Exclusive the writer that has started last writes, and the other one is aborted.
func TestExclusive(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k := newKeys(t)
		first, second := audit.New(audit.Options{Key: k.private, Exclusive: true}), audit.New(audit.Options{Key: k.private, Exclusive: true})
		app := start(t, connect(), first)
		if err := first.Record(t.Context(), "test.one"); err != nil {
			t.Fatal(err)
		}
		start(t, connect(), second)
		if err := second.Record(t.Context(), "test.two"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			err := first.Record(t.Context(), "test.three")
			if e, ok := errors.AsType[*mono.Error](err); !ok || e.Code != mono.Aborted || e.Outcome != transport.OutcomeNotDone {
				t.Fatalf("got %v", err)
			}
		}
		if app.Health(t.Context()).Healthy {
			t.Error("the App of the first writer is healthy")
		}
		if got := events(t, connect(), k); len(got) != 2 {
			t.Errorf("got %d entries", len(got))
		}
	})
}

// Record to a full log fails, and what is stored stays.
func TestFullLog(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		trail := audit.New(audit.Options{Key: k.private, MaxBytes: 100_000})
		app := start(t, tr, trail)
		stored := 0
		var err error
		for err == nil && stored < 100 {
			if err = trail.Record(t.Context(), "test.large", slog.String("text", strings.Repeat("x", 10_000))); err == nil {
				stored++
			}
		}
		if mono.CodeOf(err) != mono.ResourceExhausted || stored < 5 {
			t.Fatalf("after %d entries: %v", stored, err)
		}
		if app.Health(t.Context()).Healthy {
			t.Error("the App is healthy")
		}
		if got := len(events(t, tr, k)); got != stored {
			t.Errorf("got %d entries, want %d", got, stored)
		}
	})
}

// A log of another key is not written to. The App starts nevertheless, unless the log is
// mandatory.
func TestOtherKey(t *testing.T) {
	t.Parallel()
	k, other, tr := newKeys(t), newKeys(t), unclosed{inproc.New(inproc.Options{})}
	trail := audit.New(audit.Options{Key: k.private})
	start(t, tr, trail)
	if err := trail.Record(t.Context(), "test.one"); err != nil {
		t.Fatal(err)
	}
	stranger := audit.New(audit.Options{Key: other.private})
	app := start(t, tr, stranger)
	if err := stranger.Record(t.Context(), "test.two"); mono.CodeOf(err) != mono.DataLoss {
		t.Errorf("got %v", err)
	}
	if app.Health(t.Context()).Healthy {
		t.Error("the App is healthy")
	}
	must := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	must.Use(audit.New(audit.Options{Key: other.private, Mandatory: true}))
	if err := must.Start(t.Context()); mono.CodeOf(err) != mono.DataLoss {
		t.Errorf("the start: %v", err)
	}
	if got := events(t, tr, k); len(got) != 1 {
		t.Errorf("got %d entries", len(got))
	}
}
