// Package keyorder decides which messages of a partition may be handled: one of each key at a
// time, and none before the earlier ones of its key are settled, also when the partition moves
// from one member to another.
//
// A partition is a consumer with the priority policy pinned_client (ADR-42). The server delivers
// to the pinned member only, but pinning is not exclusivity: when the pin moves, messages that
// the previous member holds are still pending, and come to the next one after newer messages. So
// a member that is pinned anew holds everything back until it knows which keys have such
// messages, and those keys until the messages have come or were settled. Pulsar's PIP-379 solves
// the same problem for hashes.
//
// A Partition does no input and output, and has no clock.
package keyorder

import (
	"cmp"
	"maps"
	"slices"
)

// Message is a delivery of a message.
type Message[D any] struct {
	Sequence uint64 // in the stream
	Delivery uint64 // in the consumer
	First    bool   // it was never delivered before
	Key      string
	Value    D
}

// Snapshot is the state of a consumer, according to its leader.
type Snapshot struct {
	Pin               string
	Delivered         uint64 // the last sequence of the stream that was delivered
	DeliveredConsumer uint64 // the number of deliveries
	Floor             uint64 // all sequences of the stream up to it are settled
	Pending           int    // messages that were delivered and are not settled
}

// Range is a range of sequences of a stream, without its ends.
type Range struct{ After, Before uint64 }

// maxRange is the length of the longest range that a member reads. It holds back the whole
// partition if more may be pending.
const maxRange = 10_000

// Partition has the deliveries of one partition at one member. It is not for concurrent use.
type Partition[D any] struct {
	pin   string
	state state

	received uint64 // the highest delivery under this pin
	first    uint64 // the lowest sequence with a first delivery under this pin; 0: none

	hand map[uint64]*item[D] // messages that are not settled, by sequence
	keys map[string]*key[D]
	done map[uint64]struct{} // settled messages that may be delivered again

	// The barrier: messages below start that were delivered before this pin, and that have
	// neither come nor been settled.
	start      uint64
	remaining  int               // at most so many
	unresolved map[uint64]string // their sequences and keys
	ready      []*key[D]         // keys whose first message may be handled, or was taken since
}

// state is the state of the barrier.
type state uint8

const (
	unpinned state = iota // nothing may be handled
	held                  // nothing may be handled before the first Snapshot
	reading               // nothing may be handled before the keys of a range are known
	closed                // keys with an unresolved message wait
	whole                 // the partition waits for all unresolved messages
	open
)

// item is a message in the hand of the member.
type item[D any] struct {
	Message[D]
	pin     string // under which it came
	taken   bool   // by Next
	waiting bool   // taken, and waits for its next delivery
	acked   bool   // its acknowledgement was sent
}

// key is a key with messages.
type key[D any] struct {
	name       string
	items      []*item[D] // by sequence
	taken      *item[D]   // is with the handler, or waits for its next delivery
	unresolved []uint64   // sorted
	ready      bool       // in Partition.ready
}

// New returns a partition whose member is not pinned.
func New[D any]() *Partition[D] {
	return &Partition[D]{hand: make(map[uint64]*item[D]), keys: make(map[string]*key[D]), done: make(map[uint64]struct{})}
}

// Pin returns the id under which the member is pinned, or "".
func (p *Partition[D]) Pin() string { return p.pin }

// Pinned begins with a new pin id, also if the member had the pin before. The partition forgets
// all messages that are not with the handler, and returns them.
func (p *Partition[D]) Pinned(pin string) (forgotten []D) {
	forgotten = p.Unpinned()
	p.pin, p.state = pin, held
	return forgotten
}

// Unpinned ends the pin. The partition forgets all messages that are not with the handler, and
// returns them, the oldest first.
func (p *Partition[D]) Unpinned() (forgotten []D) {
	p.pin, p.state, p.received, p.first = "", unpinned, 0, 0
	p.start, p.remaining, p.unresolved, p.ready = 0, 0, nil, nil
	var all []*item[D]
	for name, k := range p.keys {
		all = append(all, k.items...)
		k.items, k.unresolved, k.ready = nil, nil, false
		if t := k.taken; t == nil || t.waiting {
			if t != nil {
				all = append(all, t)
			}
			delete(p.keys, name)
		}
	}
	slices.SortFunc(all, func(a, b *item[D]) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, it := range all {
		delete(p.hand, it.Sequence)
		forgotten = append(forgotten, it.Value)
	}
	return forgotten
}

// Arrival is the result of Arrive.
type Arrival uint8

const (
	Accepted Arrival = iota // the message waits for Next
	Again                   // the member has the message: this delivery replaces the earlier one
	Settled                 // the message was settled here: acknowledge it again
)

// Arrive takes in a delivery under the current pin.
func (p *Partition[D]) Arrive(m Message[D]) Arrival {
	p.received = max(p.received, m.Delivery)
	if m.First && (p.first == 0 || m.Sequence < p.first) {
		p.first = m.Sequence
	}
	if _, ok := p.done[m.Sequence]; ok {
		return Settled
	}
	if it := p.hand[m.Sequence]; it != nil {
		m.First = m.First || it.First && it.pin == p.pin
		it.Message, it.pin = m, p.pin
		if it.waiting {
			p.wake(it)
			return Accepted
		}
		return Again
	}
	it := &item[D]{Message: m, pin: p.pin}
	p.hand[m.Sequence] = it
	k := p.key(m.Key)
	k.insert(it)
	p.resolve(m.Sequence)
	p.offer(k)
	return Accepted
}

// wake puts a message that waited for its next delivery before the others of its key.
func (p *Partition[D]) wake(it *item[D]) {
	k := p.keys[it.Key]
	k.taken, it.taken, it.waiting = nil, false, false
	k.insert(it)
	p.offer(k)
}

// Learn takes in the state of the consumer, which was asked for after the last change of pin.
// It reports whether the state could be used. If it was the first one, the keys of a range may be
// needed: see [Partition.Resolve].
func (p *Partition[D]) Learn(s Snapshot) (used bool, read Range) {
	if p.state == unpinned || s.Pin != p.pin || s.DeliveredConsumer > p.received && p.state == held {
		return false, Range{}
	}
	p.prune(s.Floor)
	switch p.state {
	case held:
		if p.start = p.first; p.start == 0 {
			p.start = s.Delivered + 1
		}
		p.remaining = s.Pending - p.own(s)
		switch {
		case p.remaining <= 0 || s.Floor+1 >= p.start:
			p.release()
		case p.start-s.Floor > maxRange:
			p.state = whole
		default:
			p.state = reading
			return true, Range{s.Floor, p.start}
		}
	case closed, whole:
		if s.Floor+1 >= p.start || s.Pending-p.own(s) <= 0 {
			p.release()
			break
		}
		for sequence := range p.unresolved {
			if sequence <= s.Floor {
				p.drop(sequence)
			}
		}
	}
	return true, Range{}
}

// own returns the number of messages in hand that a snapshot counts as pending for sure. An
// earlier owner may have settled a message that was delivered again.
func (p *Partition[D]) own(s Snapshot) (n int) {
	for _, it := range p.hand {
		if it.First && it.pin == p.pin && !it.acked && it.Delivery <= s.DeliveredConsumer {
			n++
		}
	}
	return n
}

// prune forgets messages that the server does not deliver again: settled ones, and waiting ones
// that were removed from the stream.
func (p *Partition[D]) prune(floor uint64) {
	for sequence := range p.done {
		if sequence <= floor {
			delete(p.done, sequence)
		}
	}
	for sequence, it := range p.hand {
		if it.waiting && sequence <= floor {
			p.remove(it)
		}
	}
}

// Resolve takes in the keys of the messages in a range, by sequence.
func (p *Partition[D]) Resolve(keys map[uint64]string) {
	if p.state != reading {
		return
	}
	p.unresolved = make(map[uint64]string)
	for _, sequence := range slices.Sorted(maps.Keys(keys)) {
		if p.hand[sequence] != nil {
			continue // it has come, or is with the handler
		}
		if _, ok := p.done[sequence]; ok {
			continue
		}
		name := keys[sequence]
		p.unresolved[sequence] = name
		k := p.key(name)
		k.unresolved = append(k.unresolved, sequence)
	}
	p.state = closed
	if len(p.unresolved) == 0 || p.remaining <= 0 {
		p.release()
		return
	}
	p.offerAll()
}

// resolve notes that a message of an earlier pin has come.
func (p *Partition[D]) resolve(sequence uint64) {
	if p.start == 0 || sequence >= p.start || p.state == open {
		return
	}
	p.remaining--
	if p.remaining <= 0 && p.state != reading {
		p.release()
		return
	}
	p.drop(sequence)
}

// drop removes an unresolved sequence.
func (p *Partition[D]) drop(sequence uint64) {
	name, ok := p.unresolved[sequence]
	if !ok {
		return
	}
	delete(p.unresolved, sequence)
	k := p.keys[name]
	k.unresolved = slices.DeleteFunc(k.unresolved, func(s uint64) bool { return s == sequence })
	p.offer(k)
	p.forget(k)
}

// release opens the barrier.
func (p *Partition[D]) release() {
	p.state, p.unresolved = open, nil
	for _, k := range p.keys {
		k.unresolved = nil
	}
	p.offerAll()
}

func (p *Partition[D]) offerAll() {
	all := slices.SortedFunc(maps.Values(p.keys), func(a, b *key[D]) int { return cmp.Compare(a.first(), b.first()) })
	for _, k := range all {
		p.offer(k)
		p.forget(k)
	}
}

// offer adds a key to the ready ones if its first message may be handled.
func (p *Partition[D]) offer(k *key[D]) {
	if p.mayRun(k) && !k.ready {
		k.ready = true
		p.ready = append(p.ready, k)
	}
}

func (p *Partition[D]) mayRun(k *key[D]) bool {
	return (p.state == open || p.state == closed) && k.taken == nil && len(k.items) > 0 &&
		(len(k.unresolved) == 0 || k.unresolved[0] > k.items[0].Sequence)
}

// Next takes the first message of a key that may be handled.
func (p *Partition[D]) Next() (value D, ok bool) {
	for len(p.ready) > 0 {
		k := p.ready[0]
		p.ready[0] = nil
		p.ready = p.ready[1:]
		k.ready = false
		if !p.mayRun(k) {
			continue // an older message has come, or is expected
		}
		it := k.items[0]
		k.items = slices.Delete(k.items, 0, 1)
		k.taken, it.taken = it, true
		return it.Value, true
	}
	return value, false
}

// Return puts a message back that Next has returned, and that was not handled.
func (p *Partition[D]) Return(sequence uint64) {
	if it := p.hand[sequence]; it != nil && it.taken {
		p.wake(it)
	}
}

// Wait notes that a message that was handled waits for its next delivery. Its key waits too.
func (p *Partition[D]) Wait(sequence uint64) {
	it := p.hand[sequence]
	if it == nil {
		return
	}
	if it.waiting = true; p.state == unpinned { // it comes to another member
		p.remove(it)
	}
}

// Acknowledge notes that the acknowledgement of a message was sent.
func (p *Partition[D]) Acknowledge(sequence uint64) {
	if it := p.hand[sequence]; it != nil {
		it.acked = true
	}
}

// Settle notes that a message is settled: the server has confirmed it. Its key goes on.
func (p *Partition[D]) Settle(sequence uint64) {
	it := p.hand[sequence]
	if it == nil {
		return
	}
	p.done[sequence] = struct{}{}
	p.remove(it)
}

func (p *Partition[D]) remove(it *item[D]) {
	delete(p.hand, it.Sequence)
	k := p.keys[it.Key]
	if k.taken == it {
		k.taken = nil
	} else {
		k.items = slices.DeleteFunc(k.items, func(other *item[D]) bool { return other == it })
	}
	p.offer(k)
	p.forget(k)
}

// Has reports whether the member has a message, which it keeps alive.
func (p *Partition[D]) Has(sequence uint64) bool { return p.hand[sequence] != nil }

// Held returns the number of messages that wait for others.
func (p *Partition[D]) Held() (n int) {
	for _, k := range p.keys {
		n += len(k.items)
	}
	return n
}

// key returns a key, which is added if it has no messages yet.
func (p *Partition[D]) key(name string) *key[D] {
	k := p.keys[name]
	if k == nil {
		k = &key[D]{name: name}
		p.keys[name] = k
	}
	return k
}

// forget removes a key without messages.
func (p *Partition[D]) forget(k *key[D]) {
	if k.taken == nil && len(k.items) == 0 && len(k.unresolved) == 0 && !k.ready {
		delete(p.keys, k.name)
	}
}

// insert adds a message by its sequence. Most are newer than all others.
func (k *key[D]) insert(it *item[D]) {
	i := len(k.items)
	for i > 0 && k.items[i-1].Sequence > it.Sequence {
		i--
	}
	k.items = slices.Insert(k.items, i, it)
}

// first returns the sequence of the first message, or 0.
func (k *key[D]) first() uint64 {
	if len(k.items) == 0 {
		return 0
	}
	return k.items[0].Sequence
}
