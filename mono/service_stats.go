package mono

import (
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// stats counts the calls of a service.
type stats struct {
	received, local tally // over the transport, and local

	errors atomic.Uint64
	mu     sync.Mutex
	last   string
}

func (s *stats) record(spent time.Duration, err error) {
	s.received.add(spent)
	if err != nil {
		s.failed(err)
	}
}

func (s *stats) failed(err error) {
	s.errors.Add(1)
	s.mu.Lock()
	s.last = err.Error()
	s.mu.Unlock()
}

func (s *stats) snapshot() transport.EndpointStats {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	received, spent := s.received.sum()
	local, spentLocal := s.local.sum()
	return transport.EndpointStats{
		Requests:       received + local,
		Errors:         s.errors.Load(),
		LastError:      last,
		ProcessingTime: spent + spentLocal,
		Data:           map[string]uint64{"local_requests": local},
	}
}

// tally counts calls and the time they took. Both are in one word, so that a call costs
// one addition. The word is emptied long before it is full.
type tally struct {
	word atomic.Uint64 // the count above tallyTime bits, nanoseconds below

	mu    sync.Mutex
	count uint64
	spent time.Duration
}

// A call that takes longer than tallyLong is not counted in the word. tallyMany of the
// others fill half of the word.
const (
	tallyTime = 44
	tallyLong = 1 << 30 // nanoseconds
	tallyOne  = 1 << tallyTime
	tallyMany = 1 << (tallyTime - 30 - 1)
	tallyFull = tallyMany << tallyTime
)

func (t *tally) add(spent time.Duration) {
	if uint64(spent) >= tallyLong || t.word.Add(tallyOne|uint64(spent)) >= tallyFull {
		t.move(spent)
	}
}

// move empties the word, and counts a call that was too long for it.
func (t *tally) move(spent time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.empty(); uint64(spent) >= tallyLong {
		t.count++
		t.spent += spent
	}
}

// empty empties the word. The mutex is held.
func (t *tally) empty() {
	word := t.word.Swap(0)
	t.count += word >> tallyTime
	t.spent += time.Duration(word & (1<<tallyTime - 1))
}

// sum returns the number of calls and the time that they took together.
func (t *tally) sum() (uint64, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.empty()
	return t.count, t.spent
}
