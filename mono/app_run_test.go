//go:build unix

package mono_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// Run returns when its context ends or the process gets SIGINT or SIGTERM. It stops the App
// in order and returns nil.
func TestRun(t *testing.T) {
	for name, end := range map[string]func(cancel context.CancelFunc) error{
		"context": func(cancel context.CancelFunc) error { cancel(); return nil },
		"SIGTERM": func(context.CancelFunc) error { return syscall.Kill(os.Getpid(), syscall.SIGTERM) },
		"SIGINT":  func(context.CancelFunc) error { return syscall.Kill(os.Getpid(), syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			started, stopped := make(chan struct{}), false
			ran := make(chan error)
			tr := inproc.New(inproc.Options{})
			go func() {
				ran <- mono.Run(ctx, tr, &lifecycle{name: "m",
					start: func(context.Context) error { close(started); return nil },
					stop: func(ctx context.Context) error {
						stopped = true
						return ctx.Err() // the end of Run must not end the context of Stop
					}})
			}()
			<-started
			if err := end(cancel); err != nil {
				t.Fatal(err)
			}
			if err := <-ran; err != nil || !stopped {
				t.Errorf("Run: %v, stopped %v", err, stopped)
			}
			if err := tr.Ping(context.Background()); mono.CodeOf(err) != mono.Unavailable {
				t.Errorf("the transport is open: %v", err)
			}
		})
	}
}

// Run closes the transport if the App does not start, in its short form and after New
// and Add.
func TestRunThatDoesNotStart(t *testing.T) {
	fails := &lifecycle{name: "m", start: func(context.Context) error { return errStart }}
	for name, run := range map[string]func(context.Context, transport.Transport) error{
		"mono.Run": func(ctx context.Context, tr transport.Transport) error { return mono.Run(ctx, tr, fails) },
		"App.Run": func(ctx context.Context, tr transport.Transport) error {
			return mono.New(tr, quiet(t)).Add(provider(echo)).Add(fails).Run(ctx)
		},
	} {
		tr := inproc.New(inproc.Options{})
		if err := run(t.Context(), tr); !errors.Is(err, errStart) {
			t.Errorf("%s: %v", name, err)
		}
		if err := tr.Ping(t.Context()); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("%s: the transport is open: %v", name, err)
		}
	}
}

// Run of a running App fails and does not stop it.
func TestRunOfARunningApp(t *testing.T) {
	app := newApp(t)
	app.Add(provider(echo))
	begin(t, app)
	if err := app.Run(t.Context()); mono.CodeOf(err) != mono.FailedPrecondition {
		t.Errorf("Run: %v", err)
	}
	if got, err := ask.Call(t.Context(), app, question{Text: "x"}); err != nil || got.Text != "x" {
		t.Errorf("got %v, %v", got, err)
	}
}
