package web

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// refuse makes the kernel refuse new connections to a listener, which still accepts the
// established ones. It reports whether the kernel can, as Linux 5.7 can. A listener that is
// bound to an interface gets no connections from others, and no interface has this index.
func refuse(l net.Listener) bool {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, 1<<30)
	})
	return err == nil && failed == nil
}
