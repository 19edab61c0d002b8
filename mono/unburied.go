package mono

import (
	"errors"
	"sync"
)

// unburied is the error of a message that was given up, but whose dead letter could not
// be stored yet. The message is delivered again until it can, and is not handled any
// more.
type unburied struct {
	error
	reason Reason
}

func (u *unburied) Unwrap() error { return u.error }

// graveyard holds the pending dead letters of a receiver by sequence. If the receiver
// does not know one, because another process has given it up, the dead letter has
// ReasonOutcomeUnknown.
type graveyard struct {
	mu  sync.Mutex
	all map[uint64]*unburied
}

// maxUnburied bounds their number.
const maxUnburied = 10_000

func (g *graveyard) remember(sequence uint64, reason Reason, err error) {
	u, again := errors.AsType[*unburied](err)
	if !again {
		u = &unburied{err, reason}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[uint64]*unburied)
	}
	if g.all[sequence] != nil || len(g.all) < maxUnburied {
		g.all[sequence] = u
	}
}

func (g *graveyard) forget(sequence uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, sequence)
}

// of returns the pending dead letter of a message, or nil.
func (g *graveyard) of(sequence uint64) *unburied {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all[sequence]
}
