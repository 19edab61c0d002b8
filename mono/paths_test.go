package mono_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

// path is a way to deliver messages. The behavior of mono must not depend on it.
type path struct {
	name         string
	noLocalCalls bool
	open         func(t testing.TB) transport.Transport
}

var paths = []path{
	{"local", false, openInproc},
	{"inproc", true, openInproc},
	{"nats", true, openNATS},
}

func openNATS(t testing.TB) transport.Transport {
	tr, err := embedded.Open(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(context.Background()); err != nil {
			t.Errorf("closing the transport: %v", err)
		}
	})
	return tr
}

func openInproc(t testing.TB) transport.Transport {
	tr := inproc.New(inproc.Options{})
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// onPaths runs a test on each path.
func onPaths(t *testing.T, test func(t *testing.T, p path)) {
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// app returns an App on the path. It logs to the test.
func (p path) app(t testing.TB, opts ...mono.AppOption) *mono.App {
	if p.noLocalCalls {
		opts = append(opts, mono.NoLocalCalls())
	}
	return mono.New(p.open(t), append([]mono.AppOption{quiet(t)}, opts...)...)
}

// start starts an App on the path and stops it when the test ends.
func (p path) start(t testing.TB, modules ...mono.Module) *mono.App {
	t.Helper()
	app := p.app(t)
	app.Add(modules...)
	begin(t, app)
	return app
}

// begin starts an App and stops it when the test ends.
func begin(t testing.TB, app *mono.App) {
	t.Helper()
	if err := app.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
}

// newApp returns an App in memory.
func newApp(t testing.TB, opts ...mono.AppOption) *mono.App {
	return path{open: openInproc}.app(t, opts...)
}

// module returns a module from a bind function without an error.
func module(name string, bind func(*mono.Scope)) mono.Module {
	return mono.NewModule(name, func(s *mono.Scope) error {
		bind(s)
		return nil
	})
}

// quiet writes the log of an App to the test until the test ends. An abandoned handler may
// still log after that.
func quiet(t testing.TB) mono.AppOption {
	out := &testOutput{w: t.Output()}
	t.Cleanup(func() { out.to(io.Discard) })
	return mono.Logger(slog.New(slog.NewTextHandler(out, nil)))
}

type testOutput struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *testOutput) to(w io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = w
}

func (o *testOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// logBuffer is a log in memory.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) option() mono.AppOption {
	return mono.Logger(slog.New(slog.NewTextHandler(l, nil)))
}

// lifecycle is a module whose hooks are functions.
type lifecycle struct {
	name   string
	bind   func(*mono.Scope) error
	start  func(context.Context) error
	stop   func(context.Context) error
	health func(context.Context) error
}

func (m *lifecycle) Name() string { return m.name }

func (m *lifecycle) Bind(s *mono.Scope) error {
	if m.bind == nil {
		return nil
	}
	return m.bind(s)
}

func (m *lifecycle) Start(ctx context.Context) error {
	if m.start == nil {
		return nil
	}
	return m.start(ctx)
}

func (m *lifecycle) Stop(ctx context.Context) error {
	if m.stop == nil {
		return nil
	}
	return m.stop(ctx)
}

func (m *lifecycle) Health(ctx context.Context) error {
	if m.health == nil {
		return nil
	}
	return m.health(ctx)
}

// trace is a list of texts that several goroutines can append to.
type trace struct {
	mu   sync.Mutex
	list []string
}

func (tr *trace) add(s string) {
	tr.mu.Lock()
	tr.list = append(tr.list, s)
	tr.mu.Unlock()
}

func (tr *trace) all() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return append([]string(nil), tr.list...)
}
