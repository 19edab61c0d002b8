package natsx

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// greeter is a server that sends data and accepts none.
type greeter struct {
	net.Conn
	sends []string // one for each read
}

func (g *greeter) Read(b []byte) (int, error) {
	if len(g.sends) == 0 {
		return 0, io.EOF
	}
	n := copy(b, g.sends[0])
	g.sends = g.sends[1:]
	return n, nil
}

func (g *greeter) Write([]byte) (int, error)       { return 0, errors.New("broken pipe") }
func (g *greeter) SetReadDeadline(time.Time) error { return nil }

// The error of a full server is returned by the next call, whenever it arrives.
func TestGreetingOfAFullServer(t *testing.T) {
	t.Parallel()
	const info, full = "INFO {}\r\n", "-ERR 'maximum connections exceeded'\r\n"
	for name, sent := range map[string][]string{"at once": {info + full}, "after the INFO": {info, full}} {
		g := &greeting{Conn: &greeter{sends: sent}}
		if n, err := g.Read(make([]byte, 100)); err != nil || n < len(info) {
			t.Errorf("%s: read %d, %v", name, n, err)
		}
		if _, err := g.Write([]byte("CONNECT")); !errors.Is(err, errFull) {
			t.Errorf("%s: write: %v", name, err)
		}
	}
	g := &greeting{Conn: &greeter{sends: []string{info, full}}}
	for _, want := range []error{nil, errFull} {
		if _, err := g.Read(make([]byte, 100)); !errors.Is(err, want) {
			t.Errorf("read: %v, want %v", err, want)
		}
	}
}

// A message may contain anything. Other errors of a server are passed on.
func TestGreetingPassesOnOtherData(t *testing.T) {
	t.Parallel()
	sent := []string{"INFO {}\r\n", "-ERR 'Authorization Violation'\r\n", "MSG a 1 37\r\n-ERR 'maximum connections exceeded'\r\n\r\n"}
	g := &greeting{Conn: &greeter{sends: sent}}
	for _, want := range sent {
		b := make([]byte, 100)
		if n, err := g.Read(b); err != nil || string(b[:n]) != want {
			t.Errorf("read %q, %v, want %q", b[:n], err, want)
		}
	}
	if _, err := g.Write(nil); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("write: %v", err)
	}
}
