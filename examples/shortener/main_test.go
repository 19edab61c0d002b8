package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gomono.dev/internal/realtime"
)

// TestMain lets the test binary run as the program, for the test of a signal.
func TestMain(m *testing.M) {
	if os.Getenv("SHORTENER_AS_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(realtime.Main(m))
}

// The program makes a link and visits it, in memory and on an embedded server.
func TestTour(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"in memory": {"-tour"}, "embedded": {"-tour", "-store", t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, side bytes.Buffer
			if err := run(t.Context(), args, &out, &side); err != nil {
				t.Fatalf("%v\n%s%s", err, out.String(), side.String())
			}
			for _, want := range []string{"201 Created /links/", "409 Conflict", "302 Found https://go.dev/doc/", "412 Precondition Failed", "302 Found https://pkg.go.dev/", `"visits":2`} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %s in\n%s", want, out.String())
				}
			}
		})
	}
}

// program is a running process that serves HTTP.
type program struct {
	cmd *exec.Cmd
	url string
}

func start(t *testing.T, store string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(os.Args[0], "-listen", "127.0.0.1:0", "-store", store)}
	p.cmd.Env = append(os.Environ(), "SHORTENER_AS_PROGRAM=1")
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "serving on ")
	if err != nil || !ok {
		t.Fatalf("it printed %q: %v", line, err)
	}
	p.url = url
	return p
}

// ask sends a request, and returns the status and the target of its answer.
func (p *program) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), realtime.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header.Get("Location")
}

// SIGTERM ends the program without an error, and the next one has its links.
func TestLinksOutliveTheProgram(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	p := start(t, store)
	if status, _ := p.ask(t, "POST", "/links", golang); status != 201 {
		t.Fatalf("%d", status)
	}
	if status, _ := p.ask(t, "GET", "/health", ""); status != 200 {
		t.Errorf("health: %d", status)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("it ended with %v", err)
	}
	p = start(t, store)
	if status, to := p.ask(t, "GET", "/golang", ""); status != 302 || to != "https://go.dev/" {
		t.Errorf("%d %s", status, to)
	}
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, args := range map[string][]string{
		"unexpected argument":    {"x"},
		"cannot be created":      {"-store", filepath.Join(file, "x")},
		"choose another address": {"-listen", taken.Addr().String()},
	} {
		err := run(t.Context(), args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", args, err, want)
		}
	}
}
