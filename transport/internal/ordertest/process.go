//go:build unix

package ordertest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a member.
type process struct {
	number int
	cmd    *exec.Cmd
	stdin  io.Closer
	path   string        // of its record
	ended  chan struct{} // closed when it has ended, after err is set
	err    error

	ready  time.Time
	left   time.Time // zero: it did not leave
	killed time.Time // zero: it was not
	pauses []span
}

// span is a time, from its begin to its end.
type span struct{ from, to time.Time }

func start(t *testing.T, number int, o *Options, path string) *process {
	t.Helper()
	p := &process{number: number, path: path, ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", memberOf, strings.Join(o.URLs, ","), o.Replicas, path))
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		_ = p.cmd.Process.Kill()
		t.Fatalf("member %d is not ready: %q, %v", number, line, err)
	}
	p.ready = time.Now()
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	p.killed = time.Now()
}

func (p *process) leave(t *testing.T) {
	t.Helper()
	p.left = time.Now()
	_ = p.stdin.Close()
	if <-p.ended; p.err != nil {
		t.Errorf("member %d left with %v", p.number, p.err)
	}
}

func (p *process) pause(d time.Duration) {
	at := span{from: time.Now()}
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	<-time.After(d)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	at.to = time.Now()
	p.pauses = append(p.pauses, at)
}

// stood reports whether the process stood still in a time, or just before: it had decided to begin
// then.
func (p *process) stood(from, to time.Time) bool {
	for _, s := range p.pauses {
		if s.from.Before(to) && from.Before(s.to.Add(50*time.Millisecond)) {
			return true
		}
	}
	return false
}
