package mono_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// backend is something that stores, to which any number of Apps connect one after
// another or at once.
type backend struct {
	name    string
	connect func() transport.Transport
}

// onBackends runs a test on every backend that stores. What a user sees must not
// depend on it.
func onBackends(t *testing.T, test func(t *testing.T, b backend)) {
	for name, open := range map[string]func(*testing.T) func() transport.Transport{"inproc": inprocBackend, "nats": natsBackend} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, backend{name, open(t)})
		})
	}
}

func inprocBackend(*testing.T) func() transport.Transport {
	b := inproc.NewBackend(nil)
	return func() transport.Transport { return b.Connect() }
}

func natsBackend(t *testing.T) func() transport.Transport {
	server, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Errorf("stopping the server: %v", err)
		}
	})
	return func() transport.Transport {
		tr, err := server.Connect(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
}

// die ends a transport as the end of its process would.
func die(tr transport.Transport) {
	if tr, ok := tr.(*inproc.Transport); ok {
		tr.Kill()
		return
	}
	conn, _ := natsx.Conn(tr)
	conn.Close()
}

// app makes an App that logs to the test.
func (b backend) app(t *testing.T, modules ...mono.Module) *mono.App {
	app := mono.New(b.connect(), quiet(t))
	app.Add(modules...)
	return app
}

// start starts an App of modules and stops it with the test.
func (b backend) start(t *testing.T, modules ...mono.Module) *mono.App {
	t.Helper()
	app := b.app(t, modules...)
	begin(t, app)
	return app
}

// within runs modules until f has returned.
func (b backend) within(t *testing.T, f func(*mono.App), modules ...mono.Module) {
	t.Helper()
	app := b.app(t, modules...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f(app)
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// job is work that a test gives.
type job struct {
	N   int    `json:"n"`
	Key string `json:"key,omitempty"`
}

func (j job) key() string { return j.Key }

// handled is what a handler saw.
type handled struct {
	job
	attempt int
	id      string
}

// worker is a module that works on a queue: it tells what it got and returns what
// do says.
func worker(name string, q mono.Queue[job], got chan<- handled, do func(handled) error, opts ...mono.QueueHandlerOption) mono.Module {
	return module(name, func(s *mono.Scope) {
		q.Handle(s, func(ctx context.Context, j job) error {
			c := mono.CallFrom(ctx)
			h := handled{j, c.Attempt(), c.ID()}
			err := do(h)
			got <- h
			return err
		}, opts...)
	})
}

func succeed(handled) error { return nil }

// next returns the next value of a channel, and fails the test when none comes.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// none fails the test when something has come. What could have come was there
// before the caller looked.
func none[T any](t *testing.T, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Errorf("%v came", v)
	default:
	}
}

// letters lists the dead letters that match.
func letters[T any](t *testing.T, dl mono.DeadLetters[T], f mono.LetterFilter) []mono.Letter[T] {
	t.Helper()
	var all []mono.Letter[T]
	for l, err := range dl.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// awaitLetters waits until there are n dead letters.
func awaitLetters[T any](t *testing.T, dl mono.DeadLetters[T], n int) []mono.Letter[T] {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if all := letters(t, dl, mono.LetterFilter{}); len(all) >= n {
			return all
		}
	}
	t.Fatalf("%d dead letters, want %d", len(letters(t, dl, mono.LetterFilter{})), n)
	return nil
}
