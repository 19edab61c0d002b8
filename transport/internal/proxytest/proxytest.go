// Package proxytest provides proxies between a client and a server for tests. They can
// cut the connection, and delay, lose and alter traffic.
package proxytest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy forwards connections to a server. Its methods may be called concurrently.
type Proxy struct {
	l      net.Listener
	server string
	alter  func([]byte)
	delay  time.Duration

	held    string // the prefix of subjects whose messages are delayed, lost or sent astray
	heldFor time.Duration
	lost    int          // this many of the same messages
	strays  atomic.Int64 // messages to send astray
	free    atomic.Bool  // nothing of this happens

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

// New returns a Proxy for the server at that TCP address. It ends with the test.
func New(t testing.TB, server string) *Proxy {
	t.Helper()
	return NewLiar(t, server, func([]byte) {})
}

// NewLiar returns a Proxy that alters what the server sends. alter changes each piece in
// place.
func NewLiar(t testing.TB, server string, alter func([]byte)) *Proxy {
	t.Helper()
	return start(t, &Proxy{server: server, alter: alter})
}

// NewSlow returns a Proxy that delays the traffic in both directions.
func NewSlow(t testing.TB, server string, delay time.Duration) *Proxy {
	t.Helper()
	return start(t, &Proxy{server: server, alter: func([]byte) {}, delay: delay})
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

// Address returns the address for clients.
func (p *Proxy) Address() string { return p.l.Addr().String() }

// Cut ends every connection abruptly, and accepts none.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// Mend accepts connections again.
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
		go p.pipe(client, alteringConn{server, p.alter})
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

// alteringConn is a connection whose received data is altered.
type alteringConn struct {
	net.Conn
	alter func([]byte)
}

func (l alteringConn) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.alter(p[:n])
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

// late is a piece of data, and the time at which to forward it.
type late struct {
	data []byte
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
		_, _ = to.Write(l.data) // the reader sees the end of the connection
	}
}
