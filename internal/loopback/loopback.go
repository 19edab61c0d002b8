// Package loopback gives tests addresses for servers that are told where to listen.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Free returns an address at which nobody listens. Its port is none of those that
// systems give to whoever wants any, for a connection too, so that nobody takes it
// before its server does, but another caller of Free that picks the same among 20000.
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
