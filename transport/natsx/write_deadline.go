package natsx

import (
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// writeDeadline is a connection whose write deadlines cost little. nats.go sets one before
// each write and removes it afterwards, which makes a timer each time on a connection within
// the process. This connection keeps the deadline between writes, and moves it only when a
// later write needs another one. So a write may last longer than asked for, by a part of its
// time.
type writeDeadline struct {
	net.Conn
	mu      sync.Mutex
	removed bool          // no deadline applies to the next write
	set     time.Time     // the deadline of Conn, zero if it has none
	more    time.Duration // by which set may be later than asked for
}

// writeDeadlineShare is the part of its time by which a write may last longer.
const writeDeadlineShare = 16

// SetWriteDeadline implements [net.Conn].
func (c *writeDeadline) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = t.IsZero()
	if c.removed || !c.set.Before(t) && c.set.Sub(t) <= c.more {
		return nil
	}
	more := max(0, time.Until(t)/writeDeadlineShare)
	return c.move(t.Add(more), more)
}

// SetDeadline implements [net.Conn].
func (c *writeDeadline) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Write implements [net.Conn].
func (c *writeDeadline) Write(b []byte) (int, error) {
	if err := c.remove(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// remove removes the deadline of Conn if none applies.
func (c *writeDeadline) remove() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.removed || c.set.IsZero() {
		return nil
	}
	return c.move(time.Time{}, 0)
}

// move changes the deadline of Conn. The mutex is held.
func (c *writeDeadline) move(to time.Time, more time.Duration) error {
	c.set, c.more = to, more
	return c.Conn.SetWriteDeadline(to)
}

// inProcess opens connections within the process with such deadlines.
type inProcess struct{ nats.InProcessConnProvider }

// InProcessConn implements [nats.InProcessConnProvider].
func (p inProcess) InProcessConn() (net.Conn, error) {
	conn, err := p.InProcessConnProvider.InProcessConn()
	if err != nil {
		return nil, err
	}
	return &writeDeadline{Conn: conn}, nil
}
