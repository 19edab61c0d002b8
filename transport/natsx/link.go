package natsx

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// link is the state of the connection, for use without a call of nats.go: all methods of
// nats.go block while it dials. The state changes only in callbacks of nats.go, which run in
// the order of events. The callback for a disconnect runs before the next dial.
type link struct {
	maxPayload atomic.Int64
	cut        atomic.Bool // written under mu

	conn atomic.Pointer[nats.Conn] // for calls of nats.go

	mu     sync.Mutex
	breaks int              // number of disconnects
	broken chan struct{}    // closed while disconnected
	why    *transport.Error // error of the last attempt to reconnect
	logged map[string]bool  // errors logged since the last change of state
}

// maxLogged bounds the logged errors that are remembered.
const maxLogged = 100

func newLink() *link { return &link{broken: make(chan struct{}), logged: make(map[string]bool)} }

// watch returns a channel that is closed when the connection breaks, or if it is already
// broken.
func (l *link) watch() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

func (l *link) down() bool { return l.cut.Load() }

// state returns the number of disconnects, and whether the connection is up.
func (l *link) state() (breaks int, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.breaks, !l.cut.Load()
}

func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut.Swap(true) {
		clear(l.logged)
		l.breaks++
		close(l.broken)
	}
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut.Load() {
		clear(l.logged)
		l.why, l.broken = nil, make(chan struct{})
		l.cut.Store(false)
	}
}

// fail records why an attempt to reconnect failed.
func (l *link) fail(why *transport.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why = why
}

// reason returns why the last attempt to reconnect failed, or nil before the first one.
func (l *link) reason() *transport.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// repeats reports whether text was already logged since the last change of state.
func (l *link) repeats(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logged[text] {
		return true
	}
	if len(l.logged) >= maxLogged {
		clear(l.logged)
	}
	l.logged[text] = true
	return false
}
