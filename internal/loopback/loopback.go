// Package loopback gives tests addresses for servers that have to be given an address.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Free returns an address without a listener. Its port is outside the range from which systems
// choose ports, also for connections. So nothing takes it before the caller's server does,
// except another caller of Free that picks the same among 20000.
func Free(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatalf("no free port on the loopback: %v", err)
	panic("unreachable")
}
