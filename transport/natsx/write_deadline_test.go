package natsx

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// countedDeadlines counts the write deadlines that are set.
type countedDeadlines struct {
	net.Conn
	n int
}

func (c *countedDeadlines) SetWriteDeadline(t time.Time) error {
	c.n++
	return c.Conn.SetWriteDeadline(t)
}

// peerOf returns a connection, and its other end.
func peerOf(t *testing.T) (c *writeDeadline, counted *countedDeadlines, peer net.Conn) {
	near, peer := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), peer.Close() })
	counted = &countedDeadlines{Conn: near}
	return &writeDeadline{Conn: counted}, counted, peer
}

// write writes a byte as nats.go does, and reads it at the other end after a wait.
func write(t *testing.T, c, peer net.Conn, limit, wait time.Duration) error {
	t.Helper()
	go func() {
		<-time.After(wait)
		_, _ = peer.Read(make([]byte, 1))
	}()
	if limit > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(limit))
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	}
	_, err := c.Write([]byte{1})
	return err
}

// A write ends at its deadline, or later by at most a sixteenth of its time.
func TestWriteEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, peer := peerOf(t)
		for _, before := range []time.Duration{0, time.Second, time.Minute, time.Hour} {
			if err := write(t, c, peer, 16*time.Second, 0); err != nil {
				t.Fatal(err)
			}
			<-time.After(before)
			began := time.Now()
			_ = c.SetWriteDeadline(began.Add(16 * time.Second))
			_, err := c.Write([]byte{1})
			if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < 16*time.Second || took > 17*time.Second {
				t.Errorf("%v after a write: %v after %v, want a time-out after 16 to 17 seconds", before, err, took)
			}
		}
	})
}

// A shorter deadline than that of the last write applies, as when a TLS connection closes.
func TestShorterWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, peer := peerOf(t)
		if err := write(t, c, peer, time.Hour, 0); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_ = c.SetDeadline(began.Add(time.Second))
		_, err := c.Write([]byte{1})
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > 2*time.Second {
			t.Errorf("%v after %v, want a time-out after a second", err, took)
		}
	})
}

// A deadline that was removed does not apply to later writes.
func TestRemovedWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, peer := peerOf(t)
		if err := write(t, c, peer, time.Second, 0); err != nil {
			t.Fatal(err)
		}
		if err := write(t, c, peer, 0, time.Hour); err != nil {
			t.Error(err)
		}
	})
}

// Writes in quick succession share a deadline.
func TestWriteDeadlinesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, counted, peer := peerOf(t)
		for range 100 {
			if err := write(t, c, peer, time.Minute, time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if counted.n != 1 {
			t.Errorf("%d deadlines were set, want 1", counted.n)
		}
	})
}
