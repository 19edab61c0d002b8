package transporttest_test

import (
	"log"
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/transporttest"
)

// Carrier is a third-party transport with the methods of transport.Transport.
type Carrier struct{ transport.Transport }

// Connect returns a connected Carrier.
func Connect(address string) (*Carrier, error) {
	log.Printf("connecting to %s", address)
	return &Carrier{inproc.New(inproc.Options{})}, nil
}

// A third-party transport is tested against the transport contract by a constructor and
// one call, and measured by another.
func Example() {
	newTransport := func(t testing.TB) transport.Transport {
		c, err := Connect("localhost:1234")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	_ = func(t *testing.T) { // func TestConformance(t *testing.T)
		transporttest.Run(t, func(t *testing.T) transport.Transport { return newTransport(t) })
	}
	_ = func(b *testing.B) { // func BenchmarkTransport(b *testing.B)
		transporttest.Bench(b, func(b *testing.B) transport.Transport { return newTransport(b) })
	}
}
