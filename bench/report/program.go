package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gomono.dev/transport/natsx/embedded"
)

// program has the measurements of one build of hello.
type program struct {
	name, what string
	size       int64         // of the binary, stripped
	start      time.Duration // from its execution to its first answer
	memory     int64         // resident then, 0 if it is not known
}

// starts is the number of starts of a program; the fastest counts.
const starts = 9

// programs builds and starts hello on each transport.
func programs(ctx context.Context, dir string) ([]program, error) {
	s, err := embedded.Start(ctx, embedded.Options{Memory: true, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer s.Shutdown(context.WithoutCancel(ctx))
	all := []program{
		{name: "inproc", what: "in memory"},
		{name: "natsx", what: "a client of a NATS server"},
		{name: "embedded", what: "with a NATS server in its process"},
	}
	for i := range all {
		if err := all[i].measure(ctx, dir, s.ClientURL()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *program) measure(ctx context.Context, dir, url string) error {
	binary := filepath.Join(dir, "hello-"+p.name)
	if err := command(ctx, os.Stderr, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./bench/hello/"+p.name); err != nil {
		return err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	p.size = info.Size()
	var times []time.Duration
	for i := range starts {
		var args []string
		switch p.name {
		case "natsx":
			args = []string{url}
		case "embedded":
			args = []string{filepath.Join(dir, "store-"+strconv.Itoa(i))}
		}
		took, err := p.once(ctx, binary, args)
		if err != nil {
			return err
		}
		times = append(times, took)
	}
	p.start = slices.Min(times)
	return nil
}

// once starts the program, and ends it by closing its standard input.
func (p *program) once(ctx context.Context, binary string, args []string) (time.Duration, error) {
	c := exec.CommandContext(ctx, binary, args...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := c.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	took := time.Since(began)
	if err == nil && line != "Hello, world!\n" {
		err = fmt.Errorf("%s printed %q", p.name, line)
	}
	p.memory = resident(c.Process.Pid)
	_ = in.Close()
	_, _ = io.Copy(io.Discard, out)
	if ended := c.Wait(); err == nil {
		err = ended
	}
	return took, err
}

// resident is the memory of a process, in bytes, if the system has it in files.
func resident(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
