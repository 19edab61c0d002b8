package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
)

// TestMain lets the test binary run as the program, for tests of signals.
func TestMain(m *testing.M) {
	if os.Getenv("ORDERS_AS_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(realtime.Main(m))
}

func order(id string) string {
	return fmt.Sprintf(`{"id":%q,"card":"4242 4242 4242 4242","product":"book","quantity":1}`, id)
}

// program is a running process that serves HTTP.
type program struct {
	cmd    *exec.Cmd
	url    string
	stderr *bytes.Buffer
	killed atomic.Bool
}

// patiently runs a test of processes, whose connections and requests have real limits of a second
// and more. The test is repeated if it fails and the machine stood still.
func patiently(t *testing.T, test func(t testing.TB)) {
	t.Helper()
	rounds := realtime.Rounds{Stall: time.Second / 2}
	rounds.Run(t, test)
}

// group returns a group of goroutines. The test waits for their end, also if it fails. A group
// that is created before a program outlives it.
func group(t testing.TB) *sync.WaitGroup {
	g := new(sync.WaitGroup)
	t.Cleanup(g.Wait)
	return g
}

// startProgram starts a program that serves HTTP, and waits until it does.
func startProgram(t testing.TB, args ...string) *program {
	t.Helper()
	return startBinary(t, os.Args[0], args...)
}

// startBinary is startProgram for another build of the program.
func startBinary(t testing.TB, binary string, args ...string) *program {
	t.Helper()
	address := loopback.Free(t)
	p, stdout := launch(t, binary, append(args, "-serve", address)...)
	p.url = "http://" + address
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.HasPrefix(strings.TrimSpace(lines.Text()), "time") { // the table's end
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return p
		}
	}
	t.Fatalf("the program ended: %v\n%s", p.cmd.Wait(), p.stderr.String())
	return nil
}

// launch starts a program. The end of the test kills it.
func launch(t testing.TB, binary string, args ...string) (*program, io.Reader) {
	t.Helper()
	p := &program{cmd: exec.Command(binary, args...), stderr: new(bytes.Buffer)}
	p.cmd.Env = append(os.Environ(), "ORDERS_AS_PROGRAM=1")
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p, stdout
}

// kill ends the program, if it has not ended yet.
func (p *program) kill() {
	p.killed.Store(true)
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *program) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// mustEnd waits for the end of the program, and reports an error.
func (p *program) mustEnd(t testing.TB) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the program: %v\n%s", err, p.stderr.String())
	}
}

// end stops a program, as the end of a deploy does.
func end(t testing.TB, p *program) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	p.mustEnd(t)
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, "level=ERROR") {
			t.Errorf("a replica logged %s", line)
		}
	}
}

func (p *program) address() string { return strings.TrimPrefix(p.url, "http://") }

// post posts an order. Its body is sent when the handler asks for it.
func (p *program) post(body io.Reader) (int, error) {
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: realtime.Patience}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodPost, p.url+"/orders", body)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Expect", "100-continue")
	reply, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	_, err = io.Copy(io.Discard, reply.Body)
	return reply.StatusCode, err
}

// waitUntilClosed waits until the program refuses connections.
func (p *program) waitUntilClosed(t testing.TB) {
	t.Helper()
	realtime.Until(t, "the program refuses connections", func() bool {
		conn, err := net.Dial("tcp", p.address())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}
