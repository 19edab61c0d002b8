package transporttest_test

import (
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/transporttest"
)

// A transport that was written elsewhere is held to the seam by a constructor and
// one call.
func Example() {
	_ = func(t *testing.T) { // func TestConformance(t *testing.T)
		transporttest.Run(t, func(t *testing.T) transport.Transport {
			return inproc.New(nil) // or a connection of your own
		})
	}
}
