package natsx_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// lines collects the log of a test.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// An account that cannot have the state stream still consumes, with one warning in the log.
func TestConsumeWithoutTheStateStream(t *testing.T) {
	t.Parallel()
	for name, account := range map[string]string{
		"denied":  `jetstream: enabled, users: [{user: u, password: p, permissions: {publish: {allow: [">"], deny: ["$JS.API.STREAM.CREATE.mono_state"]}}}]`,
		"no room": `jetstream: {max_streams: 1}, users: [{user: u, password: p}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nats.conf")
			if err := os.WriteFile(file, []byte("accounts: {A: {"+account+"}}"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := embedded.Start(t.Context(), embedded.Options{Memory: true, ConfigFile: file, Client: natsx.Options{User: "u", Password: "p"}, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
			var logged lines
			tr, err := natsx.Connect(t.Context(), natsx.Options{InProcess: s.NATS(), User: "u", Password: "p", Memory: true, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			if err != nil {
				t.Fatal(err)
			}
			l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{{Name: "g"}}})
			for range 2 {
				deliveries, r := consume(t, l, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}})
				appendTo(t, l, "l", "x", transport.AppendOptions{})
				d := receive(t, deliveries)
				ack(t, d)
				if err := r.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if n := logged.count("fencing tokens may decrease"); n != 1 {
				t.Errorf("the warning is logged %d times", n)
			}
		})
	}
}

// The hook for streams applies to the state stream too.
func TestStateStreamHook(t *testing.T) {
	t.Parallel()
	tr := hooked(t, map[string]func(*jetstream.StreamConfig){"mono_state": func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"team": "sales"} }}, nil)
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	consume(t, l, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}})
	if c := streamConfig(t, tr, "mono_state"); c.Metadata["team"] != "sales" {
		t.Errorf("the stream is %+v", c)
	}
}
