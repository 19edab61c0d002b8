package mono_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// doomed is a queue whose workers are killed. Its AckWait is short, and MaxAttempts is
// above the number of kills.
var doomed = mono.NewQueue[job]("kill.doomed", mono.AckWait(time.Second), mono.MaxAttempts(1000))

// TestMain runs the test binary as a worker process if the environment asks for one.
func TestMain(m *testing.M) {
	if url := os.Getenv("MONO_TEST_WORKER"); url != "" {
		if err := runHangingWorker(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(exitingWorkerEnv); dir != "" {
		if err := runExitingWorker(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(realtime.Main(m))
}

// runHangingWorker runs a worker process that prints each job it begins and never finishes
// one.
func runHangingWorker(url string) error {
	tr, err := natsx.Connect(context.Background(), natsx.Options{URLs: []string{url}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	app.Add(module("worker", func(s *mono.Scope) {
		doomed.Handle(s, func(ctx context.Context, j job) error {
			fmt.Println(j.N, mono.CallFrom(ctx).Attempt())
			select {}
		})
	}))
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	select {}
}

// victim is a worker process that the test kills.
type victim struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func newVictim(t testing.TB, url string) *victim {
	v := &victim{cmd: exec.Command(os.Args[0])}
	v.cmd.Env = append(os.Environ(), "MONO_TEST_WORKER="+url)
	v.cmd.Stderr = t.Output()
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	v.out = bufio.NewReader(out)
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return v
}

// kill waits until the worker handles a job, kills the process, and returns the jobs and
// attempts that the worker began.
func (v *victim) kill(t testing.TB) (begun [][2]int) {
	line, err := v.out.ReadString('\n')
	if err != nil {
		t.Errorf("the worker ended: %v", err)
	}
	if err := v.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	rest, _ := io.ReadAll(v.out) // ends with the process
	_ = v.cmd.Wait()
	for text := range strings.Lines(line + string(rest)) {
		var n, attempt int
		if _, err := fmt.Sscan(text, &n, &attempt); err == nil {
			begun = append(begun, [2]int{n, attempt})
		}
	}
	return begun
}

// If 100 workers of one store are killed during a job, no job is lost or stuck, and every
// attempt is counted.
func TestKilledWorkersLoseNothing(t *testing.T) {
	t.Parallel()
	rounds := realtime.Rounds{Stall: time.Second / 5} // of the AckWait
	rounds.Run(t, killWorkers)
}

func killWorkers(t testing.TB) {
	const rounds, atOnce, jobs = 10, 10, 25
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	tr, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sender := mono.New(tr, quiet(t))
	begin(t, sender)
	for n := range jobs {
		if err := doomed.Enqueue(t.Context(), sender, job{N: n}); err != nil {
			t.Fatal(err)
		}
	}
	begun := make(map[[2]int]bool) // job and attempt
	kills := 0
	for range rounds {
		victims := make([]*victim, atOnce)
		for i := range victims {
			victims[i] = newVictim(t, server.ClientURL())
		}
		var mu sync.Mutex
		var wait sync.WaitGroup
		for _, v := range victims {
			wait.Go(func() {
				work := v.kill(t)
				mu.Lock()
				defer mu.Unlock()
				kills++
				for _, w := range work {
					if begun[w] {
						t.Errorf("attempt %d of job %d was begun twice", w[1], w[0])
					}
					begun[w] = true
				}
			})
		}
		wait.Wait()
	}
	if kills != rounds*atOnce || len(begun) < kills {
		t.Errorf("%d workers were killed in the middle of %d attempts, want %d", kills, len(begun), rounds*atOnce)
	}
	tried := make(map[int]int) // the last attempt that was begun, by job
	for w := range begun {
		tried[w[0]] = max(tried[w[0]], w[1])
	}
	got := make(chan handled, jobs)
	finisher, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	app := mono.New(finisher, quiet(t))
	app.Add(worker("worker", doomed, got, succeed, mono.Concurrency(jobs)))
	begin(t, app)
	done := make(map[int]bool)
	for range jobs {
		h := next(t, got)
		if done[h.N] {
			t.Errorf("job %d was done twice", h.N)
		}
		done[h.N] = true
		if h.attempt <= tried[h.N] {
			t.Errorf("job %d was done at attempt %d, after %d had begun", h.N, h.attempt, tried[h.N])
		}
	}
	if n := len(listDeadLetters(t, doomed.DeadLetters(app), mono.DeadLetterFilter{})); n > 0 {
		t.Errorf("%d dead letters", n)
	}
}
