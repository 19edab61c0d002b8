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

	mu     sync.Mutex
	cut    bool
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

func (l *link) down() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// state returns how often the connection broke, and whether it is there.
func (l *link) state() (breaks int, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.breaks, !l.cut
}

func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.cut, l.said = true, ""
		l.breaks++
		close(l.broken)
	}
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		l.cut, l.said, l.broken = false, "", make(chan struct{})
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
