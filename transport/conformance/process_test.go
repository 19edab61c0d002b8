//go:build conformance

package conformance_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
)

// buildServer builds a nats-server from the module that go.mod names, once.
var buildServer = sync.OnceValues(func() (binary string, err error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "nats-server")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build nats-server: %w\n%s", err, out)
	}
	return binary, nil
})

// process is a nats-server of a test that may end and start again.
type process struct {
	address string
	dir     string
	more    []string // arguments
	output  lockedBuffer
	cmd     *exec.Cmd
}

func (p *process) url() string { return "nats://" + p.address }

func newProcess(t *testing.T, more ...string) *process {
	t.Helper()
	p := &process{address: loopback.Free(t), dir: t.TempDir(), more: more}
	t.Cleanup(p.kill)
	p.start(t)
	return p
}

// processes are the servers of a cluster, by their names.
type processes map[string]*process

// newProcesses starts a cluster of three.
func newProcesses(t *testing.T) processes {
	t.Helper()
	var routes []string
	for range 3 {
		routes = append(routes, "nats://"+loopback.Free(t))
	}
	all := make(processes)
	for i, route := range routes {
		name := fmt.Sprintf("n%d", i+1)
		all[name] = newProcess(t, "-n", name, "-cluster_name", "test", "-cluster", route, "-routes", strings.Join(routes, ","))
	}
	return all
}

// urls returns the addresses for clients.
func (all processes) urls() (urls []string) {
	for _, p := range all {
		urls = append(urls, p.url())
	}
	return urls
}

// start starts the server, and waits until its output reports that it is ready. Another
// process that is about to end may still listen at its address.
func (p *process) start(t *testing.T) {
	t.Helper()
	binary, err := buildServer()
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); !p.run(t, binary, host, port); p.kill() {
		if time.Since(begun) > realtime.Patience {
			t.Fatalf("the nats-server does not start at %s:\n%s", p.address, p.output.String())
		}
	}
}

// run runs the server once, and reports whether it has become ready.
func (p *process) run(t *testing.T, binary, host, port string) bool {
	t.Helper()
	p.output.reset()
	p.cmd = exec.Command(binary, append([]string{"-a", host, "-p", port, "-js", "-sd", p.dir}, p.more...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < realtime.Patience; <-time.After(10 * time.Millisecond) {
		switch output := p.output.String(); {
		case strings.Contains(output, "Server is ready"):
			return true
		case strings.Contains(output, "[FTL]"):
			return false
		}
	}
	return false
}

// kill ends the server abruptly.
func (p *process) kill() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // the error reports that it was killed
	}
}

// lockedBuffer is written to by a process, and read by a test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
