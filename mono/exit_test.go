package mono_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport/natsx/embedded"
)

var deadly = mono.NewQueue[job]("kill.deadly", mono.MaxAttempts(3), mono.AckWait(time.Second))

// exitingWorkerEnv is the environment variable that makes the test binary a worker whose
// handler ends the process. Its value is the directory of the store.
const exitingWorkerEnv = "MONO_TEST_EXITING_WORKER"

// runExitingWorker runs the worker. It prints each attempt and the reason of the dead
// letter.
func runExitingWorker(dir string) error {
	ctx := context.Background()
	tr, err := embedded.Open(ctx, embedded.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	dead := make(chan mono.MessageDeadLettered, 1)
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if o, ok := o.(mono.MessageDeadLettered); ok {
			dead <- o
		}
	}))
	app.Add(module("worker", func(s *mono.Scope) {
		s.Use(deadly)
		deadly.Handle(s, func(ctx context.Context, _ job) error {
			fmt.Println("attempt", mono.CallFrom(ctx).Attempt())
			os.Exit(3) // like log.Fatal or the out-of-memory killer
			return nil
		})
	}))
	if err := app.Start(ctx); err != nil {
		return err
	}
	if err := deadly.With(mono.DedupID("the only one")).Enqueue(ctx, app, job{}); err != nil {
		return err
	}
	deadLetter := <-dead
	fmt.Println("dead letter:", deadLetter.Reason)
	return nil
}

// A handler that ends its process uses one attempt each time, also if the NATS server ends
// with it, until the job becomes a dead letter. Each process sends the job again with the
// same id, and the job is stored once.
func TestHandlerThatEndsItsProcessUsesAnAttempt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var printed []string
	for range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), exitingWorkerEnv+"="+dir)
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Fatal(err)
		}
		printed = append(printed, strings.Split(strings.TrimSpace(string(text)), "\n")...)
	}
	if want := []string{"attempt 1", "attempt 2", "attempt 3", "dead letter: outcome_unknown"}; !slices.Equal(printed, want) {
		t.Errorf("got %q, want %q", printed, want)
	}
}
