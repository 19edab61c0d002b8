//go:build interop

package interop_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/objstore"
)

// tools is the folder of the installed tools.
var tools = os.Getenv("INTEROP_TOOLS")

// run runs a command and returns its output.
func run(t *testing.T, command ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	var failure strings.Builder
	c.Stderr = &failure
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", command, err, out, &failure)
	}
	return string(out)
}

func node(url string, args ...string) []string {
	return append([]string{"node", filepath.Join(tools, "tool.mjs"), url}, args...)
}

func natsCommand(url string, args ...string) []string {
	return append([]string{filepath.Join(tools, "nats"), "--server", url, "--timeout", "1m", "object"}, args...)
}

func TestNATSJSReadsMono(t *testing.T) {
	s, tr := start(t)
	writeOurs(t, open(t, tr, oursStore))
	got := make(map[string]string)
	for line := range strings.Lines(run(t, node(s.ClientURL(), "ours", "read")...)) {
		var is [6]any
		if err := json.Unmarshal([]byte(line), &is); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		name := is[0].(string)
		got[name] = is[5].(string)
		if !strings.HasPrefix(name, "dir/") {
			continue
		}
		header, metadata := is[3].(map[string]any), is[4].(map[string]any)
		if is[1] != 31.0 || is[2] != "described" || fmt.Sprint(header["X-Kind"], header["Content-Type"]) != "[test] [text/plain]" || metadata["team"] != "a" {
			t.Errorf("several chunks: %v", is)
		}
	}
	want := ours()
	want[outside] = ""
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMonoReadsNATSJS(t *testing.T) {
	s, tr := start(t)
	run(t, node(s.ClientURL(), "theirs", "write")...)
	recorded(t, "natsjs", stored(t, tr, "theirs", "others"))
	checkForeign(t, tr, true)
}

func TestNATSCommandReadsMono(t *testing.T) {
	s, tr := start(t)
	writeOurs(t, open(t, tr, oursStore))
	url, file := s.ClientURL(), filepath.Join(t.TempDir(), "file")
	listed := run(t, natsCommand(url, "ls", "ours")...)
	for name, content := range ours() {
		if !strings.Contains(listed, name) {
			t.Errorf("ls lacks %q:\n%s", name, listed)
		}
		run(t, natsCommand(url, "get", "ours", name, "--output", file, "--force", "--no-progress")...)
		if got, err := os.ReadFile(file); err != nil || string(got) != content {
			t.Errorf("get %q: %q, %v, want %q", name, got, err, content)
		}
	}
	about := run(t, natsCommand(url, "info", "ours", "dir/several chunks.txt")...)
	for _, want := range []string{"described", "X-Kind", "31 B"} {
		if !strings.Contains(about, want) {
			t.Errorf("info lacks %q:\n%s", want, about)
		}
	}
}

func TestMonoReadsNATSCommand(t *testing.T) {
	s, tr := start(t)
	url, file := s.ClientURL(), filepath.Join(t.TempDir(), "file")
	run(t, natsCommand(url, "add", "theirs", "--storage=memory")...)
	put := func(name, content string, options ...string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, natsCommand(url, append([]string{"put", "theirs", file, "--name", name, "--force", "--no-progress"}, options...)...)...)
	}
	put("replaced", "old")
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		var options []string
		if strings.HasPrefix(name, "dir/") {
			options = []string{"--description=described", "--header=X-Kind:test", "--header=Content-Type:text/plain", "--chunk-size=10"}
		}
		put(name, theirs[name], options...)
	}
	put(outside, "unicode")
	put("deleted", "x")
	run(t, natsCommand(url, "del", "theirs", "deleted", "--force")...)
	recorded(t, "natscli", stored(t, tr, "theirs"))
	checkForeign(t, tr, false)
}

// TestToolsWatchMono lets a tool watch while mono writes.
func TestToolsWatchMono(t *testing.T) {
	s, tr := start(t)
	o := open(t, tr, oursStore)
	for name, command := range map[string][]string{
		"nats.js": node(s.ClientURL(), "ours", "watch", "watched"),
		"nats":    natsCommand(s.ClientURL(), "watch", "ours"),
	} {
		t.Run(name, func(t *testing.T) { watchWith(t, o, command) })
	}
}

// watchWith puts an object until a command that watches prints its name.
func watchWith(t *testing.T, o *objstore.Objects, command []string) {
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	seen := make(chan bool, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "watched") {
				seen <- true
				return
			}
		}
		seen <- false
	}()
	for {
		if _, err := o.PutBytes(t.Context(), "watched", []byte("content")); err != nil {
			t.Fatal(err)
		}
		select {
		case ok := <-seen:
			if !ok {
				t.Fatal("the tool ended without the object")
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}
