package mono_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// announcement is a message with which processes compare their contracts.
type announcement struct {
	Instance string          `json:"instance"`
	Hash     string          `json:"hash"`
	Answer   bool            `json:"answer"`
	Contract json.RawMessage `json:"contract"`
}

// tap collects the announcements of all processes.
type tap struct {
	mu  sync.Mutex
	all map[string][]announcement // by subject
}

func tapContracts(t testing.TB, tr transport.Transport) *tap {
	t.Helper()
	seen := &tap{all: make(map[string][]announcement)}
	_, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: ">"}, transport.Serial(func(m *transport.Message) {
		var a announcement
		_ = json.Unmarshal(m.Body, &a)
		seen.mu.Lock()
		defer seen.mu.Unlock()
		seen.all[m.Subject] = append(seen.all[m.Subject], a)
	}))
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// count returns the numbers of greetings, contracts and other messages.
func (s *tap) count() (greetings, contracts, others int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for subject, all := range s.all {
		switch {
		case subject == "_contracts.greeting":
			greetings += len(all)
		case strings.HasPrefix(subject, "_contracts.to."):
			contracts += len(all)
		default:
			others += len(all)
		}
	}
	return greetings, contracts, others
}

// pair binds a queue with one payload.
func pair[T any](q mono.Queue[T]) func(*mono.Scope) {
	return func(s *mono.Scope) {
		s.Use(q)
		q.Handle(s, func(context.Context, T) error { return nil })
	}
}

var (
	wideJobs   = mono.NewQueue[of[int64]]("contract.jobs")
	narrowJobs = mono.NewQueue[of[int8]]("contract.jobs")
)

// However many replicas there are, one of them exchanges contracts with a new process. Replicas
// that declare the same exchange nothing, and each process reports a difference once.
func TestReplicasExchangeContractsOnce(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		outside := b.connect()
		defer outside.Close(context.Background())
		seen := tapContracts(t, outside)
		const replicas = 20
		old := new(differing)
		start := func(generation uint64, seen *differing, bind func(*mono.Scope)) *mono.App {
			app := b.release(t, generation, bind)
			app.Observe(seen)
			begin(t, app)
			return app
		}
		for range replicas {
			start(1, old, pair(wideJobs))
		}
		realtime.Until(t, "the greetings", func() bool { n, _, _ := seen.count(); return n == replicas })
		if _, n, _ := seen.count(); n != 0 || len(old.list()) > 0 {
			t.Errorf("equal processes exchanged %d contracts, and found %v", n, old.list())
		}
		first, second := new(differing), new(differing)
		start(2, first, pair(narrowJobs))
		realtime.Until(t, "the differences", func() bool { return len(old.list()) == 1 && len(first.list()) == 1 })
		app := start(2, second, pair(narrowJobs))
		realtime.Until(t, "the differences of a replica", func() bool { return len(second.list()) == 1 })
		for range 3 {
			if others := othersOf(t, app, 1); others[0].Generation != 1 || len(others[0].Differences) != 1 || !others[0].Differences[0].Broken {
				t.Errorf("got %+v", others)
			}
		}
		if a, b := len(first.list()), len(second.list()); a != 1 || b != 1 {
			t.Errorf("a difference was reported %d and %d times", a, b)
		}
	})
}

// With RefuseDifferences a start fails if a running process declares something that cannot work,
// and not for a difference that only loses a part. Both places are named. Without the option the
// App starts.
func TestRefuseDifferences(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		defer starts(t, b.release(t, 1, pair(wideJobs)))()
		refusing := func(bind func(*mono.Scope)) *mono.App {
			return mono.New(b.connect(), quiet(t), mono.Generation(2), mono.RefuseDifferences()).Add(module("m", bind))
		}
		startRefused(t, refusing(pair(narrowJobs)), "1 problem(s)", "queue contract.jobs: message field F: ", "an int64 is sent, and an int8 is read", "instance ", "module m 0.0.0", "contracts_exchange_test.go:")
		starts(t, refusing(pair(mono.NewQueue[noted]("contract.others"))))()
		starts(t, b.release(t, 2, pair(narrowJobs)))()
		app := refusing(pair(mono.NewQueue[struct {
			F int64
			G string
		}]("contract.jobs")))
		stop := starts(t, app)
		if all := othersOf(t, app, 1)[0].Differences; len(all) != 1 || all[0].Broken {
			t.Errorf("got %+v", all)
		}
		stop()
	})
}

// A start that may refuse differences waits for nothing but their processes, and any start waits
// for none of them.
func TestStartsDoNotWaitForContracts(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		took := func(p *testkit.Program) time.Duration {
			began := time.Now()
			p.MustStart()
			return time.Since(began)
		}
		old, next, strict := h.Program("old", module("m", pair(wideJobs))), h.Program("new", module("m", pair(narrowJobs))), h.Program("strict", module("m", pair(wideJobs)))
		strict.Options(mono.RefuseDifferences(), mono.Generation(3))
		if a, b := took(old), took(next); a != 0 || b != 0 {
			t.Errorf("the starts took %v and %v", a, b)
		}
		next.Stop()
		if d := took(strict); d > 300*time.Millisecond {
			t.Errorf("the start with RefuseDifferences took %v", d)
		}
	})
}

// Health lists the differences with processes that run, and does not become unhealthy.
func TestHealthListsDifferences(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		old, next := h.Program("old", module("m", pair(wideJobs))), h.Program("new", module("m", pair(narrowJobs)))
		listed := func(want int) {
			t.Helper()
			h.Advance(2 * time.Minute)
			is := old.App().Health(t.Context())
			h.Settle() // it may have asked
			all, _ := is.Transport.Details["contracts"].([]string)
			if !is.Healthy || len(all) != want || want > 0 && !strings.Contains(all[0], "contract.jobs") {
				t.Errorf("healthy %v: %q, want %d differences", is.Healthy, all, want)
			}
		}
		old.MustStart()
		listed(0)
		next.MustStart()
		for range 5 {
			listed(1)
		}
		next.Stop()
		listed(1) // old asks, and nobody answers
		listed(0)
		next.MustStart()
		listed(1)
	})
}

// Whatever strangers send: nothing fails, nothing is sent but to the subjects of contracts, and what
// they cause is limited.
func TestContractsOfStrangers(t *testing.T) {
	t.Parallel()
	b := inproc.NewBackend(inproc.Options{})
	var seen differing
	app := mono.New(b.Connect(), quiet(t)).Add(module("m", pair(wideJobs)))
	app.Observe(&seen, mono.ObserverFunc(func(o mono.Observation) {
		if p, ok := o.(mono.Panicked); ok {
			t.Errorf("panicked: %v", p.Value)
		}
	}))
	begin(t, app)
	outside := b.Connect()
	defer outside.Close(context.Background())
	mine := app.Scope().Instance()
	id := func(n int) string { return fmt.Sprintf("%032x", n) }
	send := func(subject, body string) {
		t.Helper()
		if err := outside.Publish(t.Context(), &transport.Message{Subject: subject, Reply: "queues.contract.jobs", Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	tapped := tapContracts(t, outside)
	const many = 2000
	deep := strings.Repeat(`{"type":"array","items":`, 4000) + "{}" + strings.Repeat("}", 4000)
	handle := func(more string) string {
		return `{"wire":1,"handles":[{"kind":"queue","name":"contract.jobs","stored":true,"groups":["workers"],"producedBy":["x"],"consumedBy":["x"],` + more + `}]}`
	}
	for i, contract := range []string{
		``, `{`, `null`, `[]`, `"x"`, `{"handles":7}`, `{"wire":1,"handles":[null,{}]}`, `{"wire":99,"future":{"a":[1]}}`,
		handle(`"message":{"schema":` + deep + `}`), handle(`"message":{"schema":{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}}`),
		handle(`"receivers":[` + strings.Repeat(`{"group":"workers"},`, 10_000) + `{}]`), `"` + strings.Repeat("x", 900_000) + `"`,
	} {
		send("_contracts.to."+mine, fmt.Sprintf(`{"instance":%q,"hash":"x","answer":true,"contract":%s}`, id(i), contract))
		send("_contracts.greeting", contract)
	}
	for _, instance := range []string{"", "*", ">", "x.>", mine + ".x", "../x", strings.Repeat("a", 1000), strings.ToUpper(id(15)), mine} {
		send("_contracts.greeting", fmt.Sprintf(`{"instance":%q,"hash":"y"}`, instance))
		send("_contracts.to."+mine, fmt.Sprintf(`{"instance":%q,"hash":"y","answer":true,"contract":{}}`, instance))
	}
	for i := range many {
		send("_contracts.greeting", fmt.Sprintf(`{"instance":%q,"hash":%q}`, id(i), id(i)))
		send("_contracts.to."+mine, fmt.Sprintf(`{"instance":%q,"hash":%q,"answer":true,"contract":{"wire":1,"program":"p%d"}}`, id(i), id(i), i))
	}
	begun := time.Now()
	realtime.Until(t, "an end of the answers", func() bool {
		_, before, _ := tapped.count()
		_ = realtime.Within(50*time.Millisecond, func() bool { return false })
		_, after, _ := tapped.count()
		return before == after
	})
	tapped.mu.Lock()
	answers := 0
	for subject, all := range tapped.all {
		switch {
		case subject == "_contracts.greeting" || subject == "_contracts.to."+mine:
		case strings.HasPrefix(subject, "_contracts.to.") && strings.Count(subject, ".") == 2:
			for _, a := range all {
				if answers++; len(a.Contract) == 0 || a.Instance != mine {
					t.Errorf("sent %+v on %s", a, subject)
				}
			}
		default:
			t.Errorf("something was sent on %s", subject)
		}
	}
	tapped.mu.Unlock()
	if most := 256 * (1 + int(time.Since(begun)/(10*time.Second))); answers == 0 || answers > 2*most {
		t.Errorf("%d contracts were sent", answers)
	}
	if n := len(seen.list()); n > 600 {
		t.Errorf("%d differences were reported", n)
	}
	if is := app.Health(t.Context()); !is.Healthy {
		t.Errorf("unhealthy: %s", is.Message)
	}
}

// A contract that a flood of others has hidden is asked for again, by a later health check.
func TestContractsAfterAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inproc.NewBackend(inproc.Options{})
		var seen differing
		app := mono.New(b.Connect(), quiet(t)).Add(module("m", pair(wideJobs)))
		app.Observe(&seen)
		begin(t, app)
		outside := b.Connect()
		defer outside.Close(context.Background())
		for i := range 200 {
			body := fmt.Sprintf(`{"instance":"%032x","hash":"%032x","contract":{"wire":1,"program":"p%d"}}`, i, i, i)
			if err := outside.Publish(t.Context(), &transport.Message{Subject: "_contracts.to." + app.Scope().Instance(), Body: []byte(body)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		other := mono.New(b.Connect(), quiet(t)).Add(module("m", pair(narrowJobs)))
		begin(t, other)
		synctest.Wait()
		if got := seen.list(); len(got) > 0 {
			t.Errorf("the flood hides nothing: %+v", got)
		}
		<-time.After(11 * time.Second)
		app.Health(t.Context())
		synctest.Wait()
		if got := seen.list(); len(got) == 0 {
			t.Error("the difference is not found")
		}
	})
}

// A contract that is too large for the transport, and an account that may not use the subjects of
// contracts, keep no App from starting.
func TestAppsWithoutContracts(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	debug := func() mono.AppOption {
		log.Reset()
		return mono.Logger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}
	check := func(app *mono.App, code mono.Code, text string) {
		t.Helper()
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if is := app.Health(t.Context()); !is.Healthy {
			t.Errorf("unhealthy: %s", is.Message)
		}
		if _, err := app.Contracts(t.Context()); mono.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
			t.Errorf("Contracts: %v, want %s with %q", err, code, text)
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "not compared with others"); n != 1 || strings.Contains(log.String(), "level=WARN") || strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("the log is\n%s", log.String())
		}
	}
	event := module("m", func(s *mono.Scope) { s.Use(mono.NewEvent[job]("contract.event")) })
	check(mono.New(inproc.New(inproc.Options{MaxPayload: 1500}), debug()).Add(event), mono.ResourceExhausted, "the transport carries at most 1500")
	tr, _ := limited(t, `publish: ["events.>", "_INBOX.>"], subscribe: ["_INBOX.>", "events.>"]`)
	check(mono.New(tr, debug()).Add(event), mono.PermissionDenied, "_contracts.to.")
}

// Contracts needs an App that runs, and ends with its context.
func TestContractsNeedARunningApp(t *testing.T) {
	t.Parallel()
	app := newApp(t).Add(module("m", pair(wideJobs)))
	if _, err := app.Contracts(t.Context()); mono.CodeOf(err) != mono.Unavailable {
		t.Errorf("before the start: %v", err)
	}
	begin(t, app)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := app.Contracts(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	all, err := app.Contracts(t.Context())
	if err != nil || len(all) != 1 || all[0].Instance != app.Scope().Instance() || len(all[0].Handles) != 1 || all[0].Modules[0].Name != "m" || len(all[0].Modules[0].Consumes) != 1 {
		t.Errorf("got %+v, %v", all, err)
	}
}
