// Package loopback gives tests addresses for servers that have to be given an address.
package loopback

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// Ports are outside the range from which systems choose ports, also for connections. A process
// has a block of them, in which it takes one after the other.
const (
	firstPort = 10000
	blocks    = 200
	blockSize = 100
)

var taken atomic.Int64

// Free returns an address without a listener. Nothing takes it before the caller's server
// does, except the hundredth caller of Free after this one, or a process with the same block.
func Free(t testing.TB) string {
	t.Helper()
	var err error
	for range blockSize {
		port := firstPort + os.Getpid()%blocks*blockSize + int(taken.Add(1)%blockSize)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatalf("no free port on the loopback: %v", err)
	panic("unreachable")
}
