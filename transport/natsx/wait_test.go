package natsx_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// waiting receives the log of a Connect. It ends ready when Connect has logged that it waits.
type waiting struct {
	slog.Handler
	once  *sync.Once
	ready chan struct{}
}

func newWaiting(t *testing.T) *waiting {
	return &waiting{testLog(t).Handler(), new(sync.Once), make(chan struct{})}
}

func (w *waiting) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "natsx: waiting for a server" {
		w.once.Do(func() { close(w.ready) })
	}
	return w.Handler.Handle(ctx, r)
}

// A server that comes up while Connect waits is used.
func TestConnectWaitsForAServer(t *testing.T) {
	t.Parallel()
	address, log := loopback.Free(t), newWaiting(t)
	o := natsx.Options{URLs: []string{"nats://" + address}, Logger: slog.New(log), WaitForServer: true, ReconnectWait: 10 * time.Millisecond, ReconnectJitter: 1}
	type result struct {
		tr  *natsx.Transport
		err error
	}
	connected := make(chan result, 1)
	go func() {
		tr, err := natsx.Connect(t.Context(), o)
		connected <- result{tr, err}
	}()
	select {
	case <-log.ready:
	case r := <-connected:
		t.Fatalf("Connect has not waited: %v", r.err)
	}
	startServer(t, func(o *embedded.Options) { o.Listen = address })
	r := <-connected
	if r.err != nil {
		t.Fatal(r.err)
	}
	if err := r.tr.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if has := r.tr.Capabilities(); !has.Logs {
		t.Errorf("got %+v", has)
	}
	if err := r.tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// When its context ends, Connect returns an error that names the address and the cause. Without
// WaitForServer, and after another error, it does not wait.
func TestConnectWaitsWithinItsContext(t *testing.T) {
	t.Parallel()
	address, log := loopback.Free(t), newWaiting(t)
	o := natsx.Options{URLs: []string{"nats://" + address}, Logger: slog.New(log), WaitForServer: true}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-log.ready
		cancel()
	}()
	_, err := natsx.Connect(ctx, o)
	if transport.CodeOf(err) != transport.Canceled || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "gave up waiting for a server: no NATS server answers at nats://"+address) {
		t.Errorf("got %v", err)
	}
	o.WaitForServer = false
	if _, err := natsx.Connect(t.Context(), o); transport.CodeOf(err) != transport.Unavailable {
		t.Errorf("without WaitForServer: %v", err)
	}
	s := startServer(t, func(o *embedded.Options) { o.User, o.Password = "a", "b" })
	refused := natsx.Options{URLs: []string{s.ClientURL()}, Logger: testLog(t), WaitForServer: true, User: "a", Password: "c"}
	if _, err := natsx.Connect(t.Context(), refused); transport.CodeOf(err) != transport.Unauthenticated {
		t.Errorf("with wrong credentials: %v", err)
	}
}
