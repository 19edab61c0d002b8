package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// The page has a part of each command. A command replaces its own part and keeps the other.
const (
	peersMark = "\n<!-- written by make peers -->\n\n"
	benchMark = "\n<!-- written by make bench -->\n\n"
)

const introduction = `# Benchmarks

What does mono cost? The [first part](#beside-other-libraries) compares it with what you would use
instead. The [second](#beside-its-baselines) compares each feature with the same work without mono,
and has a limit for most of them.
`

// page is docs/benchmarks.md.
type page struct{ path, peers, bench string }

func readPage(path string) (page, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return page{}, err
	}
	_, rest, _ := strings.Cut(string(text), peersMark)
	peers, bench, _ := strings.Cut(rest, benchMark)
	return page{path, peers, bench}, nil
}

func (p page) write() error {
	return os.WriteFile(p.path, []byte(introduction+peersMark+p.peers+benchMark+p.bench), 0o644)
}

// machine describes what the measurements of a part come from.
func machine(command string, versions []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- Machine: %d cores, %s, %s/%s, %s\n", runtime.NumCPU(), processorName(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	fmt.Fprintf(&b, "- Versions: %s\n", strings.Join(versions, ", "))
	fmt.Fprintf(&b, "- Command: %s\n", command)
	return b.String()
}

// processorName is the system's name of its processor, if a file has it.
func processorName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "processor unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor unknown"
}
