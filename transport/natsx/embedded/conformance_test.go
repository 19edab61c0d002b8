package embedded_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
	"gomono.dev/transport/transporttest"
)

// The transport contract holds in the process.
func TestConformance(t *testing.T) {
	t.Parallel()
	s := conformanceServer(t, embedded.Options{Memory: true})
	transporttest.Run(t, func(t *testing.T) transport.Transport {
		tr, err := s.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tr
	})
}

// The transport contract holds over TCP, with a store on disk.
func TestConformanceTCP(t *testing.T) {
	t.Parallel()
	s := conformanceServer(t, embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	transporttest.Run(t, func(t *testing.T) transport.Transport {
		tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return tr
	})
}

// The transport contract holds when the connection is lost and restored.
func TestConformanceReconnect(t *testing.T) {
	t.Parallel()
	s := conformanceServer(t, embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	transporttest.RunReconnect(t, func(t *testing.T) *transporttest.Line {
		p := proxytest.New(t, strings.TrimPrefix(s.ClientURL(), "nats://"))
		tr, err := natsx.Connect(t.Context(), natsx.Options{
			URLs: []string{"nats://" + p.Address()}, ReconnectWait: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		return &transporttest.Line{Transport: tr, Cut: p.Cut, Mend: p.Mend}
	})
}

// The transport contract holds when the server ends and starts again in its directory.
func TestConformanceCrash(t *testing.T) {
	t.Parallel()
	transporttest.RunCrash(t, func(t *testing.T) *transporttest.Host {
		dir := t.TempDir()
		s := conformanceServer(t, embedded.Options{Dir: dir})
		return &transporttest.Host{
			Connect: func(t *testing.T) transport.Transport {
				tr, err := s.Connect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return tr
			},
			Crash: func(t *testing.T) {
				if err := s.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				s = conformanceServer(t, embedded.Options{Dir: dir})
			},
		}
	})
}

func conformanceServer(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := embedded.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return s
}
