package mono

import (
	"errors"
	"sync"
)

// pendingDeadLetter is the error of a message that was given up, but whose dead letter
// could not be stored yet. The message is delivered again until it can, and is not
// handled any more.
type pendingDeadLetter struct {
	error
	reason Reason
}

func (u *pendingDeadLetter) Unwrap() error { return u.error }

// pendingDeadLetters holds the pending dead letters of a receiver by sequence. If the
// receiver does not know one, because another process has given it up, the dead letter
// has ReasonOutcomeUnknown.
type pendingDeadLetters struct {
	mu  sync.Mutex
	all map[uint64]*pendingDeadLetter
}

// maxPendingDeadLetters bounds their number.
const maxPendingDeadLetters = 10_000

func (g *pendingDeadLetters) remember(sequence uint64, reason Reason, err error) {
	u, again := errors.AsType[*pendingDeadLetter](err)
	if !again {
		u = &pendingDeadLetter{err, reason}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[uint64]*pendingDeadLetter)
	}
	if g.all[sequence] != nil || len(g.all) < maxPendingDeadLetters {
		g.all[sequence] = u
	}
}

func (g *pendingDeadLetters) forget(sequence uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, sequence)
}

// of returns the pending dead letter of a message, or nil.
func (g *pendingDeadLetters) of(sequence uint64) *pendingDeadLetter {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all[sequence]
}
