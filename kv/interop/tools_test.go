//go:build interop

package interop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gomono.dev/kv"
)

// tools is the folder of the installed tools.
var tools = os.Getenv("INTEROP_TOOLS")

// The keys that mono writes, with the written forms and the values that the tools show.
var ours = []struct{ key, written, value string }{
	{"user.1", "user.1", `{"name":"Ada"}`},
	{"naïve key", "na=C3=AFve=20key", `{"name":"Grace"}`},
	{"..a", "=2E=2Ea", `{"name":"Edsger"}`},
}

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
	return append([]string{filepath.Join(tools, "nats"), "--server", url, "kv"}, args...)
}

// shown returns the lines of tool.mjs, sorted.
func shown(t *testing.T, out string) (lines []string) {
	t.Helper()
	for line := range strings.Lines(out) {
		var fields []string
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	slices.Sort(lines)
	return lines
}

func TestNATSJSReadsMono(t *testing.T) {
	s, tr := start(t)
	writeOurs(t, open(t, tr, oursBucket))
	var want []string
	for _, o := range ours {
		want = append(want, o.written+" PUT "+o.value)
	}
	slices.Sort(want)
	if got := shown(t, run(t, node(s.ClientURL(), "ours", "read")...)); !slices.Equal(got, want) {
		t.Errorf("read: got %q, want %q", got, want)
	}
	want = append(want, "deleted DEL ", "purged PURGE ")
	slices.Sort(want)
	if got := shown(t, run(t, node(s.ClientURL(), "ours", "watch", strconv.Itoa(len(want)))...)); !slices.Equal(got, want) {
		t.Errorf("watch: got %q, want %q", got, want)
	}
}

func TestMonoReadsNATSJS(t *testing.T) {
	s, tr := start(t)
	run(t, node(s.ClientURL(), "theirs", "write")...)
	recorded(t, "natsjs", stored(t, tr, "theirs"))
	checkForeign(t, tr, "theirs")
}

func TestNATSCommandReadsMono(t *testing.T) {
	s, tr := start(t)
	writeOurs(t, open(t, tr, oursBucket))
	listed := strings.Fields(run(t, natsCommand(s.ClientURL(), "ls", "ours")...))
	for _, o := range ours {
		if !slices.Contains(listed, o.written) {
			t.Errorf("ls: %q lacks %s", listed, o.written)
		}
		if got := run(t, natsCommand(s.ClientURL(), "get", "ours", o.written, "--raw")...); strings.TrimSpace(got) != o.value {
			t.Errorf("get %s: %q, want %q", o.written, got, o.value)
		}
	}
}

func TestMonoReadsNATSCommand(t *testing.T) {
	s, tr := start(t)
	url := s.ClientURL()
	for _, args := range [][]string{
		{"add", "theirs", "--history=3", "--storage=memory", "--marker-ttl=1m"},
		{"put", "theirs", "text", "hello"},
		{"put", "theirs", "user.1", `{"name":"Ada"}`},
		{"put", "theirs", "user.1", `{"name":"Grace"}`},
		{"create", "theirs", "user.2", `{"name":"Edsger"}`, "--ttl=1h"},
		{"put", "theirs", "deleted", "x"},
		{"del", "theirs", "deleted", "--force"},
		{"put", "theirs", "purged", "x"},
		{"purge", "theirs", "purged", "--force"},
		{"put", "theirs", "odd=key", `{"name":"odd"}`},
	} {
		run(t, natsCommand(url, args...)...)
	}
	recorded(t, "natscli", stored(t, tr, "theirs"))
	checkForeign(t, tr, "theirs")
}

// TestWatchEachOther lets a tool watch while mono writes, and mono while a tool writes.
func TestWatchEachOther(t *testing.T) {
	s, tr := start(t)
	users := open(t, tr, oursBucket)
	for name, command := range map[string][]string{
		"nats.js": node(s.ClientURL(), "ours", "watch", "100"),
		"nats":    natsCommand(s.ClientURL(), "watch", "ours"),
	} {
		t.Run(name, func(t *testing.T) {
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
					if strings.Contains(lines.Text(), "number") {
						seen <- true
						return
					}
				}
				seen <- false
			}()
			for n := 1; ; n++ {
				if _, err := users.Put(t.Context(), "watched", user{fmt.Sprint("number ", n)}); err != nil {
					t.Fatal(err)
				}
				select {
				case ok := <-seen:
					if !ok {
						t.Fatal("the tool ended without the value")
					}
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	t.Run("mono", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ended := make(chan string, 1)
		for e, err := range users.Watch(ctx, kv.Key("from-nats")) {
			switch {
			case err != nil:
				t.Fatalf("%v; the tool ended with %q", err, <-ended)
			case e.Kind == kv.EventCurrent:
				command := natsCommand(s.ClientURL(), "put", "ours", "from-nats", `{"name":"nats"}`)
				go func() {
					out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
					ended <- fmt.Sprint(err, " ", string(out))
				}()
			case e.Value.Name == "nats":
				cancel()
				t.Logf("the tool ended with %q", <-ended)
				return
			}
		}
	})
}
