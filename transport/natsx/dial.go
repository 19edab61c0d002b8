package natsx

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// dialer opens connections that detect a full server. Such a server reports an error and
// closes the connection before it has read anything. nats.go then fails to write, and never
// reads the error.
type dialer struct {
	net.Dialer
	ordered bool // keep the order of the resolver
}

// useDialer sets a dialer, unless the options have one. The dialer resolves names instead of
// nats.go.
func useDialer(o *nats.Options) {
	if o.InProcessServer != nil {
		o.InProcessServer = inProcess{o.InProcessServer}
	}
	if o.CustomDialer != nil {
		return
	}
	d := &dialer{ordered: o.NoRandomize}
	if d.Timeout = o.Timeout; o.Dialer != nil {
		d.Dialer = *o.Dialer
	}
	if o.AllowMultipathTCP != nil {
		d.SetMultipathTCP(*o.AllowMultipathTCP)
	}
	o.CustomDialer, o.SkipHostLookup = d, true
}

// Dial implements [nats.CustomDialer]. The timeout is shared by all addresses of a name.
func (d *dialer) Dial(network, address string) (conn net.Conn, err error) {
	addresses := d.resolve(address)
	one := d.Dialer
	one.Timeout /= time.Duration(len(addresses))
	for _, address := range addresses {
		if conn, err = one.Dial(network, address); err == nil {
			return &greeting{Conn: &writeDeadline{Conn: conn}}, nil
		}
	}
	return nil, err
}

func (d *dialer) resolve(address string) []string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil {
		return []string{address}
	}
	addresses, err := net.LookupHost(host)
	if err != nil || len(addresses) == 0 {
		return []string{address}
	}
	for i := range addresses {
		addresses[i] = net.JoinHostPort(addresses[i], port)
	}
	if !d.ordered {
		rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	}
	return addresses
}

// greeting is a connection that inspects the server's greeting: its INFO, and its answer to
// the first write.
type greeting struct {
	net.Conn
	reads atomic.Int32
	full  atomic.Bool
}

// greetingReads is the number of reads in a greeting. Later reads may contain messages.
const greetingReads = 2

var (
	errFull  = errors.New("nats: " + nats.MAX_CONNECTIONS_ERR)
	fullLine = []byte("-ERR '" + nats.MAX_CONNECTIONS_ERR + "'")
)

// Read reads from the connection. It fails if the server reports that it is full.
func (g *greeting) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if g.reads.Load() >= greetingReads {
		return n, err
	}
	g.reads.Add(1)
	g.scan(b[:n])
	if g.full.Load() && !bytes.HasPrefix(b[:n], []byte("INFO")) {
		return 0, errFull
	}
	return n, err
}

// scan looks for the error that a full server sends before it closes a connection.
func (g *greeting) scan(read []byte) {
	for line := range bytes.Lines(read) {
		if bytes.HasPrefix(bytes.ToLower(line), bytes.ToLower(fullLine)) {
			g.full.Store(true)
		}
	}
}

// Write writes to the connection. If that fails during the greeting, it reads the server's
// error.
func (g *greeting) Write(b []byte) (int, error) {
	if g.full.Load() {
		return 0, errFull
	}
	n, err := g.Conn.Write(b)
	if err != nil && g.reads.Load() < greetingReads && g.readFull() {
		err = errFull
	}
	return n, err
}

func (g *greeting) readFull() bool {
	if err := g.SetReadDeadline(time.Now().Add(readErrorTimeout)); err != nil {
		return false
	}
	b := make([]byte, 4096)
	n, _ := g.Conn.Read(b) // the error does not matter
	g.scan(b[:n])
	return g.full.Load()
}

// readErrorTimeout bounds the wait for the error of a server that accepts no more data.
const readErrorTimeout = time.Second
