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
	FloorConsumer     uint64 // the number of the delivery of the floor
	Pending           int    // messages that were delivered and are not settled

	// Late reports that the consumer's AckWait has passed since the first state under this pin.
	Late bool
}

// Range is a range of sequences of a stream, without its ends.
type Range struct {
	After, Before uint64
	turn          int // of the partition
}

// Handover is the state of a partition at the member that had the pin: of all messages up to a
// delivery, those that are not settled. With it the next member knows the keys that wait.
type Handover struct {
	Delivery  uint64
	Unsettled map[uint64]string // sequences and keys
}

// maxRange is the length of the longest range that a member reads. It holds back the whole
// partition if more may be pending.
const maxRange = 10_000

// Partition has the deliveries of one partition at one member. It is not for concurrent use.
type Partition[D any] struct {
	pin   string
	state state
	turn  int // counts calls of Pinned and Unpinned

	begun    uint64 // the first delivery under this pin; 0: none
	received uint64 // the highest one
	first    uint64 // the lowest sequence with a first delivery under this pin; 0: none

	hand    map[uint64]*item[D] // messages that are not settled, by sequence
	waiting map[uint64]*item[D] // those of them that wait for their next delivery
	keys    map[string]*key[D]
	done    map[uint64]struct{} // settled messages that may be delivered again

	// The barrier: messages below start that were delivered before this pin, and that have
	// neither come nor been settled.
	start      uint64
	remaining  int               // at most so many
	unresolved map[uint64]string // their sequences and keys
	ready      []*key[D]         // keys whose first message may be handled, or was taken since
	exact      bool              // the unresolved messages are those of a Handover

	handover *Handover // the latest one; nil: none
	doubtful bool      // the server may have delivered what is in hand to others
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
	sure    bool   // no other member can settle it
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
	return &Partition[D]{
		hand: make(map[uint64]*item[D]), waiting: make(map[uint64]*item[D]),
		keys: make(map[string]*key[D]), done: make(map[uint64]struct{}),
	}
}

// Pin returns the id under which the member is pinned, or "".
func (p *Partition[D]) Pin() string { return p.pin }

// Pinned begins with a new pin id, also if the member had the pin before. It is also called with
// the same pin id if deliveries were lost: see [Partition.Lost]. The partition forgets all messages
// that are not with the handler, and returns them.
func (p *Partition[D]) Pinned(pin string) (forgotten []D) {
	forgotten = p.Unpinned()
	p.pin, p.state = pin, held
	return forgotten
}

// Unpinned ends the pin. The partition forgets all messages that are not with the handler, and
// returns them, the oldest first.
func (p *Partition[D]) Unpinned() (forgotten []D) {
	if (p.state == open || p.state == closed) && !p.doubtful {
		p.handover = &Handover{p.received, maps.Clone(p.unresolved)}
		if p.handover.Unsettled == nil {
			p.handover.Unsettled = make(map[uint64]string)
		}
		for sequence, it := range p.hand {
			p.handover.Unsettled[sequence] = it.Key
		}
	}
	for _, it := range p.hand {
		it.sure = p.isOwn(it)
	}
	p.exact, p.doubtful = false, false
	p.pin, p.state, p.begun, p.received, p.first = "", unpinned, 0, 0, 0
	p.turn++
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
// messages may be older than those of their keys that come after them.
func (p *Partition[D]) Lost(delivery uint64) bool { return p.begun > 0 && delivery > p.received+1 }

// Arrive takes in a delivery under the current pin.
func (p *Partition[D]) Arrive(m Message[D]) Arrival {
	if p.begun == 0 {
		p.begun = m.Delivery
	}
	p.received = max(p.received, m.Delivery)
	if m.First && (p.first == 0 || m.Sequence < p.first) {
		p.first = m.Sequence
	}
	if _, ok := p.done[m.Sequence]; ok {
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
	k := p.key(m.Key)
	k.insert(it)
	p.resolve(m.Sequence)
	if p.state == held && p.begun == 1 { // nobody has got a message before
		p.release()
	}
	p.offer(k)
	p.follow()
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

// Learn takes in the state of the consumer, and reports whether it could be used. If it was the
// first one of the pin, the keys of a range may be needed: see [Partition.Resolve]. The partition
// forgets messages that came before it and that others may have settled meanwhile, and returns
// them: to be handed back.
func (p *Partition[D]) Learn(s Snapshot) (used bool, read Range, forgotten []D) {
	if p.state == unpinned || s.Pin != p.pin || s.DeliveredConsumer < p.begun || s.DeliveredConsumer > p.received && p.state == held {
		return false, Range{}, nil
	}
	p.prune(s.Floor)
	switch p.state {
	case held:
		if p.start = p.first; p.start == 0 {
			p.start = s.Delivered + 1
		}
		p.remaining = s.Pending - p.own(s) - p.later(s)
		switch {
		case p.remaining <= 0 || s.Floor+1 >= p.start:
			p.release()
			return true, Range{}, nil
		case s.DeliveredConsumer-s.FloorConsumer > maxRange:
			p.state = whole
		default:
			p.state = reading
			read = Range{s.Floor, p.start, p.turn}
		}
		return true, read, p.forgetUnsure(s)
	case closed, whole:
		if s.Floor+1 >= p.start && !p.exact || s.Pending-p.own(s) <= 0 {
			p.release()
			break
		}
		for sequence := range p.unresolved {
			if sequence <= s.Floor {
				p.drop(sequence)
			}
		}
	}
	return true, Range{}, nil
}

// forgetUnsure forgets the messages in hand of which a state does not say whether they are
// pending. When they come again, they were.
func (p *Partition[D]) forgetUnsure(s Snapshot) (forgotten []D) {
	for _, sequence := range slices.Sorted(maps.Keys(p.hand)) {
		it := p.hand[sequence]
		if it.taken || p.isOwn(it) || it.Delivery > s.DeliveredConsumer {
			continue
		}
		forgotten = append(forgotten, it.Value)
		p.remove(it)
	}
	return forgotten
}

// Learns reports whether the partition needs the state of the consumer to go on.
func (p *Partition[D]) Learns() bool {
	return p.state == held || p.state == closed || p.state == whole
}

// Waits reports whether messages wait for their next delivery.
func (p *Partition[D]) Waits() bool { return len(p.waiting) > 0 }

// Waiting returns the messages that wait for their next delivery.
func (p *Partition[D]) Waiting() []uint64 { return slices.Collect(maps.Keys(p.waiting)) }

// Lacks reports whether messages in hand are settled according to a Snapshot: they were removed
// from the stream, or an earlier owner has settled them.
func (p *Partition[D]) Lacks(s Snapshot) bool {
	n := 0
	for _, it := range p.hand {
		if !it.acked && it.Delivery <= s.DeliveredConsumer {
			n++
		}
	}
	return p.state == open && s.Pin == p.pin && s.Pending < n
}

// Remove forgets a waiting message that will not be delivered again. Its key goes on.
func (p *Partition[D]) Remove(sequence uint64) {
	if it := p.hand[sequence]; it != nil && it.waiting {
		p.remove(it)
	}
}

// own returns the number of messages in hand that a snapshot counts as pending for sure. After the
// AckWait others have settled theirs.
func (p *Partition[D]) own(s Snapshot) (n int) {
	for _, it := range p.hand {
		if (p.isOwn(it) || s.Late) && !it.acked && it.Delivery <= s.DeliveredConsumer {
			n++
		}
	}
	return n
}

// isOwn reports whether no other member can settle a message. An earlier owner may settle one that
// was delivered again, unless it has handed the message back.
func (p *Partition[D]) isOwn(it *item[D]) bool { return it.sure || it.First && it.pin == p.pin }

// later returns the number of messages of earlier pins that have come since a snapshot, which thus
// counts them as pending.
func (p *Partition[D]) later(s Snapshot) (n int) {
	for sequence, it := range p.hand {
		if it.pin == p.pin && it.Delivery > s.DeliveredConsumer && sequence < p.start && !p.isOwn(it) {
			n++
		}
	}
	return n
}

// Sure notes that its earlier owner has handed back a message that has come again.
func (p *Partition[D]) Sure(sequence uint64) {
	if it := p.hand[sequence]; it != nil {
		it.sure = true
	}
}

// Doubt notes that the messages in hand may have been delivered to other members.
func (p *Partition[D]) Doubt() {
	p.doubtful, p.handover = true, nil
	for _, it := range p.hand {
		it.sure, it.First = false, false
	}
}

// Handover returns the state in which the member has given up the pin, or nil if it is not exact.
// The partition has to be given up.
func (p *Partition[D]) Handover() *Handover { return p.handover }

// Stray takes in a delivery under a pin that was given up, which the member hands back. It reports
// whether the Handover has changed.
func (p *Partition[D]) Stray(m Message[D]) (changed bool) {
	h := p.handover
	if h == nil || m.Delivery != h.Delivery+1 {
		return false
	}
	h.Delivery++
	h.Unsettled[m.Sequence] = m.Key
	return true
}

// Take takes in the Handover of another member.
func (p *Partition[D]) Take(h *Handover) {
	if p.handover == nil || p.handover.Delivery <= h.Delivery {
		p.handover = h
		p.follow()
	}
}

// Gone notes that another member has settled a message of its Handover.
func (p *Partition[D]) Gone(sequence uint64) {
	if p.handover != nil {
		delete(p.handover.Unsettled, sequence)
	}
	p.drop(sequence)
}

// follow replaces what is known of messages of earlier pins by the state that was handed over, if
// the first delivery under this pin is the next one.
func (p *Partition[D]) follow() {
	h := p.handover
	if h == nil || p.exact || p.state == unpinned || p.state == open || p.begun != h.Delivery+1 {
		return
	}
	for _, k := range p.keys {
		k.unresolved = nil
	}
	p.handover, p.exact, p.state, p.unresolved = nil, true, closed, make(map[uint64]string)
	p.await(h.Unsettled)
	if len(p.unresolved) == 0 {
		p.release()
		return
	}
	p.offerAll()
}

// await adds unresolved messages, except those that have come.
func (p *Partition[D]) await(keys map[uint64]string) {
	for _, sequence := range slices.Sorted(maps.Keys(keys)) {
		if p.hand[sequence] != nil {
			continue // it has come, or is with the handler
		}
		if _, ok := p.done[sequence]; ok {
			continue
		}
		p.unresolved[sequence] = keys[sequence]
		k := p.key(keys[sequence])
		k.unresolved = append(k.unresolved, sequence)
	}
}

// prune forgets messages that the server does not deliver again: settled ones, and waiting ones
// that were removed from the stream.
func (p *Partition[D]) prune(floor uint64) {
	for sequence := range p.done {
		if sequence <= floor {
			delete(p.done, sequence)
		}
	}
	for sequence, it := range p.waiting {
		if sequence <= floor {
			p.remove(it)
		}
	}
}

// Resolve takes in the keys of the messages in a range of Learn, by sequence.
func (p *Partition[D]) Resolve(of Range, keys map[uint64]string) {
	if p.state != reading || of.turn != p.turn {
		return
	}
	p.unresolved = make(map[uint64]string)
	p.await(keys)
	p.state = closed
	if len(p.unresolved) == 0 || p.remaining <= 0 {
		p.release()
		return
	}
	p.offerAll()
}

// resolve notes that a message of an earlier pin has come.
func (p *Partition[D]) resolve(sequence uint64) {
	if p.exact {
		p.drop(sequence)
		return
	}
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
	if p.exact && len(p.unresolved) == 0 {
		p.release()
	}
}

// release opens the barrier.
func (p *Partition[D]) release() {
	p.state, p.unresolved, p.exact = open, nil, false
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
	it.waiting, p.waiting[sequence] = true, it
	if p.state == unpinned { // it comes to another member
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
	if p.handover != nil {
		delete(p.handover.Unsettled, sequence)
	}
	p.done[sequence] = struct{}{}
	p.remove(it)
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
	p.offer(k)
	p.forget(k)
}

// Received returns the number of the last delivery that has come under the pin.
func (p *Partition[D]) Received() uint64 { return p.received }

// Get returns the Value of a message that the member has.
func (p *Partition[D]) Get(sequence uint64) (value D, ok bool) {
	if it := p.hand[sequence]; it != nil {
		return it.Value, true
	}
	return value, false
}

// Has reports whether the member has a message, which it keeps alive.
func (p *Partition[D]) Has(sequence uint64) bool { return p.hand[sequence] != nil }

// Ready returns the number of keys that may be handled now. It may be too high.
func (p *Partition[D]) Ready() int { return len(p.ready) }

// Full reports whether the member has as many messages as it may hold, none of which may be
// handled before another one is settled, and returns the key with the most of them.
func (p *Partition[D]) Full(limit int) (key string, full bool) {
	if len(p.hand) < limit || len(p.ready) > 0 || p.state == held || p.state == reading {
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
