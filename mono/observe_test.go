package mono_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
)

// recorder is middleware that records each call, its reply and its code.
func recorder(name string, tr *trace) mono.Middleware {
	return mono.MiddlewareFunc(func(next mono.Next) mono.Next {
		return func(ctx context.Context, c *mono.Call) error {
			tr.add(fmt.Sprintf("%s %s %s", name, c.Side(), c.Handle().Name()))
			err := next(ctx, c)
			tr.add(fmt.Sprintf("%s %s %v %v", name, c.Side(), c.Reply(), mono.CodeOf(err)))
			return err
		}
	})
}

// Middleware sees the headers that earlier middleware has set: here a request id that is
// set before it is logged.
func TestMiddlewareSeesHeadersOfEarlierMiddleware(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var tr trace
		setID := mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				if c.Header("Request-Id") == "" {
					c.SetHeader("Request-Id", "r1")
				}
				return next(ctx, c)
			}
		})
		log := mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				tr.add(string(c.Side()) + " " + c.Header("Request-Id"))
				return next(ctx, c)
			}
		})
		app := p.app(t)
		app.Use(setID, log)
		app.Add(provider(func(ctx context.Context, _ question) (reply, error) {
			return reply{Text: mono.CallFrom(ctx).Header("Request-Id")}, nil
		}))
		begin(t, app)
		got, err := ask.Call(t.Context(), app, question{})
		if want := []string{"sending r1", "receiving r1"}; err != nil || got.Text != "r1" || !slices.Equal(tr.all(), want) {
			t.Errorf("got %v, %v, %q", got, err, tr.all())
		}
	})
}

// auditor is middleware that is also a module: it provides a service, needs a resource,
// observes, and implements Start, Stop and Health.
type auditor struct {
	trace *trace
	db    int
}

var (
	trail = mono.NewService[string, int]("audit.trail")
	store = mono.NewResource[int]("audit.store")
)

func (a *auditor) Name() string                     { return "audit" }
func (a *auditor) Wrap(next mono.Next) mono.Next    { return next }
func (a *auditor) Start(context.Context) error      { a.trace.add("audit"); return nil }
func (a *auditor) Stop(context.Context) error       { a.trace.add("-audit"); return nil }
func (a *auditor) Observe(o mono.Observation)       { a.trace.add(fmt.Sprintf("%T", o)) }
func (a *auditor) Health(ctx context.Context) error { mono.ReportDetail(ctx, "entries", 3); return nil }

func (a *auditor) Bind(s *mono.Scope) error {
	store.Need(s, &a.db)
	trail.Handle(s, func(context.Context, string) (int, error) { return a.db, nil })
	return nil
}

// Middleware that is a module provides its services, and its hooks are called.
func TestMiddlewareCanProvideAService(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var tr trace
		app := p.app(t)
		app.Use(&auditor{trace: &tr})
		app.Plugin("store", module("", func(s *mono.Scope) {
			store.Provide(s, func(context.Context) (int, error) { return 42, nil })
		}))
		app.Add(module("user", func(s *mono.Scope) { trail.Client(s) }))
		begin(t, app)
		if got, err := trail.Call(t.Context(), app, "x"); err != nil || got != 42 {
			t.Errorf("got %v, %v", got, err)
		}
		if h := app.Health(t.Context()); h.Modules["audit"].Details["entries"] != 3 {
			t.Errorf("health %+v", h)
		}
		if got := tr.all(); !slices.Contains(got, "audit") || !slices.Contains(got, "mono.StateChanged") {
			t.Errorf("got %q", got)
		}
	})
}

// Observers receive states, settings, declared handles, starts and stops in order. A
// panic in an observer does not affect others.
func TestObserversReceiveSettingsAndStates(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []mono.Observation
	app := newApp(t, mono.StopTimeout(7*time.Second), mono.Generation(42))
	app.Observe(
		mono.ObserverFunc(func(mono.Observation) { panic("an observer panics") }),
		mono.ObserverFunc(func(o mono.Observation) { mu.Lock(); got = append(got, o); mu.Unlock() }))
	app.Remote(askBrief)
	app.Attach(box("b", func(string) {}))
	app.Add(provider(echo, mono.Concurrency(3)), listener("listener", announced, make(chan fact)),
		module("caller", func(s *mono.Scope) { askBrief.Client(s) }))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, o := range got {
		switch o := o.(type) {
		case mono.StateChanged:
			texts = append(texts, "state "+string(o.To))
		case mono.Configured:
			if o.Handle == nil && o.Component == "" {
				texts = append(texts, o.Name+"="+o.Value)
			} else if o.Handle == nil {
				texts = append(texts, o.Component+" "+o.Name+"="+o.Value)
			} else {
				texts = append(texts, o.Module+" "+o.Handle.Name()+" "+o.Name+"="+o.Value)
			}
		case mono.HandleBound:
			texts = append(texts, o.Module+" "+string(o.Usage)+" "+o.Handle.Name())
		case mono.ModuleStarted:
			texts = append(texts, "started "+o.Module)
		case mono.ModuleStopped:
			texts = append(texts, fmt.Sprint("stopped ", o.Module, o.Err))
		}
	}
	last := -1
	for _, want := range []string{"state starting", "Generation=42", "StopTimeout=7s", " test.ask-brief Timeout=400ms", "provider provides test.ask", "provider test.ask Concurrency=3",
		"listener consumes test.announced", "box b Size=7", "started provider", "started listener", "state running",
		"state stopping", "stopped caller<nil>", "stopped listener<nil>", "stopped provider<nil>", "state stopped"} {
		i := slices.Index(texts, want)
		if i <= last {
			t.Errorf("%q is at %d, after %d, of %q", want, i, last, texts)
		}
		last = i
	}
}

// Health runs all checks concurrently. A check that hangs times out alone, and a panic in
// a check is contained.
func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		app := newApp(t, mono.HealthTimeout(2*time.Second))
		app.Add(
			&lifecycle{name: "fine", health: func(ctx context.Context) error {
				mono.ReportDetail(ctx, "rows", 5)
				<-time.After(time.Second)
				return nil
			}},
			&lifecycle{name: "failing", health: func(context.Context) error { return errors.New("no disk") }},
			&lifecycle{name: "hangs", health: func(context.Context) error { <-release; return nil }},
			&lifecycle{name: "panics", health: func(context.Context) error { panic("x") }},
			module("plain", func(*mono.Scope) {}))
		if h := app.Health(t.Context()); h.Healthy || h.State != mono.StateCreated || h.Message == "" {
			t.Errorf("before the start: %+v", h)
		}
		begin(t, app)
		began := time.Now()
		h := app.Health(t.Context())
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		if c := h.Modules["fine"]; !c.Healthy || c.Details["rows"] != 5 || c.Duration != time.Second {
			t.Errorf("fine: %+v", c)
		}
		if c := h.Modules["failing"]; c.Healthy || c.Message != "no disk" {
			t.Errorf("failing: %+v", c)
		}
		if c := h.Modules["hangs"]; c.Healthy || !strings.Contains(c.Message, "2s") {
			t.Errorf("hangs: %+v", c)
		}
		if c := h.Modules["panics"]; c.Healthy || !strings.Contains(c.Message, "panicked") {
			t.Errorf("panics: %+v", c)
		}
		if c := h.Modules["plain"]; !c.Healthy || c.Checked {
			t.Errorf("plain: %+v", c)
		}
		if !h.Transport.Healthy || h.Healthy || !strings.Contains(h.Message, "module hangs") {
			t.Errorf("health: %+v", h)
		}
		began = time.Now()
		if c := app.Health(t.Context()).Modules["hangs"]; !strings.Contains(c.Message, "has not returned") {
			t.Errorf("a hanging check was started again: %+v after %v", c, time.Since(began))
		}
		text, err := json.Marshal(h)
		if err != nil || !strings.Contains(string(text), `"fine":{"healthy":true,"checked":true,"details":{"rows":5},"duration":"1s"}`) || !strings.Contains(string(text), `"state":"running"`) {
			t.Errorf("JSON: %s, %v", text, err)
		}
		close(release)
	})
}

// Describe lists the readers of a stream separately from its writers.
func TestDescribeReaders(t *testing.T) {
	t.Parallel()
	history := mono.NewStream[fact]("test.history")
	app := newApp(t)
	app.Add(
		module("writer", func(s *mono.Scope) { history.Appender(s) }),
		module("reader", func(s *mono.Scope) { history.Reader(s) }))
	begin(t, app)
	got := app.Describe()
	if h := got.Handles[0]; !slices.Equal(h.Produces, []string{"writer"}) || !slices.Equal(h.Reads, []string{"reader"}) {
		t.Errorf("handle %+v", h)
	}
	if m := got.Modules[1]; m.Name != "reader" || !slices.Equal(m.Reads, []string{"stream test.history"}) {
		t.Errorf("module %+v", m)
	}
}

// Describe shows backoff policies in words.
func TestDescribeBackoff(t *testing.T) {
	t.Parallel()
	for want, policy := range map[string]mono.BackoffPolicy{
		"1m0s":                      mono.Constant(time.Minute),
		"exponential, 1s to 1h0m0s": mono.Exponential(time.Second, time.Hour),
		"[1s 1m0s]":                 mono.Waits(time.Second, time.Minute),
	} {
		app := newApp(t)
		app.Add(module("sender", func(s *mono.Scope) { mono.NewQueue[fact]("test.waits", mono.Backoff(policy)).Enqueuer(s) }))
		begin(t, app)
		if got := app.Describe().Handles[0].Settings["Backoff"]; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Describe lists modules in start order and handles by kind and name, with their settings.
// Its JSON is the same for each call.
func TestDescribe(t *testing.T) {
	t.Parallel()
	var versioned = mono.NewService[question, reply]("test.versioned", mono.Version("1.2.3"), mono.Doc("answers questions"))
	app := newApp(t, mono.Namespace("shop"))
	app.Remote(askPack)
	app.Add(
		module("user", func(s *mono.Scope) {
			versioned.Client(s)
			askPack.Client(s)
			announced.Publisher(s)
			keyed.Publisher(s)
		}),
		module("provider", func(s *mono.Scope) { versioned.Handle(s, echo) }),
		listener("listener", announced, make(chan fact)))
	if got := app.Describe(); got.State != mono.StateCreated || len(got.Modules) != 0 {
		t.Errorf("before the start: %+v", got)
	}
	begin(t, app)
	got := app.Describe()
	wantModules := []mono.ModuleInfo{
		{Name: "provider", Version: "0.0.0", Provides: []string{"service test.versioned"}},
		{Name: "user", Version: "0.0.0", Needs: []string{"service test.versioned", "service test.ask-pack"}, Produces: []string{"event test.announced", "event test.keyed"}},
		{Name: "listener", Version: "0.0.0", Consumes: []string{"event test.announced"}},
	}
	if !reflect.DeepEqual(got.Modules, wantModules) {
		t.Errorf("modules:\n%+v\nwant\n%+v", got.Modules, wantModules)
	}
	var names []string
	for _, h := range got.Handles {
		names = append(names, string(h.Kind)+" "+h.Name)
	}
	if want := []string{"event test.announced", "event test.keyed", "service test.ask-pack", "service test.versioned"}; !slices.Equal(names, want) {
		t.Errorf("handles %q, want %q", names, want)
	}
	h := got.Handles[3]
	if h.Version != "1.2.3" || h.Doc != "answers questions" || h.Subject != "shop.services.test.versioned" || h.Codec != "application/json" ||
		!slices.Equal(h.Types, []string{"mono_test.question", "mono_test.reply"}) || !slices.Equal(h.Provides, []string{"provider"}) || !slices.Equal(h.Needs, []string{"user"}) ||
		!strings.Contains(h.Declared, "observe_test.go:") {
		t.Errorf("got %+v", h)
	}
	if !got.Handles[2].Remote || got.Handles[2].Codec != "application/msgpack" || got.Handles[1].Subject != "shop.events.test.keyed._k.*" {
		t.Errorf("got %+v", got.Handles)
	}
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(app.Describe())
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("two calls differ: %s, %s", a, b)
	}
}

// Observers learn of changes of dead letters and deletions of groups, with the context of who
// makes them.
func TestOperationsAreObserved(t *testing.T) {
	t.Parallel()
	type userKey struct{}
	q := mono.NewQueue[job]("observed.failed", mono.MaxAttempts(1))
	st := mono.NewStream[job]("observed.told")
	onBackends(t, func(t *testing.T, b backend) {
		b.within(t, func(*mono.App) {}, consumer("old", st, make(chan handled, 1), succeed))
		var mu sync.Mutex
		var got []string
		app := b.app(t, module("bad", func(s *mono.Scope) {
			q.Handle(s, func(_ context.Context, j job) error {
				if j.N < 10 {
					return errors.New("no")
				}
				return nil
			})
		}))
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			mu.Lock()
			defer mu.Unlock()
			switch o := o.(type) {
			case mono.DeadLetterChanged:
				got = append(got, fmt.Sprint(o.Change, " ", o.Handle.Name(), " ", o.Group, " ", o.ID, " ", o.Context.Value(userKey{})))
			case mono.GroupDeleted:
				got = append(got, fmt.Sprint("deleted ", o.Handle.Name(), " ", o.Group, " ", o.Context.Value(userKey{})))
			}
		}))
		begin(t, app)
		dl := q.DeadLetters(app)
		for _, id := range []string{"a", "b"} {
			if err := q.With(mono.DedupID(id)).Enqueue(t.Context(), app, job{N: 1}); err != nil {
				t.Fatal(err)
			}
		}
		all := awaitDeadLetters(t, dl, 2)
		slices.SortFunc(all, func(a, b mono.DeadLetter[job]) int { return strings.Compare(a.ID, b.ID) })
		ctx := context.WithValue(t.Context(), userKey{}, "ada")
		edited, err := dl.Edit(ctx, all[0], job{N: 10})
		if err != nil {
			t.Fatal(err)
		}
		if err := dl.Replay(ctx, edited); err != nil {
			t.Fatal(err)
		}
		if err := dl.Discard(ctx, all[1]); err != nil {
			t.Fatal(err)
		}
		if err := dl.Replay(ctx, all[1]); mono.CodeOf(err) != mono.NotFound {
			t.Errorf("a replay of what is gone: %v", err)
		}
		if err := mono.DeleteGroup(ctx, app, st, "old"); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		want := []string{"edited observed.failed workers a ada", "replayed observed.failed workers a ada", "discarded observed.failed workers b ada", "deleted observed.told old ada"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
