package inproc_test

import (
	"fmt"
	"os"
	"testing"
	"testing/synctest"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
	"gomono.dev/transport/transporttest"
)

func TestMain(m *testing.M) { os.Exit(realtime.Main(m)) }

func newTransport(*testing.T) transport.Transport { return inproc.New(inproc.Options{}) }

func TestConformance(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, newTransport)
}

// No case leaves a goroutine behind or waits for anything outside its bubble.
func TestConformanceInBubbles(t *testing.T) {
	t.Parallel()
	transporttest.RunInBubble(t, newTransport)
}

// A backend keeps its promises in every order of its steps.
func TestConformanceInSteps(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			transporttest.RunInBubble(t, func(*testing.T) transport.Transport {
				return inproctest.NewBackend(inproctest.Options{Seed: seed + 1, Quiesce: synctest.Wait}).Connect()
			})
		})
	}
}
