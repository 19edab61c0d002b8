package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a request. Together with the Timeout of orders.Place they bound a stop,
// since every request ends by itself.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second // for its header and its body
	writeTimeout  = 40 * time.Second // from the end of its header to the end of its answer
	answerTimeout = 5 * time.Second  // for a client to read enough of its answer
)

// idleTimeout is the time after which an idle connection is closed. During a stop it
// is lingerTime.
const (
	idleTimeout = 2 * time.Minute
	lingerTime  = time.Second
)

// acceptTime is how long a stop waits for connections that are being established.
const acceptTime = 50 * time.Millisecond

// server is an HTTP server that stops without the loss of an answer.
//
// http.Server.Shutdown closes idle connections at once. If a client is sending a
// request on one of them, it gets the end of the connection instead of an answer,
// and cannot know whether the request was served. SetKeepAlivesEnabled(false) does
// the same. So a stop first adds Connection: close to every answer. Then it waits
// until each connection is closed, or idle for the lingerTime.
//
// The close of a listener has a similar effect: it resets the connections that were
// established and not accepted yet. So they are accepted first, while the kernel
// refuses new ones. The client of a refused connection knows that it was not served.
type server struct {
	http     http.Server
	listener net.Listener
	served   chan struct{} // closed when the last connection is accepted
	stopping atomic.Bool

	mu      sync.Mutex
	since   map[net.Conn]time.Time // when an open connection became idle; zero: it is active
	changed chan struct{}          // of capacity 1
}

// serve starts the server.
func serve(l net.Listener, h http.Handler, log *slog.Logger) *server {
	s := &server{listener: l, served: make(chan struct{}), since: make(map[net.Conn]time.Time), changed: make(chan struct{}, 1)}
	s.http = http.Server{
		Handler: s.answering(h), ConnState: s.track,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(l); !s.stopping.Load() {
			log.Error("serving ended", "error", err)
		}
	}()
	return s
}

// answering limits the time of each answer. The answers of a stopping server end their
// connection.
func (s *server) answering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(boundedAnswer{w}, r)
	})
}

// boundedAnswer ends its connection if the client does not read it.
type boundedAnswer struct{ http.ResponseWriter }

// WriteHeader sets the write deadline of the answer, then writes its header.
func (a boundedAnswer) WriteHeader(status int) {
	_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(answerTimeout)) // a connection has one
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a boundedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// stop returns when every request is answered and every connection is closed.
func (s *server) stop(ctx context.Context) error {
	s.stopping.Store(true)
	if refuse(s.listener) {
		pause(ctx, acceptTime, nil)
	}
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	<-s.served
	s.linger(ctx, time.Now())
	s.closeIdle()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// linger waits until each connection is closed, or was idle for the lingerTime since
// the stop began.
func (s *server) linger(ctx context.Context, began time.Time) {
	for ctx.Err() == nil {
		wait := s.remaining(began)
		if wait <= 0 {
			return
		}
		pause(ctx, wait, s.changed)
	}
}

// remaining returns the time left for the connections, unless they change.
func (s *server) remaining(began time.Time) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, since := range s.since {
		switch {
		case since.IsZero():
			since = time.Now()
		case since.Before(began):
			since = began
		}
		wait = max(wait, time.Until(since.Add(lingerTime)))
	}
	return wait
}

// closeIdle closes idle connections. Shutdown would wait for new ones.
func (s *server) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, since := range s.since {
		if !since.IsZero() {
			c.Close()
		}
	}
}

// track is the ConnState of the server. A connection without a request is idle.
func (s *server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew, http.StateIdle:
		s.since[c] = time.Now()
	case http.StateActive:
		s.since[c] = time.Time{}
	default:
		delete(s.since, c)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// pause waits for d, for early, or for the end of ctx.
func pause(ctx context.Context, d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
}
