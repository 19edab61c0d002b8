package mono

import (
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// stats counts what a receiver has done.
type stats struct {
	wire, home tally // messages from the wire, calls from within the process

	errors atomic.Uint64
	mu     sync.Mutex
	last   string
}

func (s *stats) record(t *tally, spent time.Duration, err error) {
	t.add(spent)
	if err != nil {
		s.errors.Add(1)
		s.mu.Lock()
		s.last = err.Error()
		s.mu.Unlock()
	}
}

func (s *stats) snapshot() transport.EndpointStats {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	wire, spent := s.wire.sum()
	home, spentHome := s.home.sum()
	return transport.EndpointStats{
		Requests:       wire + home,
		Errors:         s.errors.Load(),
		LastError:      last,
		ProcessingTime: spent + spentHome,
		Data:           map[string]uint64{"home_requests": home},
	}
}

// tally counts calls and the time they took. Both are in one word, so that a call
// costs one addition; the word is emptied long before it is full.
type tally struct {
	word atomic.Uint64 // the count above tallyTime bits, nanoseconds below

	mu    sync.Mutex
	count uint64
	spent time.Duration
}

// A call that takes longer than tallyLong is counted apart. tallyMany of the others
// fill half of the word.
const (
	tallyTime = 44
	tallyLong = 1 << 30 // nanoseconds
	tallyMany = 1 << (tallyTime - 30 - 1)
)

func (t *tally) add(spent time.Duration) {
	if uint64(spent) < tallyLong && t.word.Add(1<<tallyTime|uint64(spent))>>tallyTime < tallyMany {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.empty(); spent >= tallyLong {
		t.count++
		t.spent += spent
	}
}

// empty makes the word empty; the mutex is held.
func (t *tally) empty() {
	word := t.word.Swap(0)
	t.count += word >> tallyTime
	t.spent += time.Duration(word & (1<<tallyTime - 1))
}

// sum returns how many calls there were and how long they took together.
func (t *tally) sum() (uint64, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.empty()
	return t.count, t.spent
}
