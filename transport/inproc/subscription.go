package inproc

import (
	"context"
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

// subscription is a queue with a goroutine that empties it. Publishers append to
// waiting; the goroutine takes all of it at once, so the lock is taken once for
// a batch on that side.
type subscription struct {
	transport *Transport
	number    uint64 // among those of its Transport
	inForce   bool   // guarded by the lock of the router
	pattern   string
	group     string
	handler   transport.Handler
	limit     int
	onDrop    func(uint64)

	// batchLeft counts what of the current batch the handler has not seen. Whoever
	// takes it below zero, or swaps it for zero, decides about the rest: the
	// goroutine takes one at a time, Close takes all.
	batchLeft atomic.Int64

	mu       sync.Mutex
	arrived  sync.Cond // something waits, or ended is set
	waiting  []*transport.Message
	batch    int  // size of the current batch: an upper bound of batchLeft
	ended    bool // nothing more arrives
	lost     int  // dropped by Close
	dropped  uint64
	dropping bool // in an episode of drops
	turn     turn // of a Backend that takes steps

	done chan struct{} // closed when the handler has returned for the last time
}

// maxIdleBatch is the capacity above which an emptied batch is left to the
// garbage collector, so that a burst does not keep its memory for good.
const maxIdleBatch = 1024

func newSubscription(t *Transport, s transport.Subscription, h transport.Handler) *subscription {
	sub := &subscription{
		transport: t,
		pattern:   s.Subject,
		group:     s.Group,
		handler:   h,
		limit:     s.Pending,
		onDrop:    s.OnDrop,
		done:      make(chan struct{}),
	}
	if sub.limit == 0 {
		sub.limit = transport.DefaultPending
	}
	sub.arrived.L = &sub.mu
	return sub
}

// validate reports, as an InvalidArgument, what cannot be subscribed.
func validate(s transport.Subscription, h transport.Handler) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if h == nil {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "subscription to %q has no handler", s.Subject)
	}
	return nil
}

// push adds a copy of m, or drops it when too many wait. It reports false when
// the subscription has ended.
//
// The copy is made before the lock is taken: a large body must not hold up the
// other publishers.
func (s *subscription) push(m *transport.Message) bool {
	own := m.Clone()
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return false
	}
	if s.full() {
		s.drop()
	} else {
		s.waiting = append(s.waiting, own)
	}
	first := len(s.waiting) == 1
	s.mu.Unlock()
	if first {
		s.arrived.Signal()
	}
	return true
}

// full reports whether no more may wait. It looks at batchLeft, which the
// goroutine writes for each message, only when the bound of it does not decide.
func (s *subscription) full() bool {
	if s.dropping && s.unseen() == 0 {
		s.dropping = false
	}
	return len(s.waiting)+s.batch >= s.limit && s.unseen() >= s.limit
}

// unseen is how many messages wait for the handler.
func (s *subscription) unseen() int {
	return len(s.waiting) + int(max(s.batchLeft.Load(), 0))
}

// drop counts a message that is not kept, and tells OnDrop about the first of an
// episode. OnDrop gets a goroutine: this one is the publisher's, and that of the
// subscription is what is slow.
func (s *subscription) drop() {
	s.dropped++
	if s.dropping {
		return
	}
	s.dropping = true
	if s.onDrop != nil {
		go s.onDrop(s.dropped)
	}
}

// run calls the handler until the subscription has ended. A handler that ends its
// goroutine (runtime.Goexit, as a test's FailNow does) ends the subscription.
func (s *subscription) run() {
	defer close(s.done)
	defer s.transport.disown(s)
	defer s.Close()
	if s.transport.backend.watched {
		s.runSteps()
		return
	}
	var batch []*transport.Message
	for {
		batch = s.next(batch)
		if len(batch) == 0 {
			return
		}
		for i, m := range batch {
			if s.batchLeft.Add(-1) < 0 {
				return
			}
			batch[i] = nil
			s.handler(m)
		}
	}
}

// next waits for messages and takes all that are there, leaving the memory of
// the last batch for the next. It returns none when the subscription has ended.
func (s *subscription) next(last []*transport.Message) []*transport.Message {
	if cap(last) > maxIdleBatch {
		last = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch = 0
	for len(s.waiting) == 0 && !s.ended {
		s.arrived.Wait()
	}
	batch := s.waiting
	s.waiting, s.batch = last[:0], len(batch)
	s.batchLeft.Store(int64(len(batch)))
	return batch
}

// Drain implements [transport.Receiver]. Nil means that the handler has seen
// everything that had arrived: where a Close was faster, Drain returns Unavailable
// with the number of messages that were lost.
func (s *subscription) Drain(ctx context.Context) error {
	s.end()
	select {
	case <-s.done:
	case <-ctx.Done():
		lost := s.abandon()
		return transport.ContextError(ctx, transport.OutcomeNotDone,
			"drain of the subscription to %q: %w, %d messages were lost", s.pattern, ctx.Err(), lost)
	}
	if lost := s.abandon(); lost > 0 {
		return transport.Errorf(transport.Unavailable, transport.OutcomeNotDone,
			"drain of the subscription to %q: it was closed, %d messages were lost", s.pattern, lost)
	}
	return nil
}

// Close implements [transport.Receiver].
func (s *subscription) Close() {
	s.end()
	s.abandon()
}

// silence implements receiver.
func (s *subscription) silence() { s.end() }

// kill implements receiver: there is nothing to hand back.
func (s *subscription) kill() { s.Close() }

// end lets nothing more arrive. The router goes first, so that a publisher that
// is refused here finds another member of the group there.
func (s *subscription) end() {
	s.transport.backend.router.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.arrived.Signal()
}

// abandon drops what the handler has not seen, once end was called, and returns
// how many messages were dropped by this call or one before it.
func (s *subscription) abandon() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost += len(s.waiting) + int(max(s.batchLeft.Swap(0), 0))
	s.waiting = nil
	return s.lost
}
