package objstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore/objtest"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
	"gomono.dev/transport/natsx/embedded"
)

func TestMain(m *testing.M) { os.Exit(realtime.Main(m)) }

func startInproc(*testing.T) func() transport.Transport {
	backend := inproc.NewBackend(inproc.Options{})
	return func() transport.Transport { return backend.Connect() }
}

func TestConformance(t *testing.T) {
	t.Parallel()
	objtest.Run(t, objtest.Target{Start: startInproc})
}

func TestConformanceInBubbles(t *testing.T) {
	t.Parallel()
	objtest.Run(t, objtest.Target{Start: startInproc, Virtual: true})
}

// The guarantees hold in every order of the steps of a backend.
func TestConformanceInSteps(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			objtest.Run(t, objtest.Target{Virtual: true, Start: func(*testing.T) func() transport.Transport {
				backend := inproctest.NewBackend(inproctest.Options{Seed: seed + 1, Quiesce: synctest.Wait})
				return func() transport.Transport { return backend.Connect() }
			}})
		})
	}
}

// The guarantees hold on a NATS server with its store in memory.
func TestConformanceOnNATS(t *testing.T) {
	t.Parallel()
	server := conformanceServer(t, embedded.Options{Memory: true})
	objtest.Run(t, objtest.Target{Start: func(t *testing.T) func() transport.Transport { return connectTo(t, server) }})
}

// The guarantees hold on a NATS server with its store on disk.
func TestConformanceOnDisk(t *testing.T) {
	t.Parallel()
	server := conformanceServer(t, embedded.Options{Dir: t.TempDir()})
	objtest.Run(t, objtest.Target{Start: func(t *testing.T) func() transport.Transport { return connectTo(t, server) }})
}

func conformanceServer(t *testing.T, o embedded.Options) *embedded.Server {
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

func connectTo(t *testing.T, server *embedded.Server) func() transport.Transport {
	return func() transport.Transport {
		t.Helper()
		tr, err := server.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
}
