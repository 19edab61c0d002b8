package proxytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// NewHolding returns a Proxy that delays client messages on subjects with a prefix.
// Everything else is forwarded at once.
func NewHolding(t testing.TB, server, prefix string, delay time.Duration) *Proxy {
	t.Helper()
	return start(t, &Proxy{server: server, alter: func([]byte) {}, held: prefix, heldFor: delay})
}

// Free stops the delays for messages that a client sends from now on.
func (p *Proxy) Free() { p.free.Store(true) }

// Hold delays messages that a client sends from now on, again after Free.
func (p *Proxy) Hold() { p.free.Store(false) }

// hold forwards the frames of a client.
func (p *Proxy) hold(to, from net.Conn) {
	defer to.Close()
	var mu sync.Mutex
	write := func(frame []byte) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = to.Write(frame) // the reader sees the end of the connection
	}
	for in := bufio.NewReader(from); ; {
		frame, subject, err := readFrame(in)
		switch {
		case err != nil:
			return
		case strings.HasPrefix(subject, p.held) && !p.free.Load():
			time.AfterFunc(p.heldFor, func() { write(frame) })
		default:
			write(frame)
		}
	}
}

// readFrame reads one frame of NATS's protocol, and its subject if it is a message:
//
//	PUB <subject> [reply] <size>
//	HPUB <subject> [reply] <size of the header> <size>
func readFrame(in *bufio.Reader) (frame []byte, subject string, err error) {
	frame, err = in.ReadBytes('\n')
	if err != nil {
		return nil, "", err
	}
	fields := strings.Fields(string(frame))
	if len(fields) < 3 || !strings.HasSuffix(strings.ToUpper(fields[0]), "PUB") {
		return frame, "", nil
	}
	size, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		return nil, "", fmt.Errorf("no size in %q: %w", frame, err)
	}
	payload := make([]byte, size+len("\r\n"))
	_, err = io.ReadFull(in, payload)
	return append(frame, payload...), fields[1], err
}
