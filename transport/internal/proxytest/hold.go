package proxytest

import (
	"bufio"
	"bytes"
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

// NewLosing returns a Proxy that loses client messages on subjects with a prefix. If a client
// sends the same on a connection more than n times, the later ones are forwarded.
func NewLosing(t testing.TB, server, prefix string, n int) *Proxy {
	t.Helper()
	return start(t, &Proxy{server: server, alter: func([]byte) {}, held: prefix, lost: n})
}

// NewStraying returns a Proxy that sends the first n client messages on subjects with a prefix to
// subjects without a subscriber. The server answers them with the status 503.
func NewStraying(t testing.TB, server, prefix string, n int) *Proxy {
	t.Helper()
	p := &Proxy{server: server, alter: func([]byte) {}, held: prefix}
	p.strays.Store(int64(n))
	return start(t, p)
}

// Strays returns the number of messages that have yet to go astray.
func (p *Proxy) Strays() int { return int(max(p.strays.Load(), 0)) }

// Free forwards messages that a client sends from now on at once.
func (p *Proxy) Free() { p.free.Store(true) }

// Hold delays or loses messages that a client sends from now on, again after Free.
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
	sent := make(map[string]int)
	for in := bufio.NewReader(from); ; {
		frame, subject, err := readFrame(in)
		switch {
		case err != nil:
			return
		case !strings.HasPrefix(subject, p.held) || p.free.Load():
			write(frame)
		case p.strays.Load() > 0:
			p.strays.Add(-1)
			write(bytes.Replace(frame, []byte(subject), []byte("_nowhere."+subject), 1))
		case p.heldFor > 0:
			time.AfterFunc(p.heldFor, func() { write(frame) })
		case p.lost > 0:
			_, payload, _ := bytes.Cut(frame, []byte("\n")) // the line before it has another reply
			same := subject + " " + string(payload)
			if sent[same]++; sent[same] > p.lost {
				write(frame)
			}
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
