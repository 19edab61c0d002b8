package mono_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// backend is a message store. Any number of Apps can connect to it, at once or one after
// another.
type backend struct {
	name    string
	connect func() transport.Transport
}

// onBackends runs a test on each backend that stores messages. The behavior of mono must not
// depend on it.
func onBackends(t *testing.T, test func(t *testing.T, b backend)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, backend{name, open(t)})
		})
	}
}

// onBackendsInTime is onBackends for a test that must extend an AckWait in time. A round in
// which the machine stalled is repeated.
func onBackendsInTime(t *testing.T, ackWait time.Duration, test func(t testing.TB, b backend)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rounds := &realtime.Rounds{Stall: ackWait / 5}
			rounds.Run(t, func(t testing.TB) { test(t, backend{name, open(t)}) })
		})
	}
}

var stores = map[string]func(testing.TB) func() transport.Transport{"inproc": inprocBackend, "nats": natsBackend}

func inprocBackend(testing.TB) func() transport.Transport {
	b := inproc.NewBackend(inproc.Options{})
	return func() transport.Transport { return b.Connect() }
}

func natsBackend(t testing.TB) func() transport.Transport {
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
		t.Cleanup(func() { _ = tr.Close(context.Background()) }) // it logs to the test when the server stops
		return tr
	}
}

// die closes a transport abruptly, like the end of its process.
func die(tr transport.Transport) {
	if tr, ok := tr.(*inproc.Transport); ok {
		tr.Kill()
		return
	}
	conn, _ := natsx.Conn(tr)
	conn.Close()
}

// app returns an App that logs to the test.
func (b backend) app(t testing.TB, modules ...mono.Module) *mono.App {
	app := mono.New(b.connect(), quiet(t))
	app.Add(modules...)
	return app
}

// start starts an App and stops it when the test ends.
func (b backend) start(t testing.TB, modules ...mono.Module) *mono.App {
	t.Helper()
	app := b.app(t, modules...)
	begin(t, app)
	return app
}

// within runs an App with modules until f returns.
func (b backend) within(t testing.TB, f func(*mono.App), modules ...mono.Module) {
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

// job is the payload of queues and streams in tests.
type job struct {
	N   int    `json:"n"`
	Key string `json:"key,omitempty"`
}

func (j job) key() string { return j.Key }

// handled is a job with the attempt and the id that its handler observed.
type handled struct {
	job
	attempt int
	id      string
}

// worker is a module that handles a queue. It forwards each job to a channel and returns the
// error of do.
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

// next returns the next value of a channel. It fails the test if none arrives.
func next[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	return realtime.Receive(t, c, "a value on a channel")
}

// none fails the test if a value is in the channel. The caller makes sure that any value
// would have arrived by now.
func none[T any](t testing.TB, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Errorf("got %v, want nothing", v)
	default:
	}
}

// listDeadLetters returns the dead letters that match a filter.
func listDeadLetters[T any](t testing.TB, dl mono.DeadLetters[T], f mono.DeadLetterFilter) []mono.DeadLetter[T] {
	t.Helper()
	var all []mono.DeadLetter[T]
	for l, err := range dl.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// awaitDeadLetters waits for at least n dead letters and returns all.
func awaitDeadLetters[T any](t testing.TB, dl mono.DeadLetters[T], n int) (all []mono.DeadLetter[T]) {
	t.Helper()
	realtime.Until(t, fmt.Sprintf("%d dead letters", n), func() bool {
		all = listDeadLetters(t, dl, mono.DeadLetterFilter{})
		return len(all) >= n
	})
	return all
}
