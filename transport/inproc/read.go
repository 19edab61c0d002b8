package inproc

import (
	"context"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// reading is a Read in progress.
type reading struct {
	*handle
	filter  []string
	follow  bool
	start   start
	next    uint64        // the first sequence not yet read
	end     uint64        // the last sequence, unless it follows
	arrived chan struct{} // signals that a message may have arrived
}

// readers holds the channels of the readings that follow a log.
type readers map[chan struct{}]struct{}

func (rs readers) wake() {
	for reader := range rs {
		select {
		case reader <- struct{}{}:
		default:
		}
	}
}

// readStride is the maximum number of messages that are examined while the log is locked.
const readStride = 256

// Read implements [driver.Log]. Remaining is 0.
func (h *handle) Read(ctx context.Context, c transport.ReadConfig, yield func(*transport.Delivery) bool) error {
	r := h.begin(c)
	defer r.finish()
	for r.more(ctx) {
		if _, err := h.transport.begin(ctx, engine.Read, nil, r); err != nil {
			return err
		}
		for _, d := range r.some() {
			if r.transport.ready(ctx) != nil {
				break
			}
			if d.open(); !yield(&d.Delivery) {
				return nil
			}
		}
	}
	return r.transport.ready(ctx)
}

func (h *handle) begin(c transport.ReadConfig) *reading {
	l := h.log
	l.lock()
	defer l.unlock()
	r := &reading{handle: h, filter: c.Filter, follow: c.Follow, start: l.resolve(c.Start), end: l.store.last}
	r.next = r.start.sequence
	if r.follow {
		r.arrived = make(chan struct{}, 1)
		l.readers[r.arrived] = struct{}{}
	}
	return r
}

func (r *reading) finish() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	delete(r.log.readers, r.arrived)
}

// more waits until there is something to read. It returns false at the end.
func (r *reading) more(ctx context.Context) bool {
	for {
		if r.transport.ready(ctx) != nil {
			return false
		}
		if !r.follow {
			return r.next <= r.end
		}
		if r.next <= r.last() {
			return true
		}
		select {
		case <-r.arrived:
		case <-ctx.Done():
		case <-r.transport.done:
		}
	}
}

func (r *reading) last() uint64 {
	r.log.lock()
	defer r.log.unlock()
	return r.log.store.last
}

// some returns the matching messages among the next ones.
func (r *reading) some() []*delivery {
	l := r.log
	l.lock()
	defer l.unlock()
	s := l.store
	end := r.end
	if r.follow {
		end = s.last
	}
	var found []*delivery
	for range readStride {
		n := s.from(r.next)
		if n > end {
			r.next = max(r.next, end+1)
			break
		}
		if r.wants(n) {
			found = append(found, l.read(n))
		}
		r.next = n + 1
	}
	return found
}

func (r *reading) wants(sequence uint64) bool {
	return r.start.includes(sequence) &&
		(len(r.filter) == 0 || transport.Contains(r.filter, r.log.store.subjectAt(sequence).name))
}
