package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
)

// A hundred customers are being served when the process is asked to stop. Each gets its answer,
// although new connections are refused. On a slow machine, that may be 504 for some of them.
func TestSIGTERMUnderLoad(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"inproc":   {"-transport", "inproc"},
		"embedded": {"-store", t.TempDir(), "-no-local-calls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patiently(t, func(t testing.TB) {
				customers := group(t)
				p := serving(t, args...)
				served := make(chan struct{}, 100)
				release := newRelease(t)
				var placed atomic.Int64
				for i := range 100 {
					customers.Go(func() {
						body := &heldBody{Reader: strings.NewReader(order(fmt.Sprint("t", i))), served: served, release: release}
						switch status, err := p.post(body); {
						case err == nil && status == http.StatusCreated:
							placed.Add(1)
						case err != nil || status != http.StatusGatewayTimeout:
							t.Errorf("customer %d: %d, %v", i, status, err)
						}
					})
				}
				for range 100 {
					realtime.Receive(t, served, "the program serves all customers")
				}
				p.signal(t, syscall.SIGTERM)
				p.waitUntilClosed(t)
				release.now()
				customers.Wait()
				p.mustEnd(t)
				if placed.Load() == 0 {
					t.Error("no order was placed")
				}
			})
		})
	}
}

// A second signal ends the process at once, also while it serves requests.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		p := serving(t, "-transport", "inproc")
		served, release := make(chan struct{}, 1), newRelease(t)
		answered := make(chan error, 1)
		go func() {
			_, err := p.post(&heldBody{Reader: strings.NewReader(order("x")), served: served, release: release})
			answered <- err
		}()
		realtime.Receive(t, served, "the program serves the customer")
		p.signal(t, syscall.SIGTERM)
		p.waitUntilClosed(t)
		p.signal(t, syscall.SIGTERM)
		if err := p.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
			t.Errorf("the program: %v", err)
		}
		release.now()
		if realtime.Receive(t, answered, "the customer has a result") == nil {
			t.Error("the customer got an answer from a process that had ended")
		}
	})
}

// Clients keep idle connections when the process is asked to stop. Then they send one more
// order on each, and all are answered.
func TestKeptConnectionsAtSIGTERM(t *testing.T) {
	t.Parallel()
	rounds := realtime.Rounds{Stall: 200 * time.Millisecond} // a connection may be idle for a second
	for range 10 {
		rounds.Run(t, stopWithKeptConnections)
	}
}

func stopWithKeptConnections(t testing.TB) {
	p := serving(t, "-transport", "inproc")
	conns := make([]*keptConn, 40)
	for i := range conns {
		conns[i] = dialKept(t, p)
		if status, closed, err := conns[i].post(fmt.Sprint("before", i)); status != http.StatusCreated || closed || err != nil {
			t.Fatalf("before the stop: %d, closed: %v, %v", status, closed, err)
		}
	}
	p.signal(t, syscall.SIGTERM)
	p.waitUntilClosed(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i, c := range conns {
		<-tick.C
		if err := c.send(fmt.Sprint("after", i)); err != nil {
			t.Error(err)
		}
	}
	for _, c := range conns {
		if status, closed, err := c.answer(); status != http.StatusCreated || !closed || err != nil {
			t.Errorf("answered with %d, closed: %v, %v", status, closed, err)
		}
	}
	p.mustEnd(t)
}

// keptConn is a connection with one request after another.
type keptConn struct {
	net.Conn
	in *bufio.Reader
}

func dialKept(t testing.TB, p *program) *keptConn {
	t.Helper()
	c, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &keptConn{c, bufio.NewReader(c)}
}

func (c *keptConn) post(id string) (status int, closed bool, err error) {
	if err := c.send(id); err != nil {
		return 0, false, err
	}
	return c.answer()
}

func (c *keptConn) send(id string) error {
	body := order(id)
	_, err := fmt.Fprintf(c, "POST /orders HTTP/1.1\r\nHost: orders\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

// answer also reports whether the answer is the connection's last one.
func (c *keptConn) answer() (status int, closed bool, err error) {
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, false, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Close, err
}

// Clients that send nothing, half a header, or half a body do not prevent a stop.
func TestHalfSentRequestsAtSIGTERM(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		p := serving(t, "-transport", "inproc")
		const header = "POST /orders HTTP/1.1\r\nHost: orders\r\nExpect: 100-continue\r\nContent-Length: 100\r\n"
		var c *keptConn
		for _, sent := range []string{"", header, strings.Replace(header, "POST /orders", "GET /health", 1) + "\r\n{", header + "\r\n"} {
			c = dialKept(t, p)
			if _, err := io.WriteString(c, sent); err != nil {
				t.Fatal(err)
			}
		}
		if status, _, err := c.answer(); status != http.StatusContinue || err != nil {
			t.Fatalf("before the body: %d, %v", status, err)
		}
		if _, err := io.WriteString(c, `{"id":`); err != nil {
			t.Fatal(err)
		}
		p.signal(t, syscall.SIGTERM)
		if status, _, err := c.answer(); status != http.StatusRequestTimeout || err != nil {
			t.Errorf("half a body: %d, %v", status, err)
		}
		p.mustEnd(t)
	})
}

// heldBody is the body of a request that the server is serving: the client reads it when the
// handler asks for it (RFC 9110, Expect: 100-continue).
type heldBody struct {
	io.Reader
	once    sync.Once
	served  chan<- struct{}
	release *release
}

// release lets clients send their bodies. The end of a test calls it, too, because a client
// waits for the reader of its body.
type release struct {
	now func()
	ch  chan struct{}
}

func newRelease(t testing.TB) *release {
	r := &release{ch: make(chan struct{})}
	r.now = sync.OnceFunc(func() { close(r.ch) })
	t.Cleanup(r.now)
	return r
}

func (b *heldBody) Read(p []byte) (int, error) {
	b.once.Do(func() {
		b.served <- struct{}{}
		<-b.release.ch
	})
	return b.Reader.Read(p)
}
