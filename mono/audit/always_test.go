package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// The handles of these tests, with and without Always.
var (
	payout  = mono.NewService[string, string]("orders.payout", audit.Always())
	mails   = mono.NewQueue[string]("orders.mails", audit.Always())
	placed  = mono.NewEvent[string]("orders.placed", audit.Always())
	ledger  = mono.NewStream[string]("orders.ledger", audit.Always())
	private = mono.NewQueue[string]("orders.unmarked")
)

// orders handles all of them, and sends what it handled to done.
func orders(done chan<- string) mono.Module {
	return mono.NewModule("orders", func(s *mono.Scope) error {
		sink := func(name string) mono.Sink[string] {
			return func(_ context.Context, v string) error { done <- name + " " + v; return nil }
		}
		payout.Handle(s, func(_ context.Context, v string) (string, error) {
			done <- "payout " + v
			if v == "bad" {
				return "", mono.Errorf(mono.FailedPrecondition, "no money")
			}
			return v, nil
		})
		mails.Handle(s, sink("mails"))
		placed.Handle(s, sink("placed"))
		ledger.Handle(s, sink("ledger"))
		private.Handle(s, sink("unmarked"))
		return nil
	})
}

type userKey struct{}

func actor(ctx context.Context) string { s, _ := ctx.Value(userKey{}).(string); return s }

// sends returns the entries of sends, once there are n.
func sends(t testing.TB, tr transport.Transport, k keys, n int) (all []audit.Recorded) {
	t.Helper()
	realtime.Until(t, "entries of sends", func() bool {
		all = nil
		for e, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: k.public}) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(e.Event, "message.sen") {
				all = append(all, e)
			}
		}
		return len(all) >= n
	})
	return all
}

func describe(e audit.Recorded) string {
	return strings.Join([]string{e.Event, e.Actor, e.Module, e.Handle, string(e.Details)}, " ")
}

// Each send to a handle with Always is an entry: who, from where, to which handle, and the outcome.
// Sends to other handles are none, and payloads are not recorded.
func TestSendsToHandlesWithAlways(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr, done := newKeys(t), connect(), make(chan string, 100)
		var pay mono.Func[string, string]
		app := start(t, tr, audit.New(audit.Options{Key: k.private, Actor: actor}), orders(done), mono.NewModule("shop", func(s *mono.Scope) error {
			pay = payout.Client(s)
			return nil
		}))
		ctx := context.WithValue(t.Context(), userKey{}, "ada")
		if _, err := pay(ctx, "hidden-1"); err != nil {
			t.Fatal(err)
		}
		if _, err := pay(ctx, "bad"); mono.CodeOf(err) != mono.FailedPrecondition {
			t.Fatalf("got %v", err)
		}
		if _, err := payout.Call(ctx, app, "hidden-2"); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(mails.EnqueueAll(ctx, app, "hidden-3", "hidden-4")...); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(placed.Publish(ctx, app, "hidden-5"), ledger.Append(ctx, app, "hidden-6"), private.Enqueue(ctx, app, "hidden-7")); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			realtime.Receive(t, done, "a message")
		}
		want := []string{
			`message.sent ada  event orders.placed {"outcome":"success"}`,
			`message.sent ada  queue orders.mails {"outcome":"success"}`,
			`message.sent ada  queue orders.mails {"outcome":"success"}`,
			`message.sent ada  service orders.payout {"outcome":"success"}`,
			`message.sent ada  stream orders.ledger {"outcome":"success"}`,
			`message.sent ada shop service orders.payout {"code":"failed_precondition","error":"failed_precondition: no money","outcome":"error"}`,
			`message.sent ada shop service orders.payout {"outcome":"success"}`,
		}
		var got []string
		ids := make(map[string]bool)
		for _, e := range sends(t, tr, k, len(want)) {
			got = append(got, describe(e))
			ids[e.Message] = e.Message != ""
			if strings.Contains(string(e.Raw), "hidden") {
				t.Errorf("%s has a payload", e.Raw)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if len(ids) != len(want) {
			t.Errorf("%d sends have %d ids", len(want), len(ids))
		}
	})
}

// The id of an entry is that of the message in the handler, for local calls too.
func TestIDOfASend(t *testing.T) {
	t.Parallel()
	k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
	var id string
	app := start(t, tr, audit.New(audit.Options{Key: k.private, Mandatory: true}), mono.NewModule("orders", func(s *mono.Scope) error {
		payout.Handle(s, func(ctx context.Context, v string) (string, error) {
			id = mono.CallFrom(ctx).ID()
			return v, nil
		})
		return nil
	}))
	if _, err := payout.Call(t.Context(), app, "x"); err != nil {
		t.Fatal(err)
	}
	for _, e := range sends(t, tr, k, 2) {
		if e.Message != id {
			t.Errorf("%s has the id %q, want %q", e.Event, e.Message, id)
		}
	}
}

// With Mandatory the entry is stored before the message is sent, and the outcome follows.
func TestMandatoryEntryIsStoredBeforeTheSend(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, connect func() transport.Transport) {
		k, tr := newKeys(t), connect()
		var before []audit.Recorded
		app := start(t, tr, audit.New(audit.Options{Key: k.private, Mandatory: true}), mono.NewModule("orders", func(s *mono.Scope) error {
			payout.Handle(s, func(_ context.Context, v string) (string, error) {
				before = sends(t, tr, k, 1)
				if v == "panic" {
					panic("no")
				}
				return v, nil
			})
			return nil
		}))
		_, err := payout.Call(t.Context(), app, "x")
		if err != nil || len(before) != 1 || before[0].Event != "message.sending" {
			t.Fatalf("got %v, and %v before the send", err, before)
		}
		if _, err := payout.Call(t.Context(), app, "panic"); mono.CodeOf(err) != mono.Internal {
			t.Fatalf("got %v", err)
		}
		var got []string
		for _, e := range sends(t, tr, k, 4) {
			got = append(got, e.Event)
		}
		if want := []string{"message.sending", "message.sent", "message.sending", "message.sent"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// fill fills a log, until an entry of its smallest size is refused.
func fill(t testing.TB, trail *audit.Trail) {
	t.Helper()
	for size := 10_000; size > 0; size /= 10 {
		var err error
		for n := 0; err == nil && n < 1000; n++ {
			err = trail.Record(t.Context(), "test.fill", slog.String("text", strings.Repeat("x", size)))
		}
		if mono.CodeOf(err) != mono.ResourceExhausted {
			t.Fatalf("got %v", err)
		}
	}
}

// broken prepares an App whose audit log cannot be written, in one of several ways.
type broken struct {
	name    string
	code    mono.Code
	prepare func(t *testing.T, connect func() transport.Transport, k keys, mandatory bool, done chan string) *mono.App
}

var brokenLogs = []broken{
	{"full log", mono.ResourceExhausted, func(t *testing.T, connect func() transport.Transport, k keys, mandatory bool, done chan string) *mono.App {
		trail := audit.New(audit.Options{Key: k.private, MaxBytes: 100_000, Mandatory: mandatory})
		app := start(t, connect(), trail, orders(done))
		fill(t, trail)
		return app
	}},
	{"second writer", mono.Aborted, func(t *testing.T, connect func() transport.Transport, k keys, mandatory bool, done chan string) *mono.App {
		first := audit.New(audit.Options{Key: k.private, Exclusive: true, Mandatory: mandatory})
		app := start(t, connect(), first, orders(done))
		if err := first.Record(t.Context(), "test.first"); err != nil {
			t.Fatal(err)
		}
		second := audit.New(audit.Options{Key: k.private, Exclusive: true})
		start(t, connect(), second)
		if err := second.Record(t.Context(), "test.second"); err != nil {
			t.Fatal(err)
		}
		return app
	}},
	{"actor that panics", mono.Internal, func(t *testing.T, connect func() transport.Transport, k keys, mandatory bool, done chan string) *mono.App {
		var panics atomic.Bool
		app := start(t, connect(), audit.New(audit.Options{Key: k.private, Mandatory: mandatory, Actor: func(context.Context) string {
			if panics.Load() {
				panic("no actor")
			}
			return ""
		}}), orders(done))
		panics.Store(true)
		return app
	}},
}

// With Mandatory a message is refused if its entry cannot be stored, and does not reach a handler. Messages of
// handles without Always are sent.
func TestMandatorySendIsRefused(t *testing.T) {
	t.Parallel()
	for _, b := range brokenLogs {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, connect func() transport.Transport) {
				done := make(chan string, 100)
				app := b.prepare(t, connect, newKeys(t), true, done)
				_, called := payout.Call(t.Context(), app, "x")
				for what, err := range map[string]error{
					"call": called, "job": mails.Enqueue(t.Context(), app, "x"),
					"event": placed.Publish(t.Context(), app, "x"), "append": ledger.Append(t.Context(), app, "x"),
				} {
					if mono.CodeOf(err) != b.code || mono.OutcomeOf(err) != mono.OutcomeNotDone || !strings.Contains(err.Error(), "not sent, because its entry cannot be stored") {
						t.Errorf("%s: got %v", what, err)
					}
				}
				if err := private.Enqueue(t.Context(), app, "last"); err != nil {
					t.Fatal(err)
				}
				if got := realtime.Receive(t, done, "a message"); got != "unmarked last" {
					t.Errorf("handled %q", got)
				}
			})
		})
	}
}

// Without Mandatory no message is refused or lost because its entry cannot be stored.
func TestBrokenLogRefusesNoMessage(t *testing.T) {
	t.Parallel()
	for _, b := range brokenLogs {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, connect func() transport.Transport) {
				done := make(chan string, 100)
				app := b.prepare(t, connect, newKeys(t), false, done)
				_, err := payout.Call(t.Context(), app, "x")
				if err = errors.Join(err, mails.Enqueue(t.Context(), app, "x"), placed.Publish(t.Context(), app, "x"), ledger.Append(t.Context(), app, "x")); err != nil {
					t.Fatal(err)
				}
				var got []string
				for range 4 {
					got = append(got, realtime.Receive(t, done, "a message"))
				}
				slices.Sort(got)
				if want := []string{"ledger x", "mails x", "payout x", "placed x"}; !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}

// With Body an entry has the payload without its secrets, or the digest of a large one.
func TestBodyOfASend(t *testing.T) {
	t.Parallel()
	type login struct {
		User     string
		Password string
		Text     string
	}
	logins := mono.NewEvent[login]("orders.login", audit.Always(audit.Body()))
	short, long := login{User: "ada", Password: "hunter2"}, login{User: "ada", Text: strings.Repeat("x", 100_000)}
	own := func(v any) any {
		m := v.(map[string]any)
		if l, ok := m["body"].(login); ok {
			l.Password = "***"
			m["body"] = l
		}
		return m
	}
	for _, test := range []struct {
		name      string
		redact    func(any) any
		mandatory bool
		want      string
	}{
		{"by default", nil, false, `{"User":"ada","Password":"[REDACTED]","Text":""}`},
		{"by a function", own, false, `{"User":"ada","Password":"***","Text":""}`},
		{"mandatory", nil, true, `{"User":"ada","Password":"[REDACTED]","Text":""}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
			app := start(t, tr, audit.New(audit.Options{Key: k.private, Redact: test.redact, Mandatory: test.mandatory}))
			if err := errors.Join(logins.Publish(t.Context(), app, short), logins.Publish(t.Context(), app, long)); err != nil {
				t.Fatal(err)
			}
			n, bodies := 2, []audit.Recorded(nil)
			if test.mandatory {
				n = 4
			}
			for _, e := range sends(t, tr, k, n) {
				if len(e.Body) > 0 {
					bodies = append(bodies, e)
				}
			}
			if len(bodies) != 2 || string(bodies[0].Body) != test.want {
				t.Fatalf("got %v, want %s", bodies, test.want)
			}
			var digest struct {
				Size   int
				SHA256 string
			}
			if err := json.Unmarshal(bodies[1].Body, &digest); err != nil || digest.Size < 100_000 || len(digest.SHA256) != 64 {
				t.Errorf("got %s, %v", bodies[1].Body, err)
			}
			if first := bodies[0].Event == "message.sending"; first != test.mandatory {
				t.Errorf("the payload is in %s", bodies[0].Event)
			}
		})
	}
}

// Describe shows which handles are recorded.
func TestDescribeShowsAlways(t *testing.T) {
	t.Parallel()
	app := start(t, newTransport(t), audit.New(audit.Options{Key: newKeys(t).private}), orders(make(chan string, 1)))
	found := 0
	for _, h := range app.Describe().Handles {
		if h.Annotations["gomono.dev/mono/audit.Always"] == "sends" {
			found++
		}
	}
	if found != 4 {
		t.Errorf("%d handles are described with Always, want 4", found)
	}
}

// A burst of sends while the log is slow costs entries, which are counted in the log of the App, and no
// message.
func TestBurstOfSendsLosesNoMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, gate := newKeys(t), make(chan struct{})
		var lines countingHandler
		tr := &slowLogs{unclosed: unclosed{inproc.New(inproc.Options{})}, gate: gate}
		app := mono.New(tr, mono.Logger(slog.New(&lines)))
		app.Use(audit.New(audit.Options{Key: k.private}))
		handled := 0
		app.Add(mono.NewModule("orders", func(s *mono.Scope) error {
			payout.Handle(s, func(_ context.Context, v string) (string, error) { handled++; return v, nil })
			return nil
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tr.slow.Store(true)
		const all = 6000
		for range all {
			if _, err := payout.Call(t.Context(), app, "x"); err != nil {
				t.Fatal(err)
			}
		}
		close(gate)
		synctest.Wait() // or the entries of the stop find no room
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if handled != all || lines.missing.Load() == 0 || lines.missed.Load() != 1 {
			t.Errorf("%d calls were handled; %d entries are missing, in %d lines", handled, lines.missing.Load(), lines.missed.Load())
		}
		if got := int64(len(sends(t, tr, k, 1))) + lines.missing.Load(); got != all {
			t.Errorf("%d entries are stored or counted, want %d", got, all)
		}
	})
}

// slowLogs is a transport whose appends wait for a gate.
type slowLogs struct {
	unclosed
	slow atomic.Bool
	gate chan struct{}
}

func (s *slowLogs) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	log, err := s.unclosed.Log(ctx, c)
	return &slowLog{log, s}, err
}

type slowLog struct {
	transport.Log
	transport *slowLogs
}

func (l *slowLog) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	if l.transport.slow.Load() {
		<-l.transport.gate
	}
	return l.Log.Append(ctx, m, o)
}

// countingHandler counts the entries that were not recorded, by the lines of the log.
type countingHandler struct{ missing, missed atomic.Int64 }

func (*countingHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *countingHandler) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "entries not recorded") {
		h.missed.Add(1)
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "entries" {
				h.missing.Add(a.Value.Int64())
			}
			return true
		})
	}
	return nil
}
func (h *countingHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *countingHandler) WithGroup(string) slog.Handler      { return h }
