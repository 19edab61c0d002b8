// Package proxytest stands between a client and a server in tests, and can cut them
// off from each other, delay what they say, and lie.
package proxytest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy forwards connections to a server. Its methods may be called from several
// goroutines at once.
type Proxy struct {
	l      net.Listener
	server string
	says   func([]byte)
	delay  time.Duration

	held    string // the prefix of subjects whose messages are held up
	heldFor time.Duration
	free    atomic.Bool // nothing is held up now

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

// New makes a Proxy for the server at that TCP address. It ends with the test.
func New(t testing.TB, server string) *Proxy {
	t.Helper()
	return NewLiar(t, server, func([]byte) {})
}

// NewLiar makes a Proxy that lets says change, in place, each piece of what the
// server says.
func NewLiar(t testing.TB, server string, says func([]byte)) *Proxy {
	t.Helper()
	return start(t, &Proxy{server: server, says: says})
}

// NewSlow makes a Proxy that hands on what either side says so much later.
func NewSlow(t testing.TB, server string, delay time.Duration) *Proxy {
	t.Helper()
	return start(t, &Proxy{server: server, says: func([]byte) {}, delay: delay})
}

func start(t testing.TB, p *Proxy) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.l = l
	t.Cleanup(func() { l.Close(); p.Cut() })
	go p.serve()
	return p
}

// Address is where clients connect.
func (p *Proxy) Address() string { return p.l.Addr().String() }

// Cut ends every connection without a farewell, and lets none through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// Mend lets connections through again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

func (p *Proxy) serve() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		if !p.keep(client, server) {
			client.Close()
			server.Close()
			continue
		}
		go p.pipe(client, liar{server, p.says})
		if p.held != "" {
			go p.hold(server, client)
		} else {
			go p.pipe(server, client)
		}
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	p.conns = append(p.conns, conns...)
	return true
}

// liar is a connection from which something else is read than was said.
type liar struct {
	net.Conn
	says func([]byte)
}

func (l liar) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.says(p[:n])
	return n, err
}

func (p *Proxy) pipe(to, from net.Conn) {
	if p.delay > 0 {
		copyLate(to, from, p.delay)
	} else {
		_, _ = io.Copy(to, from)
	}
	to.Close()
}

// late is what was said, and when it is to be handed on.
type late struct {
	said []byte
	due  time.Time
}

func copyLate(to, from net.Conn, delay time.Duration) {
	underway := make(chan late, 1<<10)
	go func() {
		defer close(underway)
		for {
			piece := make([]byte, 32<<10)
			n, err := from.Read(piece)
			if n > 0 {
				underway <- late{piece[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for l := range underway {
		time.Sleep(time.Until(l.due))
		_, _ = to.Write(l.said) // an error is the end of the connection, which the reader sees
	}
}
