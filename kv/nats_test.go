package kv_test

import (
	"context"
	"log/slog"
	"testing"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/kvtest"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx/embedded"
)

// The guarantees hold on a NATS server with its store in memory.
func TestConformanceOnNATS(t *testing.T) {
	t.Parallel()
	server := startNATS(t, embedded.Options{Memory: true})
	kvtest.Run(t, kvtest.Target{Start: func(t *testing.T) func() transport.Transport { return connectNATS(t, server) }})
}

// The guarantees hold on a NATS server with its store on disk.
func TestConformanceOnDisk(t *testing.T) {
	t.Parallel()
	server := startNATS(t, embedded.Options{Dir: t.TempDir()})
	kvtest.Run(t, kvtest.Target{Start: func(t *testing.T) func() transport.Transport { return connectNATS(t, server) }})
}

func startNATS(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	server, err := embedded.Start(realtime.Patient(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

func connectNATS(t *testing.T, server *embedded.Server) func() transport.Transport {
	return func() transport.Transport {
		t.Helper()
		tr, err := server.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
}
