package natsx

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// link is what is known about the connection without asking nats.go, whose every
// method waits while it dials. It changes only in nats.go's callbacks, which come
// in the order of events; that of a break comes before the next dial.
type link struct {
	maxPayload atomic.Int64
	asked      atomic.Bool // for maxPayload, on this connection
	cut        atomic.Bool // written under mu

	conn atomic.Pointer[nats.Conn] // for what has to be asked

	mu     sync.Mutex
	breaks int              // how often it broke
	broken chan struct{}    // closed while there is no connection
	why    *transport.Error // the last attempt to connect again failed
	said   map[string]bool  // the complaints in this episode
}

// maxSaid bounds the complaints that are remembered.
const maxSaid = 100

func newLink() *link { return &link{broken: make(chan struct{}), said: make(map[string]bool)} }

// watch returns a channel that is closed when the connection breaks, or has.
func (l *link) watch() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

func (l *link) down() bool { return l.cut.Load() }

// state returns how often the connection broke, and whether it is there.
func (l *link) state() (breaks int, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.breaks, !l.cut.Load()
}

func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut.Swap(true) {
		clear(l.said)
		l.breaks++
		close(l.broken)
	}
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut.Load() {
		clear(l.said)
		l.why, l.broken = nil, make(chan struct{})
		l.asked.Store(false) // it may be another server
		l.cut.Store(false)
	}
}

// fail notes why an attempt to connect again failed.
func (l *link) fail(why *transport.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why = why
}

// reason returns why the last attempt to connect again failed, nil before the first.
func (l *link) reason() *transport.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// repeats reports whether text was complained of before in this episode.
func (l *link) repeats(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said[text] {
		return true
	}
	if len(l.said) >= maxSaid {
		clear(l.said)
	}
	l.said[text] = true
	return false
}
