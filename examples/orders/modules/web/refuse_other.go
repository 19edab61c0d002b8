//go:build !linux

package web

import "net"

// refuse reports that the kernel has no way to refuse new connections: a client
// whose connection is not accepted yet loses it when the listener is closed.
func refuse(net.Listener) bool { return false }
