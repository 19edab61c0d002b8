package mono

import (
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// stats counts what a receiver has done, home calls included.
type stats struct {
	requests atomic.Uint64
	errors   atomic.Uint64
	home     atomic.Uint64
	spent    atomic.Int64

	mu   sync.Mutex
	last string
}

func (s *stats) record(spent time.Duration, err error) {
	s.requests.Add(1)
	s.spent.Add(int64(spent))
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
	return transport.EndpointStats{
		Requests:       s.requests.Load(),
		Errors:         s.errors.Load(),
		LastError:      last,
		ProcessingTime: time.Duration(s.spent.Load()),
		Data:           map[string]uint64{"home_requests": s.home.Load()},
	}
}
