package kv_test

import (
	"fmt"
	"os"
	"testing"
	"testing/synctest"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/kvtest"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
)

func TestMain(m *testing.M) { os.Exit(realtime.Main(m)) }

func startInproc(*testing.T) func() transport.Transport {
	backend := inproc.NewBackend(inproc.Options{})
	return func() transport.Transport { return backend.Connect() }
}

func TestConformance(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, kvtest.Target{Start: startInproc})
}

func TestConformanceInBubbles(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, kvtest.Target{Start: startInproc, Virtual: true})
}

// The guarantees hold in every order of the steps of a backend.
func TestConformanceInSteps(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			kvtest.Run(t, kvtest.Target{Virtual: true, Start: func(*testing.T) func() transport.Transport {
				backend := inproctest.NewBackend(inproctest.Options{Seed: seed + 1, Quiesce: synctest.Wait})
				return func() transport.Transport { return backend.Connect() }
			}})
		})
	}
}
