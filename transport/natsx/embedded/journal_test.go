package embedded_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/embedded"
)

func openStore(t *testing.T, dir string, o embedded.Options) *embedded.Transport {
	t.Helper()
	o.Dir, o.Logger = dir, discard
	tr, err := embedded.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

func openLog(t *testing.T, tr transport.Transport, c transport.LogConfig) transport.Log {
	t.Helper()
	l, err := tr.Log(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// An id that was used in a log is free in another log of the same name.
func TestIDsBelongToOneLog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		storage   transport.Storage
		notBefore time.Time
		deleted   bool // the log, by hand
	}{
		"deleted":         {deleted: true},
		"deleted delayed": {deleted: true, notBefore: time.Now().Add(time.Hour)},
		"in memory":       {storage: transport.MemoryStorage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, DedupWindow: time.Hour, Storage: c.storage, Delays: !c.notBefore.IsZero()}
			o := transport.AppendOptions{ID: "x", NotBefore: c.notBefore}
			m := &transport.Message{Subject: "l"}

			tr := openStore(t, dir, embedded.Options{})
			if _, err := openLog(t, tr, config).Append(t.Context(), m, o); err != nil {
				t.Fatal(err)
			}
			if err := tr.Close(t.Context()); err != nil {
				t.Fatal(err)
			}

			tr = openStore(t, dir, embedded.Options{})
			before := openLog(t, tr, config) // a handle that does not know of the deletion
			if c.deleted {
				if a, err := before.Append(t.Context(), m, o); err != nil || !a.Duplicate {
					t.Errorf("before the deletion the append is %+v, %v", a, err)
				}
				js, err := jetstream.New(tr.Conn())
				if err != nil {
					t.Fatal(err)
				}
				for stream := range js.StreamNames(t.Context()).Name() {
					if err := js.DeleteStream(t.Context(), stream); err != nil {
						t.Fatal(err)
					}
				}
				other, err := tr.Server().Connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close(context.Background())
				openLog(t, other, config)
			}
			if _, err := before.Append(t.Context(), m, transport.AppendOptions{NotBefore: c.notBefore}); err != nil { // of the same sequence
				t.Fatal(err)
			}
			if a, err := before.Append(t.Context(), m, o); err != nil || a.Duplicate {
				t.Errorf("the append to the new log is %+v, %v", a, err)
			}
			info, err := before.Info(t.Context())
			if err != nil || info.Messages+info.Delayed != 2 {
				t.Errorf("stored are %d, delayed %d, %v", info.Messages, info.Delayed, err)
			}
		})
	}
}

// A journal that cannot be written does not prevent the start, and is written again
// as soon as it can be.
func TestUnwritableJournalDoesNotPreventTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{{Name: "g"}}}
	tr := openStore(t, dir, embedded.Options{})
	if _, err := openLog(t, tr, config).Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	obstacle := filepath.Join(dir, "mono", "00000002.journal.tmp", "file")
	if err := os.MkdirAll(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}

	got := make(chan *transport.Delivery)
	tr = openStore(t, dir, embedded.Options{})
	if _, err := openLog(t, tr, config).Consume(t.Context(), transport.ConsumeConfig{Group: config.Groups[0]}, transport.Serial(func(d *transport.Delivery) { got <- d })); err != nil {
		t.Fatal(err)
	}
	d := <-got
	if err := os.RemoveAll(filepath.Dir(obstacle)); err != nil {
		t.Fatal(err)
	}
	for attempt := 1; ; attempt++ {
		if d.Attempt != attempt {
			t.Fatalf("attempt %d is %d", attempt, d.Attempt)
		}
		if err := d.Nak(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "mono", "00000002.journal")); err == nil {
			break
		}
		d = <-got
	}
	if d := <-got; d.Ack(t.Context()) != nil {
		t.Error("the message cannot be settled")
	}
}

// The journal has all attempts only if no other process can connect.
func TestExclusiveServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		listen, config string
		want           bool
	}{
		"no listener": {want: true},
		"a listener":  {listen: "127.0.0.1:0"},
		"a leaf node": {config: `leafnodes { remotes: [{url: "nats-leaf://127.0.0.1:1"}] }`},
		"WebSocket":   {config: `websocket { listen: "127.0.0.1:-1", no_tls: true }`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := embedded.Options{Listen: c.listen}
			if c.config != "" {
				o.ConfigFile = filepath.Join(t.TempDir(), "nats.conf")
				if err := os.WriteFile(o.ConfigFile, []byte(c.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			openStore(t, dir, o)
			if _, err := os.Stat(filepath.Join(dir, "mono", "exclusive")); (err == nil) != c.want {
				t.Errorf("exclusive is %t, want %t", err == nil, c.want)
			}
		})
	}
}
