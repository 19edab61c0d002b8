// Package natstest gives tests real NATS servers, and runs tests of package testkit on them. It
// is a separate package because it links the server, which most tests of a system do not need.
package natstest

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/testkit"
	"gomono.dev/testkit/internal/leak"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// NATS starts a server for one test, with logs in a directory of the test and a free port on
// the loopback. It ends with the test. A client that is still connected then, or a goroutine
// that still runs, fails the test. The test's log has the warnings and errors of the server.
func NATS(t testing.TB) *embedded.Server {
	t.Helper()
	return start(t, leak.New(t.Name()), embedded.Options{Listen: "127.0.0.1:0"})
}

// Cluster starts n servers that form one cluster, each as NATS does. n is at least 3.
func Cluster(t testing.TB, n int) []*embedded.Server {
	t.Helper()
	if n < 3 {
		t.Fatalf("natstest: a cluster of %d servers: want at least 3, so that one may fail", n)
	}
	routes := make([]string, n)
	for i := range routes {
		routes[i] = loopback.Free(t)
	}
	watch := leak.New(t.Name())
	servers := make([]*embedded.Server, n)
	begun := make(chan int, n)
	for i := range n {
		o := embedded.Options{
			ServerName: fmt.Sprintf("n%d", i+1), Listen: "127.0.0.1:0",
			Cluster: &embedded.Cluster{Name: "test", Listen: routes[i], Routes: routes},
		}
		prepare(t, &o)
		go func() { // a member is ready when a leader is chosen, which takes several
			watch.Do(func() {
				s, err := embedded.Start(context.Background(), o)
				if err != nil {
					t.Errorf("natstest: server %s: %v", o.ServerName, err)
				}
				servers[i] = s
			})
			begun <- i
		}()
	}
	for range n {
		<-begun
	}
	t.Cleanup(func() { end(t, watch, servers) })
	if t.Failed() {
		t.FailNow()
	}
	return servers
}

// Server is NATS for testkit.RunOn and testkit.Each.
func Server() testkit.Server {
	return testkit.Server{Name: "nats", Kill: kill, Start: func(t testing.TB) func(context.Context) (transport.Transport, error) {
		s := NATS(t)
		return func(ctx context.Context) (transport.Transport, error) { return s.Connect(ctx) }
	}}
}

// kill closes the connection of a transport, which hands nothing back.
func kill(tr transport.Transport) {
	if c, ok := natsx.Conn(tr); ok {
		c.Close()
	}
}

// Run is testkit.RunOn with a new server.
func Run(t *testing.T, body func(t *testing.T, h *testkit.Harness), opts ...testkit.Option) {
	t.Helper()
	testkit.RunOn(t, Server(), body, opts...)
}

// Each is testkit.Each, with a server.
func Each(t *testing.T, body func(t *testing.T, h *testkit.Harness)) {
	t.Helper()
	testkit.Each(t, body, Server())
}

func start(t testing.TB, watch *leak.Watch, o embedded.Options) *embedded.Server {
	t.Helper()
	prepare(t, &o)
	var s *embedded.Server
	var err error
	watch.Do(func() { s, err = embedded.Start(context.Background(), o) })
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	t.Cleanup(func() { end(t, watch, []*embedded.Server{s}) })
	return s
}

// prepare fills in the options that all servers of a test have. Their stores are synced rarely:
// a loss of power loses the test too.
func prepare(t testing.TB, o *embedded.Options) {
	o.Dir, o.SyncInterval, o.StartTimeout = t.TempDir(), time.Minute, startTimeout
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

// startTimeout is for machines that run many tests at once.
const startTimeout = realtime.Patience

// Time limits at the end of a test, for the last client and for remaining goroutines.
const (
	clientTimeout = 5 * time.Second
	leakTimeout   = 10 * time.Second
)

// end stops servers, and looks for leftovers of the test.
func end(t testing.TB, watch *leak.Watch, servers []*embedded.Server) {
	t.Helper()
	for _, s := range servers {
		if s != nil {
			awaitClients(t, s)
		}
	}
	for _, s := range servers {
		if s == nil {
			continue
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("natstest: stopping %s: %v", s.NATS().Name(), err)
		}
	}
	if left := watch.Left(leakTimeout); left != "" {
		t.Errorf("natstest: goroutines of the server still run\n\n%s", left)
	}
}

// awaitClients waits until no client is connected: the server notices a close a little later.
func awaitClients(t testing.TB, s *embedded.Server) {
	t.Helper()
	if !realtime.Within(clientTimeout, func() bool { return s.NATS().NumClients() == 0 }) {
		t.Errorf("natstest: %d clients are still connected to %s at the end of the test: close their transports", s.NATS().NumClients(), s.NATS().Name())
	}
}
