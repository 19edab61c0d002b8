package mono

import (
	"errors"
	"sync"
)

// unburied is why a message was given up whose dead letter cannot be stored yet: it
// comes again until it can, and is not handled any more.
type unburied struct {
	error
	reason Reason
}

func (u *unburied) Unwrap() error { return u.error }

// graveyard remembers those of a receiver by sequence. One that it does not know, since
// another process has given it up, is a letter with ReasonOutcomeUnknown.
type graveyard struct {
	mu  sync.Mutex
	all map[uint64]*unburied
}

// maxUnburied bounds what is remembered.
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

// of returns nil where nothing is remembered.
func (g *graveyard) of(sequence uint64) *unburied {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all[sequence]
}
