package natsx_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// noRoom starts a server that accepts no connections.
func noRoom(o *embedded.Options) {
	o.Configure = func(so *server.Options) { so.MaxConn = -1 }
}

func wantFull(t *testing.T, what string, err error) {
	t.Helper()
	if transport.CodeOf(err) != transport.ResourceExhausted || !strings.Contains(err.Error(), "max_connections") {
		t.Errorf("%s: %v", what, err)
	}
}

// A full server reports an error and closes the connection before it has read anything.
func TestFullServerIsReported(t *testing.T) {
	t.Parallel()
	ca, serverTLS := certificate(t)
	plain := startServer(t, noRoom)
	secure := startServer(t, func(o *embedded.Options) { o.TLS = serverTLS; noRoom(o) })
	for range 50 {
		_, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{plain.ClientURL()}})
		wantFull(t, "TCP", err)
		_, err = natsx.Connect(t.Context(), natsx.Options{URLs: []string{secure.ClientURL()}, CAFile: ca})
		wantFull(t, "TLS", err)
		_, err = plain.Connect(t.Context())
		wantFull(t, "within the process", err)
	}
}

// A server that stands still for 100 ms may close the connection without its error. So the
// client connects until the server has sent the error.
func TestFullAccountIsReported(t *testing.T) {
	t.Parallel()
	file := configFile(t, `accounts { A: { users: [ {user: a, password: p} ], limits: { max_connections: 1 } } }`)
	s := startServer(t, func(o *embedded.Options) {
		o.ConfigFile = file
		o.Configure = func(so *server.Options) { so.AuthTimeout = realtime.Patience.Seconds() }
	})
	var sent atomic.Bool
	p := proxytest.NewLiar(t, strings.TrimPrefix(s.ClientURL(), "nats://"), func(data []byte) {
		if bytes.Contains(data, []byte("-ERR '"+server.ErrTooManyAccountConnections.Error()+"'")) {
			sent.Store(true)
		}
	})
	o := natsx.Options{URLs: []string{"nats://" + p.Address()}, User: "a", Password: "p", ConnectTimeout: realtime.Patience}
	tr, err := natsx.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	eventually(t, "the server sends its error", func() bool {
		_, err = natsx.Connect(t.Context(), o)
		return sent.Load() || err == nil
	})
	if transport.CodeOf(err) != transport.ResourceExhausted || !strings.Contains(err.Error(), "account") {
		t.Errorf("got %v", err)
	}
}

// While the server is too full for a lost connection, sends and Ping report that. A reader
// that follows a log waits for the next connection.
func TestFullServerIsReportedWhileReconnecting(t *testing.T) {
	t.Parallel()
	address, dir := loopback.Free(t), t.TempDir()
	start := func(change func(*embedded.Options)) *embedded.Server {
		return startServer(t, func(o *embedded.Options) {
			o.Memory, o.Dir, o.Listen, o.SyncInterval = false, dir, address, time.Minute
			change(o)
		})
	}
	stop := func(s *embedded.Server) {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := start(func(*embedded.Options) {})
	tr := connect(t, s.ClientURL())
	l, err := tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan uint64)
	go func() {
		defer close(read)
		for d, err := range l.Read(t.Context(), transport.ReadConfig{Follow: true}) {
			if err != nil {
				t.Errorf("the reader: %v", err)
				return
			}
			read <- d.Sequence
		}
	}()
	store := func(want uint64) {
		t.Helper()
		if _, err := l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := <-read; got != want {
			t.Errorf("read message %d, want %d", got, want)
		}
	}
	store(1)
	stop(s)
	s = start(noRoom)
	eventually(t, "Ping reports that it is full", func() bool { return transport.CodeOf(tr.Ping(t.Context())) == transport.ResourceExhausted })
	wantFull(t, "Ping", tr.Ping(t.Context()))
	wantFull(t, "Publish", tr.Publish(t.Context(), &transport.Message{Subject: "a"}))
	_, err = l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{})
	wantFull(t, "Append", err)
	eventually(t, "it has tried several times, and the reader too", func() bool {
		is, err := s.NATS().Varz(nil)
		return err == nil && is.TotalConnections > 10
	})
	stop(s)
	start(func(*embedded.Options) {})
	eventually(t, "the connection is back", func() bool { return tr.Ping(t.Context()) == nil })
	store(2)
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
