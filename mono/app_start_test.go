package mono_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// problems starts an App that cannot start and returns the problems of the report.
func problems(t *testing.T, app *mono.App) []mono.Problem {
	t.Helper()
	t.Cleanup(func() { _ = app.Stop(context.Background()) })
	err := app.Start(t.Context())
	report, ok := errors.AsType[*mono.StartError](err)
	if !ok {
		t.Fatalf("Start: %v, want a StartError", err)
	}
	if !errors.Is(err, mono.ErrFailedPrecondition) || app.State() != mono.StateCreated {
		t.Errorf("code %v, state %v", mono.CodeOf(err), app.State())
	}
	return report.Problems
}

// requireProblem checks that exactly one problem contains all texts.
func requireProblem(t *testing.T, all []mono.Problem, texts ...string) {
	t.Helper()
	n := 0
	for _, p := range all {
		found := true
		for _, text := range texts {
			found = found && strings.Contains(p.String(), text)
		}
		if found {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d problems contain %q, want 1, of:\n%v", n, texts, all)
	}
}

type badPayload struct {
	Notify chan int
}

// storeless is a transport without logs.
type storeless struct{ transport.Transport }

func (s storeless) Capabilities() transport.Capabilities {
	c := s.Transport.Capabilities()
	c.Logs, c.Delays, c.Partitions = false, false, false
	return c
}

// Start reports all mistakes at once.
func TestStartReportsAllProblems(t *testing.T) {
	t.Parallel()
	var (
		missing  = mono.NewService[question, reply]("report.missing")
		twice    = mono.NewService[question, reply]("report.twice")
		typesA   = mono.NewEvent[question]("report.types")
		typesB   = mono.NewEvent[reply]("report.types")
		optionsA = mono.NewEvent[question]("report.options")
		optionsB = mono.NewEvent[question]("report.options", mono.Broadcast())
		nilled   = mono.NewEvent[question]("report.nil")
		bad      = mono.NewEvent[badPayload]("report.bad")
		jobs     = mono.NewQueue[question]("report.jobs")
		unkeyed  = mono.NewEvent[question]("report.unkeyed")
		ping     = mono.NewService[question, reply]("report.ping")
		pong     = mono.NewService[question, reply]("report.pong")
		db       = mono.NewResource[int]("report.db")
		lost     = mono.NewResource[int]("report.lost")
		ticks    = mono.NewChannel[int]("report.ticks")
	)
	receive := func(context.Context, question) error { return nil }
	app := mono.New(storeless{openInproc(t)}, quiet(t))
	app.Add(
		module("a", func(s *mono.Scope) {
			missing.Client(s)
			twice.Handle(s, echo)
			typesA.Publisher(s)
			optionsA.Publisher(s)
			ping.Client(s)
			pong.Handle(s, echo)
			db.Provide(s, func(context.Context) (int, error) { return 1, nil })
			ticks.Send(s)
		}),
		module("b", func(s *mono.Scope) {
			twice.Handle(s, echo)
			typesB.Handle(s, func(context.Context, reply) error { return nil })
			optionsB.Handle(s, receive)
			nilled.Handle(s, nil)
			bad.Publisher(s)
			pong.Client(s)
			ping.Handle(s, echo)
			db.Provide(s, func(context.Context) (int, error) { return 2, nil })
			lost.Need(s, new(int))
			lost.Need(s, nil)
		}),
		module("c", func(s *mono.Scope) {
			jobs.Handle(s, receive)
			unkeyed.Handle(s, receive, mono.Keys("x"), mono.Group("g"))
			unkeyed.Handle(s, receive, mono.Group("g"))
			unkeyed.Handle(s, receive, mono.Group("Not A Group"), mono.Concurrency(0))
		}),
		module("c", func(*mono.Scope) {}),
		module("Bad Name", func(*mono.Scope) {}),
		mono.NewModule("fails", func(*mono.Scope) error { return errors.New("cannot bind") }),
		mono.NewModule("panics", func(*mono.Scope) error { panic("oops") }),
		nil,
		(*lifecycle)(nil),
	)
	got := problems(t, app)
	requireProblem(t, got, "module a", "service report.missing", "no module provides it", "app.Remote")
	requireProblem(t, got, "module b", "service report.twice", "provided twice", "module a", "app_start_test.go")
	requireProblem(t, got, "event report.types", "declared twice", "question", "reply", "app_start_test.go")
	requireProblem(t, got, "event report.options", "declared twice", "Broadcast")
	requireProblem(t, got, "event report.nil", "nil")
	requireProblem(t, got, "event report.bad", "application/json", "Notify")
	requireProblem(t, got, "queue report.jobs", "stores messages", "inproc")
	requireProblem(t, got, "event report.unkeyed", "KeyedBy")
	requireProblem(t, got, "event report.unkeyed", `group "g"`)
	requireProblem(t, got, "event report.unkeyed", "Not A Group")
	requireProblem(t, got, "event report.unkeyed", "Concurrency(0)")
	requireProblem(t, got, "cycle", "a → b (service report.ping) → a (service report.pong)")
	requireProblem(t, got, "resource report.db", "provided twice")
	requireProblem(t, got, "resource report.lost", "no module provides it")
	requireProblem(t, got, "resource report.lost", "nil pointer")
	requireProblem(t, got, "channel report.ticks", "no module receives")
	requireProblem(t, got, "module c", "two modules have this name")
	requireProblem(t, got, `"Bad Name" cannot be the name`)
	requireProblem(t, got, "module fails", "cannot bind")
	requireProblem(t, got, "module panics", "panicked")
	requireProblem(t, got, "a module is nil")
	if len(got) != 21 {
		t.Errorf("%d problems, want 21:\n%v", len(got), got)
	}
}

// dated would lose its Note, since the promoted methods of time.Time encode it.
type dated struct {
	time.Time
	Note string
}

// joined has two fields with one name in JSON. apart has none.
type (
	twinA  struct{ Name string }
	twinB  struct{ Name string }
	joined struct {
		twinA
		Name string
	}
	apart struct {
		First twinA
		twinB
	}
)

// Start reports all payload types that would lose a field, before the first message.
func TestStartReportsLossyPayloads(t *testing.T) {
	t.Parallel()
	methods := map[codec.Codec]string{codec.JSON: "has MarshalJSON", codec.MessagePack: "has MarshalBinary"}
	for k, method := range methods {
		var (
			service = mono.NewService[dated, map[string]big.Int]("lossy.service")
			queue   = mono.NewQueue[[]dated]("lossy.queue")
			event   = mono.NewEvent[joined]("lossy.event")
			stream  = mono.NewStream[struct{ Inner *dated }]("lossy.stream")
			fine    = mono.NewEvent[apart]("lossy.not")
		)
		app := mono.New(openInproc(t), quiet(t), mono.DefaultCodec(k))
		app.Add(module("a", func(s *mono.Scope) {
			service.Handle(s, func(context.Context, dated) (map[string]big.Int, error) { return nil, nil })
			queue.Enqueuer(s)
			event.Publisher(s)
			stream.Appender(s)
			fine.Publisher(s)
		}))
		got := problems(t, app)
		carry := k.ContentType() + " cannot carry "
		requireProblem(t, got, "module a", "service lossy.service", carry+"mono_test.dated: dated.Note: mono_test.dated "+method+" from the embedded time.Time", "make time.Time a named field")
		requireProblem(t, got, "service lossy.service", carry+"map[string]big.Int: ", "its pointer")
		requireProblem(t, got, "queue lossy.queue", carry+"[]mono_test.dated: ", "Note", method)
		requireProblem(t, got, "event lossy.event", carry+"mono_test.joined: ", "joined.Name", `two fields are named "Name"`)
		requireProblem(t, got, "stream lossy.stream", carry, "Inner.Note", method)
		if len(got) != 5 {
			t.Errorf("%d problems, want 5:\n%v", len(got), got)
		}
	}
}

// An invalid declaration panics with the value and the line of the declaration.
func TestDeclarationPanics(t *testing.T) {
	t.Parallel()
	for name, declare := range map[string]func(){
		`"with space"`:            func() { mono.NewService[int, int]("with space") },
		`"wild.*"`:                func() { mono.NewEvent[int]("wild.*") },
		`"all.>"`:                 func() { mono.NewQueue[int]("all.>") },
		`"Upper"`:                 func() { mono.NewStream[int]("Upper") },
		`""`:                      func() { mono.NewChannel[int]("") },
		`"a..b"`:                  func() { mono.NewResource[int]("a..b") },
		`"a-"`:                    func() { mono.NewFailure[int]("a-", mono.Aborted) },
		`"_k"`:                    func() { mono.NewEvent[int]("_k") },
		`"zero"`:                  func() { mono.NewService[int, int]("zero", mono.Concurrency(0)) },
		`"version"`:               func() { mono.NewService[int, int]("version", mono.Version("one")) },
		`"both"`:                  func() { mono.NewEvent[int]("both", mono.Durable(), mono.Broadcast()) },
		`"no-code"`:               func() { mono.NewFailure[int]("no-code", "") },
		`"no-json"`:               func() { mono.NewFailure[chan int]("no-json", mono.Aborted) },
		"HTTPStatus(200)":         func() { mono.NewFailure[int]("status", mono.Aborted, mono.HTTPStatus(200)) },
		"HTTPStatus(399)":         func() { mono.NewFailure[int]("status", mono.Aborted, mono.HTTPStatus(399)) },
		"want 400 to 599":         func() { mono.NewFailure[int]("status", mono.Aborted, mono.HTTPStatus(600)) },
		"HTTPStatus(0)":           func() { mono.NewFailure[int]("status", mono.Aborted, mono.HTTPStatus(0)) },
		"an option is nil":        func() { mono.NewFailure[int]("status", mono.Aborted, nil) },
		`"backoff"`:               func() { mono.NewQueue[int]("backoff", mono.MaxAttempts(2), mono.Backoff(mono.Waits(1, 2))) },
		`"backoff-5"`:             func() { mono.NewQueue[int]("backoff-5", mono.Backoff(mono.Waits(1, 2, 3, 4, 5))) },
		"or raise MaxAttempts":    func() { mono.NewStream[int]("waits", mono.MaxAttempts(1), mono.Backoff(mono.Waits(1))) },
		`"non-persistent"`:        func() { mono.NewQueue[int]("non-persistent", mono.NonPersistent(), mono.MaxAttempts(3)) },
		`"key"`:                   func() { mono.NewEvent[int]("key").KeyedBy(nil) },
		strings.Repeat("x", 2000): func() { mono.NewEvent[int](strings.Repeat("x", 2000)) },
	} {
		func() {
			defer func() {
				v := recover()
				if text := fmt.Sprint(v); v == nil || !strings.Contains(text, name) || !strings.Contains(text, "app_start_test.go:") {
					t.Errorf("declaring %s: %v", name, v)
				}
			}()
			declare()
		}()
	}
}

// Modules start in the same order in every run, dependencies first, and stop in reverse.
func TestStartAndStopOrder(t *testing.T) {
	t.Parallel()
	var (
		one   = mono.NewService[int, int]("order.one")
		db    = mono.NewResource[string]("order.db")
		pipe  = mono.NewChannel[int]("order.pipe")
		event = mono.NewEvent[int]("order.event")
	)
	same := func(_ context.Context, n int) (int, error) { return n, nil }
	for range 20 {
		var tr trace
		unit := func(name string, bind func(*mono.Scope)) mono.Module {
			return &lifecycle{name: name,
				bind:  func(s *mono.Scope) error { bind(s); return nil },
				start: func(context.Context) error { tr.add(name); return nil },
				stop:  func(context.Context) error { tr.add("-" + name); return nil }}
		}
		app := newApp(t)
		app.Add(
			unit("caller", func(s *mono.Scope) { one.Client(s); event.Handle(s, func(context.Context, int) error { return nil }) }),
			unit("sender", func(s *mono.Scope) { pipe.Send(s) }),
			unit("receiver", func(s *mono.Scope) { pipe.Receive(s) }),
			unit("provider", func(s *mono.Scope) { one.Handle(s, same); db.Need(s, new(string)); event.Publisher(s) }),
			unit("free", func(*mono.Scope) {}),
		)
		app.Plugin("database", unit("", func(s *mono.Scope) {
			db.Provide(s, func(context.Context) (string, error) { tr.add("open"); return "x", nil })
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"open", "", "provider", "caller", "receiver", "sender", "free",
			"-free", "-sender", "-receiver", "-caller", "-provider", "-"}
		if got := tr.all(); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// A module can call its dependencies in its Start.
func TestStartMayCallDependencies(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var client handler
		var got reply
		p.start(t,
			&lifecycle{name: "caller",
				bind: func(s *mono.Scope) error { client = ask.Client(s); return nil },
				start: func(ctx context.Context) (err error) {
					got, err = client(ctx, question{Text: "early"})
					return err
				}},
			provider(echo))
		if got.Text != "early" {
			t.Errorf("got %v", got)
		}
	})
}

// closer is a resource that calls closed in Close.
type closer struct{ closed func() }

func (c *closer) Close() error { c.closed(); return nil }

var errStart = errors.New("cannot")

// A failed start stops all started modules, including plugins and middleware, and the App
// can be started again.
func TestFailedStartIsRolledBack(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var tr trace
		db := mono.NewResource[*closer]("rollback.db")
		fail := true
		hooks := func(name string, start func() error) *lifecycle {
			return &lifecycle{name: name,
				start: func(context.Context) error { tr.add(name); return start() },
				stop:  func(context.Context) error { tr.add("-" + name); return nil }}
		}
		fine := func() error { return nil }
		plugin := hooks("plugin", fine)
		plugin.bind = func(s *mono.Scope) error {
			db.Provide(s, func(context.Context) (*closer, error) { return &closer{func() { tr.add("close") }}, nil })
			return nil
		}
		first := hooks("first", fine)
		first.bind = func(s *mono.Scope) error { ask.Handle(s, echo); return nil }
		second := hooks("second", func() error {
			if fail {
				return errStart
			}
			return nil
		})
		app := p.app(t)
		app.Plugin("plugin", plugin)
		app.Use(&moduleMiddleware{lifecycle: hooks("middleware", fine)})
		app.Add(first, second, hooks("third", fine))
		err := app.Start(t.Context())
		if !errors.Is(err, errStart) || !strings.Contains(err.Error(), "module second: Start") || app.State() != mono.StateCreated {
			t.Errorf("Start: %v, state %v", err, app.State())
		}
		want := []string{"middleware", "plugin", "first", "second", "-first", "-plugin", "close", "-middleware"}
		if got := tr.all(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if _, err := ask.Call(t.Context(), app, question{}); !errors.Is(err, mono.ErrUnavailable) {
			t.Errorf("a call after the failed start: %v", err)
		}
		fail = false
		begin(t, app)
		if got, err := ask.Call(t.Context(), app, question{Text: "again"}); err != nil || got.Text != "again" {
			t.Errorf("a call after the second start: %v, %v", got, err)
		}
	})
}

type moduleMiddleware struct{ *lifecycle }

func (*moduleMiddleware) Wrap(next mono.Next) mono.Next { return next }

// If the start times out, the error names the module that hangs.
func TestStartNamesTheModuleThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		app := newApp(t, mono.StartTimeout(time.Second))
		app.Add(&lifecycle{name: "hangs", start: func(context.Context) error { <-release; return nil }})
		err := app.Start(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "module hangs") {
			t.Errorf("got %v", err)
		}
		close(release)
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A panic in a Start is an internal error that names the module.
func TestPanicInStart(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	app.Add(&lifecycle{name: "panics", start: func(context.Context) error { panic("x") }})
	if err := app.Start(t.Context()); mono.CodeOf(err) != mono.Internal || !strings.Contains(err.Error(), "module panics") {
		t.Errorf("got %v", err)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// An App passes through its states once. A second Start fails, and a second Stop succeeds.
func TestStates(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	var states []mono.State
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if s, ok := o.(mono.StateChanged); ok {
			states = append(states, s.To)
		}
	}))
	if _, err := ask.Call(t.Context(), app, question{}); !errors.Is(err, mono.ErrUnavailable) {
		t.Errorf("a call before Start: %v", err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); !errors.Is(err, mono.ErrFailedPrecondition) {
		t.Errorf("a second Start: %v", err)
	}
	for range 2 {
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := app.Start(t.Context()); !errors.Is(err, mono.ErrFailedPrecondition) {
		t.Errorf("a Start after Stop: %v", err)
	}
	if want := []mono.State{mono.StateStarting, mono.StateRunning, mono.StateStopping, mono.StateStopped}; !reflect.DeepEqual(states, want) {
		t.Errorf("got %v, want %v", states, want)
	}
}

// Stop of an App that never started closes the transport.
func TestStopWithoutStart(t *testing.T) {
	t.Parallel()
	tr := inproc.New(inproc.Options{})
	app := mono.New(tr, quiet(t))
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tr.Ping(t.Context()); mono.CodeOf(err) != mono.Unavailable {
		t.Errorf("the transport is open: %v", err)
	}
}

// A module cannot send through a handle that it has not declared. The error names the
// module and Scope.Use.
func TestUndeclaredSend(t *testing.T) {
	t.Parallel()
	var scope *mono.Scope
	app := newApp(t)
	app.Add(module("undeclared", func(s *mono.Scope) { scope = s }), provider(echo))
	begin(t, app)
	_, err := ask.Call(t.Context(), scope, question{})
	if !errors.Is(err, mono.ErrFailedPrecondition) || !strings.Contains(err.Error(), "module undeclared") || !strings.Contains(err.Error(), "Scope.Use") {
		t.Errorf("got %v", err)
	}
}

// A handle declared with Scope.Use can send from the Scope, with any options.
func TestScopeUse(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var scope *mono.Scope
		app := p.start(t, module("user", func(s *mono.Scope) { scope = s; s.Use(ask) }), provider(echo))
		if got, err := ask.With(mono.Header("A", "b")).Call(t.Context(), scope, question{Text: "x"}); err != nil || got.Text != "x" {
			t.Errorf("got %v, %v", got, err)
		}
		_ = app
	})
}

// A declaration after Bind panics.
func TestDeclareOutsideBindPanics(t *testing.T) {
	t.Parallel()
	var scope *mono.Scope
	app := newApp(t)
	app.Add(module("late", func(s *mono.Scope) { scope = s }))
	begin(t, app)
	defer func() {
		if v := fmt.Sprint(recover()); !strings.Contains(v, "test.ask") || !strings.Contains(v, "Bind") {
			t.Errorf("got %v", v)
		}
	}()
	ask.Handle(scope, echo)
}

// Same compares the kind and the name of handles and ignores options.
func TestSame(t *testing.T) {
	t.Parallel()
	again := mono.NewService[question, reply]("test.ask")
	if !mono.Same(ask, again) || !mono.Same(ask, ask.With(mono.Header("a", "b"))) || mono.Same(ask, askPack) || mono.Same(ask, mono.NewEvent[int]("test.ask")) {
		t.Error("Same returned a wrong result")
	}
}
