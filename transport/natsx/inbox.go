package natsx

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// inbox holds the messages that wait for one handler. nats.go has a queue too,
// but can only throw it away with the subscription: it drains by polling, begins a
// new episode of drops with every message that finds room, and subscribes again
// what is being drained when the connection comes back, without ever ending it at
// the server, which goes on sending to nobody. With the messages here, the
// subscription can end at once, whatever a handler does.
type inbox struct {
	limit  int
	onDrop func(total uint64) // nil: nobody is told

	mu       sync.Mutex
	filled   sync.Cond // of mu: there is a message, or ended
	waiting  []*nats.Msg
	head     int    // waiting[:head] has been taken
	arrived  uint64 // by put
	dropped  uint64
	dropping bool // an episode of drops goes on
	ended    bool // nothing comes in any more
}

func newInbox(limit int, onDrop func(uint64)) *inbox {
	b := &inbox{limit: limit, onDrop: onDrop}
	b.filled.L = &b.mu
	return b
}

// put is called by nats.go for one message after another.
func (b *inbox) put(msg *nats.Msg) {
	if total, tell := b.add(msg); tell && b.onDrop != nil {
		b.onDrop(total)
	}
}

// add reports the number of all drops when the message begins an episode of them.
func (b *inbox) add(msg *nats.Msg) (dropped uint64, begins bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.arrived++
	if b.ended {
		return 0, false
	}
	if len(b.waiting)-b.head == b.limit {
		begins = !b.dropping
		b.dropping = true
		b.dropped++
		return b.dropped, begins
	}
	b.waiting = append(b.waiting, msg)
	b.filled.Signal()
	return 0, false
}

// seen returns how many messages nats.go has handed over.
func (b *inbox) seen() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.arrived
}

// take waits for a message. It reports false when no more will come.
func (b *inbox) take() (*nats.Msg, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.head == len(b.waiting) {
		if b.ended {
			return nil, false
		}
		b.filled.Wait()
	}
	msg := b.waiting[b.head]
	b.waiting[b.head] = nil
	b.head++
	b.reuse()
	return msg, true
}

// reuse makes room again: all of it when nothing waits, which ends an episode,
// and half when half has been taken, so that a queue that is never empty does not
// grow for ever. It gives back what a burst needed.
func (b *inbox) reuse() {
	switch left := len(b.waiting) - b.head; {
	case left == 0:
		b.dropping, b.head, b.waiting = false, 0, b.waiting[:0]
		if cap(b.waiting) > keepRoom {
			b.waiting = nil
		}
	case b.head > keepRoom && b.head > left:
		b.waiting, b.head = append([]*nats.Msg(nil), b.waiting[b.head:]...), 0
	}
}

// keepRoom is how many messages an empty queue has room for.
const keepRoom = 1024

// end lets the handler see what waits, and nothing more.
func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.filled.Broadcast()
}

// discard drops what waits and returns how many that were.
func (b *inbox) discard() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	lost := len(b.waiting) - b.head
	b.waiting, b.head, b.ended = nil, 0, true
	b.filled.Broadcast()
	return lost
}
