package natsx

import (
	"sync"
	"sync/atomic"
)

// link is what is known about the connection without asking nats.go, whose every
// method waits while it dials. It changes only in nats.go's callbacks, which come
// in the order of events; that of a break comes before the next dial.
type link struct {
	maxPayload atomic.Int64
	asked      atomic.Bool // for maxPayload, on this connection
	cut        atomic.Bool // written under mu

	mu     sync.Mutex
	breaks int           // how often it broke
	broken chan struct{} // closed while there is no connection
	said   string        // the last complaint in this episode
}

func newLink() *link { return &link{broken: make(chan struct{})} }

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
		l.said = ""
		l.breaks++
		close(l.broken)
	}
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut.Load() {
		l.said, l.broken = "", make(chan struct{})
		l.asked.Store(false) // it may be another server
		l.cut.Store(false)
	}
}

// repeats reports whether text is what was last complained of in this episode.
func (l *link) repeats(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := l.said == text
	l.said = text
	return same
}
