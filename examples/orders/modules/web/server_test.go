package web

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
)

// A client that does not read its answer does not delay a stop. There is no buffer between
// client and server, so each answer waits for the client.
func TestUnreadAnswersDoNotDelayAStop(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"an answer":            "GET /health HTTP/1.1\r\nHost: orders\r\n\r\n",
		"an answer of the mux": "GET /nothing HTTP/1.1\r\nHost: orders\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newPipes()
				m := &Module{scope: &mono.Scope{}}
				s := serve(l, m.routes(), slog.New(slog.DiscardHandler))
				client := l.dial()
				defer client.Close()
				if _, err := io.WriteString(client, request); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // the server writes
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if err := s.stop(ctx); err != nil {
					t.Errorf("stopping: %v", err)
				}
			})
		})
	}
}

// An answer may come long after its request: its time limit begins with its header.
func TestSlowHandlersAreAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-time.After(2 * answerTimeout)
			reply(w, http.StatusOK, "done")
		}), slog.New(slog.DiscardHandler))
		client := l.dial()
		defer client.Close()
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(client); err != nil || len(answer) == 0 {
			t.Errorf("%q, %v", answer, err)
		}
		if err := s.stop(t.Context()); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
}

// pipes is a listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	closed := make(chan struct{})
	return &pipes{make(chan net.Conn), closed, sync.OnceFunc(func() { close(closed) })}
}

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }
