package inproc_test

import (
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/transporttest"
)

func newTransport(*testing.T) transport.Transport { return inproc.New(nil) }

func TestConformance(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, newTransport)
}

// Every case leaves no goroutine behind, and waits for nothing outside its
// bubble.
func TestConformanceInBubbles(t *testing.T) {
	t.Parallel()
	transporttest.RunInBubble(t, newTransport)
}
