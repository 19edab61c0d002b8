// Package keyorder releases the messages of a partition to handlers: one of each key at a time, and
// none before the earlier ones of its key are settled, also when the partition moves from one
// member to another.
//
// A partition is a consumer with the priority policy pinned_client (ADR-42). The server delivers
// to the pinned member only, but pinning is not exclusivity: when the pin moves, messages that
// the previous member holds are still pending, and come to the next one after newer messages. So
// a member with a new pin holds everything back until it knows the keys of such messages. Then it
// holds these keys back until the messages have come or were settled. Pulsar's PIP-379 solves the
// same problem for hashes.
//
// A [Partition] has the messages of this member, and a [Barrier] knows of the messages of earlier
// members. Neither does input or output, and neither has a clock.
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

// Partition has the messages of one partition at one member. It is not for concurrent use.
type Partition[D any] struct {
	pin     string
	barrier Barrier[D]

	begun    uint64 // the first delivery under this pin; 0: none
	received uint64 // the highest one
	first    uint64 // the lowest sequence with a first delivery under this pin; 0: none

	hand    map[uint64]*item[D] // unsettled messages, by sequence
	waiting map[uint64]*item[D] // the part of hand that waits for the next delivery
	keys    map[string]*key[D]
	ready   []*key[D] // keys whose first message may be handled, or was taken since
	done    recent    // settled messages
}

// item is a message in the hand of the member.
type item[D any] struct {
	Message[D]
	pin     string // under which it came
	taken   bool   // by Next
	waiting bool   // taken, and waits for its next delivery
	acked   bool   // its acknowledgement was sent
	sure    bool   // no other member can settle it
}

// key is a key with messages.
type key[D any] struct {
	name  string
	items []*item[D] // by sequence
	taken *item[D]   // is with the handler, or waits for its next delivery
	ready bool       // in Partition.ready
}

// New returns a partition whose member is not pinned.
func New[D any]() *Partition[D] {
	p := &Partition[D]{
		hand: make(map[uint64]*item[D]), waiting: make(map[uint64]*item[D]),
		keys: make(map[string]*key[D]),
	}
	p.barrier.p = p
	return p
}

// Barrier returns the barrier of the partition.
func (p *Partition[D]) Barrier() *Barrier[D] { return &p.barrier }

// Pin returns the id under which the member is pinned, or "".
func (p *Partition[D]) Pin() string { return p.pin }

// Pinned begins with a new pin id, also if the member had the pin before. It is also called with
// the same pin id if deliveries were lost: see [Partition.Lost]. The partition forgets all messages
// that are not with the handler, and returns them.
func (p *Partition[D]) Pinned(pin string) (forgotten []D) {
	forgotten = p.Unpinned()
	p.pin, p.barrier.state = pin, held
	return forgotten
}

// Unpinned ends the pin. The partition forgets all messages that are not with the handler, and
// returns them, the oldest first.
func (p *Partition[D]) Unpinned() (forgotten []D) {
	p.barrier.end()
	for _, it := range p.hand {
		it.sure = p.isOwn(it)
	}
	p.pin, p.begun, p.received, p.first, p.ready = "", 0, 0, 0, nil
	var all []*item[D]
	for name, k := range p.keys {
		all = append(all, k.items...)
		k.items, k.ready = nil, false
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
		delete(p.waiting, it.Sequence)
		forgotten = append(forgotten, it.Value)
	}
	return forgotten
}

// Arrival is the result of Arrive.
type Arrival uint8

const (
	Accepted Arrival = iota // the message waits for Next
	Again                   // the member has the message: Get returns its Value
	Settled                 // the message was settled here: acknowledge it again
)

// Lost reports whether deliveries under the current pin are missing before the given one. Their
// messages may be older than messages that have the same keys and come later.
func (p *Partition[D]) Lost(delivery uint64) bool { return p.begun > 0 && delivery > p.received+1 }

// Received returns the number of the last delivery that has come under the pin.
func (p *Partition[D]) Received() uint64 { return p.received }

// Arrive takes in a delivery under the current pin.
func (p *Partition[D]) Arrive(m Message[D]) Arrival {
	if p.begun == 0 {
		p.begun = m.Delivery
	}
	p.received = max(p.received, m.Delivery)
	if m.First && (p.first == 0 || m.Sequence < p.first) {
		p.first = m.Sequence
	}
	if p.done.has(m.Sequence) {
		return Settled
	}
	if it := p.hand[m.Sequence]; it != nil {
		m.First = m.First || it.First && it.pin == p.pin
		if !it.waiting {
			m.Value = it.Value
		}
		it.Message, it.pin = m, p.pin
		if it.waiting {
			p.wake(it)
			return Accepted
		}
		return Again
	}
	it := &item[D]{Message: m, pin: p.pin}
	p.hand[m.Sequence] = it
	k := p.keys[m.Key]
	if k == nil {
		k = &key[D]{name: m.Key}
		p.keys[m.Key] = k
	}
	k.insert(it)
	p.barrier.arrived(m.Sequence)
	p.offer(k)
	return Accepted
}

// wake puts a message that waited for its next delivery before the others of its key.
func (p *Partition[D]) wake(it *item[D]) {
	k := p.keys[it.Key]
	k.taken, it.taken, it.waiting, it.acked, it.sure = nil, false, false, false, false
	delete(p.waiting, it.Sequence)
	k.insert(it)
	p.offer(k)
}

// Get returns the Value of a message that the member has.
func (p *Partition[D]) Get(sequence uint64) (value D, ok bool) {
	if it := p.hand[sequence]; it != nil {
		return it.Value, true
	}
	return value, false
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
	p.barrier.settled(sequence)
	p.done.add(sequence)
	p.remove(it)
}

// Wait notes that a message that was handled waits for its next delivery. Its key waits too.
func (p *Partition[D]) Wait(sequence uint64) {
	it := p.hand[sequence]
	if it == nil {
		return
	}
	it.waiting, p.waiting[sequence] = true, it
	if p.pin == "" { // it comes to another member
		p.remove(it)
	}
}

// Waits reports whether messages wait for their next delivery.
func (p *Partition[D]) Waits() bool { return len(p.waiting) > 0 }

// Missing returns the messages that wait for their next delivery, if a Snapshot has fewer pending
// messages than the member has: some were removed, or settled by an earlier owner.
func (p *Partition[D]) Missing(s Snapshot) []uint64 {
	n := 0
	for _, it := range p.hand {
		if !it.acked && it.Delivery <= s.DeliveredConsumer {
			n++
		}
	}
	if p.barrier.state != open || s.Pin != p.pin || s.Pending >= n {
		return nil
	}
	return slices.Collect(maps.Keys(p.waiting))
}

// Remove forgets a waiting message that will not be delivered again. Its key goes on.
func (p *Partition[D]) Remove(sequence uint64) {
	if it := p.hand[sequence]; it != nil && it.waiting {
		p.remove(it)
	}
}

// Sure notes that its earlier owner has handed back a message that has come again.
func (p *Partition[D]) Sure(sequence uint64) {
	if it := p.hand[sequence]; it != nil {
		it.sure = true
	}
}

// Doubt notes that the server may have delivered the messages in hand to another member.
func (p *Partition[D]) Doubt() {
	p.barrier.doubt()
	for _, it := range p.hand {
		it.sure, it.First = false, false
	}
}

// isOwn reports whether only this member can settle a message. After a redelivery the earlier owner
// may settle it too, unless it has handed the message back.
func (p *Partition[D]) isOwn(it *item[D]) bool { return it.sure || it.First && it.pin == p.pin }

// Ready returns the number of keys that may be handled now. It may be too high.
func (p *Partition[D]) Ready() int { return len(p.ready) }

// Full reports whether the member has as many messages as it may hold, none of which may be
// handled before another one is settled, and returns the key with the most of them.
func (p *Partition[D]) Full(limit int) (key string, full bool) {
	if len(p.hand) < limit || len(p.ready) > 0 || p.barrier.state == held || p.barrier.state == reading {
		return "", false
	}
	most := -1
	for name, k := range p.keys {
		if n := len(k.items); n > most || n == most && name < key {
			key, most = name, n
		}
	}
	return key, true
}

// prune forgets waiting messages that the server does not deliver again: they were removed from the
// stream.
func (p *Partition[D]) prune(floor uint64) {
	for sequence, it := range p.waiting {
		if sequence <= floor {
			p.remove(it)
		}
	}
}

func (p *Partition[D]) remove(it *item[D]) {
	delete(p.hand, it.Sequence)
	delete(p.waiting, it.Sequence)
	k := p.keys[it.Key]
	if k.taken == it {
		k.taken = nil
	} else {
		k.items = slices.DeleteFunc(k.items, func(other *item[D]) bool { return other == it })
	}
	if p.offer(k); k.taken == nil && len(k.items) == 0 {
		delete(p.keys, k.name)
	}
}

// offer adds a key to the ready ones if its first message may be handled.
func (p *Partition[D]) offer(k *key[D]) {
	if p.mayRun(k) && !k.ready {
		k.ready = true
		p.ready = append(p.ready, k)
	}
}

func (p *Partition[D]) offerAll() {
	all := slices.SortedFunc(maps.Values(p.keys), func(a, b *key[D]) int { return cmp.Compare(a.first(), b.first()) })
	for _, k := range all {
		p.offer(k)
	}
}

func (p *Partition[D]) mayRun(k *key[D]) bool {
	return k.taken == nil && len(k.items) > 0 && p.barrier.passes(k.name, k.items[0].Sequence)
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
