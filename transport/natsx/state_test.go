package natsx_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// lines is a log that tests can read.
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

// An account that cannot have the state stream consumes, and the log has one warning.
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
			if n := logged.count("fences may go back"); n != 1 {
				t.Errorf("the warning is logged %d times", n)
			}
		})
	}
}

// The hook for streams places the state stream, too.
func TestStateStreamHook(t *testing.T) {
	t.Parallel()
	tr := hooked(t, map[string]func(*jetstream.StreamConfig){"mono_state": func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"team": "sales"} }}, nil)
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	consume(t, l, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}})
	if c := streamConfig(t, tr, "mono_state"); c.Metadata["team"] != "sales" {
		t.Errorf("the stream is %+v", c)
	}
}

// The hook must leave what keeps the records. MaxBytes may be required by the account.
func TestStateStreamHookIsGuarded(t *testing.T) {
	t.Parallel()
	for field, set := range map[string]func(*jetstream.StreamConfig){
		"MaxAge":            func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"MaxMsgs":           func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"MaxMsgsPerSubject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"Retention":         func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"Subjects":          func(c *jetstream.StreamConfig) { c.Subjects[0] = "other" },
		"Mirror":            func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{Name: "l"} },
		"":                  func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
	} {
		tr := hooked(t, map[string]func(*jetstream.StreamConfig){"mono_state": set}, nil)
		l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}})
		r, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}}, func(*transport.Delivery) {})
		if field != "" {
			wantCode(t, err, transport.InvalidArgument, "mono_state", field)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if c := streamConfig(t, tr, "mono_state"); c.MaxBytes != 1<<20 {
			t.Errorf("the stream is %+v", c)
		}
	}
}

func TestStateStreamIsNoLog(t *testing.T) {
	t.Parallel()
	_, err := inProcess(t, nil).Log(t.Context(), transport.LogConfig{Name: "mono_state", Subjects: []string{"l"}})
	wantCode(t, err, transport.InvalidArgument, "mono_state", "choose another")
}

func onDisk(t *testing.T) *embedded.Server {
	t.Helper()
	return startServer(t, func(o *embedded.Options) { o.Memory, o.Dir = false, t.TempDir() })
}

// logging connects over TCP, with a log that tests can read.
func logging(t *testing.T, address string, change func(*natsx.Options)) (*natsx.Transport, *lines) {
	t.Helper()
	logged := new(lines)
	o := natsx.Options{URLs: []string{"nats://" + strings.TrimPrefix(address, "nats://")}, ReconnectWait: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(logged, nil))}
	if change != nil {
		change(&o)
	}
	tr, err := natsx.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr, logged
}

// byHand is a state stream without TTLs, as a server before 2.11 leaves it.
var byHand = jetstream.StreamConfig{Name: "mono_state", Subjects: []string{"_mono.>"}, MaxAge: 24 * time.Hour}

// A state stream without TTLs gets them. If the account may not update it, hand-backs are
// stored without.
func TestStateStreamWithoutTTLs(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]string{"updated": "nothing", "update denied": "$JS.API.STREAM.UPDATE.mono_state"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, `accounts: {A: {jetstream: enabled, users: [{user: u, password: p, permissions: {publish: {allow: [">"], deny: ["`+deny+`"]}}}]}}`)
			s := startServer(t, func(o *embedded.Options) {
				o.Memory, o.Dir, o.ConfigFile, o.Client = false, t.TempDir(), file, natsx.Options{User: "u", Password: "p"}
			})
			user := func(o *natsx.Options) { o.User, o.Password = "u", "p" }
			t1, logged := logging(t, s.ClientURL(), user)
			t2, _ := logging(t, s.ClientURL(), user)
			if _, err := jetStream(t, t1).CreateStream(t.Context(), byHand); err != nil {
				t.Fatal(err)
			}
			config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}}
			deliveries, r := consume(t, openLog(t, t1, config), transport.ConsumeConfig{Group: group})
			l := openLog(t, t2, config)
			appendTo(t, l, "l", "x", transport.AppendOptions{})
			receive(t, deliveries)
			r.Close()
			deliveries, _ = consume(t, l, transport.ConsumeConfig{Group: group})
			d := receive(t, deliveries)
			if d.Attempt != 1 {
				t.Errorf("the delivery after a hand-back is attempt %d", d.Attempt)
			}
			ack(t, d)
			denied := deny != "nothing"
			if c := streamConfig(t, t1, "mono_state"); c.AllowMsgTTL == denied || (c.MaxAge == 0) == denied {
				t.Errorf("the stream is %+v", c)
			}
			if n := logged.count("stays as it is"); (n > 0) != denied {
				t.Errorf("%d warnings", n)
			}
		})
	}
}
