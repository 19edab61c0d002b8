package audit_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// The environment makes the test binary a process that a test kills.
const (
	serverEnv = "MONO_AUDIT_SERVER" // the address, a space, and the directory
	writerEnv = "MONO_AUDIT_WRITER" // the URL of the server, a space, the key, a space, and a prefix for ids
)

func TestMain(m *testing.M) {
	var err error
	if os.Getenv(serverEnv)+os.Getenv(writerEnv) != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the test
			os.Exit(1)
		}()
	}
	switch {
	case os.Getenv(serverEnv) != "":
		err = runServer(strings.Fields(os.Getenv(serverEnv)))
	case os.Getenv(writerEnv) != "":
		err = runWriter(strings.Fields(os.Getenv(writerEnv)))
	default:
		os.Exit(realtime.Main(m))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// runServer runs a NATS server without end.
func runServer(args []string) error {
	_, err := embedded.Start(context.Background(), embedded.Options{Dir: args[1], Listen: args[0], SyncInterval: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	select {}
}

// runWriter records without end, on several goroutines, and prints what is recorded.
func runWriter(args []string) error {
	tr, err := natsx.Connect(context.Background(), natsx.Options{URLs: []string{args[0]}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	trail := audit.New(audit.Options{Key: args[1], Mandatory: true})
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(trail)
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	for g := range 4 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprint(args[2], "-", g, "-", n)
				if err := trail.Record(context.Background(), "test.killed", slog.String("id", id)); err != nil {
					<-time.After(20 * time.Millisecond) // the server is down
					continue
				}
				fmt.Println(id)
			}
		}()
	}
	select {}
}

// process is a process that the test kills.
type process struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	seen []string // lines
	end  chan struct{}
}

func newProcess(t testing.TB, env string) *process {
	p := &process{cmd: exec.Command(os.Args[0]), end: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env)
	p.cmd.Stderr = t.Output()
	if _, err := p.cmd.StdinPipe(); err != nil { // open as long as this process lives
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.end)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.seen = append(p.seen, lines.Text())
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// kill ends the process with SIGKILL and returns its lines.
func (p *process) kill() []string {
	_ = p.cmd.Process.Kill()
	<-p.end
	_ = p.cmd.Wait()
	return p.seen
}

func (p *process) lines() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

// await waits for more lines.
func (p *process) await(t testing.TB, more int) {
	want := p.lines() + more
	realtime.Until(t, "a line of a process", func() bool { return p.lines() >= want })
}

// If writers and the server are killed at any time, no recorded entry is missing, none is there
// twice, and each checkpoint extends the ones before it.
func TestKilledWriters(t *testing.T) {
	t.Parallel()
	k, dir := newKeys(t), t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	serve := func() *process {
		server := newProcess(t, serverEnv+"="+address+" "+dir)
		realtime.Until(t, "the server", func() bool { return server.lines() > 0 })
		return server
	}
	server := serve()
	random := rand.New(rand.NewPCG(16, 0))
	var recorded []string
	var saved []byte
	for round := range 8 {
		var writers []*process
		for i := range 2 {
			writers = append(writers, newProcess(t, fmt.Sprintf("%s=nats://%s %s r%d-%d", writerEnv, address, k.private, round, i)))
		}
		for _, w := range writers {
			w.await(t, 1+random.IntN(30))
		}
		if round%2 == 1 {
			server.kill()
			server = serve()
			for _, w := range writers {
				w.await(t, 1+random.IntN(10))
			}
		}
		for _, w := range writers {
			recorded = append(recorded, w.kill()...)
		}
		saved = verifyKilled(t, address, k, saved)
	}
	requireRecorded(t, address, k, recorded)
}

// verifyKilled continues to verify after a checkpoint, and returns the next one.
func verifyKilled(t testing.TB, address string, k keys, saved []byte) []byte {
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{"nats://" + address}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close(context.Background()) }()
	is, err := audit.Verify(t.Context(), tr, audit.ReadOptions{Key: k.public, From: saved})
	if err != nil {
		t.Fatal(err)
	}
	return is.Note
}

// requireRecorded checks that each recorded id is in the log, and none twice.
func requireRecorded(t testing.TB, address string, k keys, recorded []string) {
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{"nats://" + address}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close(context.Background()) }()
	seen := make(map[string]int)
	for _, e := range events(t, tr, k) {
		var d struct{ ID string }
		if err := json.Unmarshal(e.Details, &d); err != nil {
			t.Fatal(err)
		}
		if seen[d.ID]++; seen[d.ID] > 1 {
			t.Errorf("%s is there twice", d.ID)
		}
	}
	for _, id := range recorded {
		if seen[id] == 0 {
			t.Errorf("%s was recorded and is missing", id)
		}
	}
	t.Logf("%d entries were recorded, and %d are in the log", len(recorded), len(seen))
}
