package embedded_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"gomono.dev/kv/kvtest"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// The guarantees of buckets hold when the connection is lost and restored.
func TestBucketsReconnect(t *testing.T) {
	t.Parallel()
	s := conformanceServer(t, embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	kvtest.RunReconnect(t, func(t *testing.T) *kvtest.Line {
		near, far, p := lineTo(t, s)
		return &kvtest.Line{Transport: near(), Connect: far, Cut: p.Cut, Mend: p.Mend}
	})
}

// lineTo returns functions that connect to a server through a proxy, and without it.
func lineTo(t *testing.T, s *embedded.Server) (near, far func() transport.Transport, p *proxytest.Proxy) {
	address := strings.TrimPrefix(s.ClientURL(), "nats://")
	p = proxytest.New(t, address)
	connect := func(address string) func() transport.Transport {
		return func() transport.Transport {
			tr, err := natsx.Connect(t.Context(), natsx.Options{
				URLs: []string{"nats://" + address}, ReconnectWait: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			return tr
		}
	}
	return connect(p.Address()), connect(address), p
}
