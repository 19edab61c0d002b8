// Package clustertest starts clusters of NATS servers with faults, for tests.
package clustertest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// NewLagging starts a cluster of three servers. Traffic to and from the third one is
// delayed by lag, so that it is usually behind in stored messages.
func NewLagging(t testing.TB, lag time.Duration) []*embedded.Server {
	t.Helper()
	routes := make([]string, 3)
	for i := range routes {
		routes[i] = loopback.Free(t)
	}
	far := []string{proxytest.NewSlow(t, routes[0], lag).Address(), proxytest.NewSlow(t, routes[1], lag).Address()}
	known := [][]string{routes[1:2], routes[:1], far}
	servers := make([]*embedded.Server, 3)
	var wg sync.WaitGroup
	for i := range servers {
		dir := t.TempDir()
		file := configFile(t, routes[i], known[i])
		wg.Go(func() {
			s, err := embedded.Start(t.Context(), embedded.Options{
				Dir: dir, ServerName: fmt.Sprintf("n%d", i+1), Listen: "127.0.0.1:0", ConfigFile: file,
				SyncInterval: time.Minute, StartTimeout: realtime.Patience, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Errorf("server n%d: %v", i+1, err)
			}
			servers[i] = s
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, s := range servers {
			if s != nil {
				_ = s.Shutdown(context.Background())
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	awaitPeers(t, servers[0])
	return servers
}

// configFile returns a configuration with settings that embedded.Options lacks. It stops
// the servers from advertising routes, which would bypass the proxy of a member.
func configFile(t testing.TB, listen string, routes []string) string {
	t.Helper()
	text := fmt.Sprintf("cluster { name: lagging, listen: %q, no_advertise: true, routes: [nats-route://%s] }\n", listen, strings.Join(routes, ", nats-route://"))
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// awaitPeers waits until the cluster's leader knows all three servers.
func awaitPeers(t testing.TB, s *embedded.Server) {
	t.Helper()
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, Replicas: 3, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	for begun := time.Now(); ; <-time.After(50 * time.Millisecond) {
		_, err := tr.Log(t.Context(), transport.LogConfig{Name: "first", Subjects: []string{"first"}})
		code := transport.CodeOf(err)
		switch {
		case err == nil:
			return
		case code != transport.ResourceExhausted && code != transport.Unavailable || time.Since(begun) > realtime.Patience:
			t.Fatal(err)
		}
	}
}
