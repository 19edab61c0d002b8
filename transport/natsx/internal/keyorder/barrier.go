package keyorder

import (
	"maps"
	"slices"
)

// Barrier holds messages back while earlier ones of their keys are at another member, or will be
// delivered again. It shares the state of its [Partition], and is not for concurrent use.
type Barrier[D any] struct {
	p     *Partition[D]
	state state
	turn  int // counts pins and their ends

	// The awaited messages were delivered before this pin, are below start, and have neither come
	// nor been settled.
	start     uint64
	remaining int                 // at most so many
	awaited   map[uint64]string   // their sequences and keys, if they are known
	byKey     map[string][]uint64 // the same by key, sorted
	exact     bool                // they come from a Handover

	handover *Handover // the latest one; nil: none
	doubtful bool      // the server may have delivered the messages in hand to another member
}

type state uint8

const (
	unpinned state = iota // nothing may be handled
	held                  // nothing may be handled before the first Snapshot
	reading               // nothing may be handled before the keys of a range are known
	closed                // keys with an awaited message wait
	whole                 // the partition waits for all awaited messages
	open
)

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
	turn          int // of the barrier
}

// maxRange is the length of the longest range that a member reads. It holds back the whole
// partition if more may be pending.
const maxRange = 10_000

// passes reports whether a message need not wait for others.
func (b *Barrier[D]) passes(key string, sequence uint64) bool {
	if b.state == closed {
		awaited := b.byKey[key]
		return len(awaited) == 0 || awaited[0] > sequence
	}
	return b.state == open
}

// NeedsState reports whether the barrier needs the state of the consumer to open.
func (b *Barrier[D]) NeedsState() bool {
	return b.state == held || b.state == closed || b.state == whole
}

// Learn takes in the state of the consumer, and reports whether it could be used. The first state of
// a pin may need the keys of a range: see [Barrier.Resolve]. The partition then forgets messages that
// an earlier owner may have settled, and Learn returns them, to be handed back.
func (b *Barrier[D]) Learn(s Snapshot) (used bool, read Range, forgotten []D) {
	p := b.p
	if b.state == unpinned || s.Pin != p.pin || s.DeliveredConsumer < p.begun || s.DeliveredConsumer > p.received && b.state == held {
		return false, Range{}, nil
	}
	p.prune(s.Floor)
	switch b.state {
	case held:
		if b.start = p.first; b.start == 0 {
			b.start = s.Delivered + 1
		}
		b.remaining = s.Pending - b.own(s) - b.later(s)
		switch {
		case b.remaining <= 0 || s.Floor+1 >= b.start:
			b.open()
			return true, Range{}, nil
		case s.DeliveredConsumer-s.FloorConsumer > maxRange:
			b.state = whole
		default:
			b.state = reading
			read = Range{s.Floor, b.start, b.turn}
		}
		return true, read, b.forgetUnsure(s)
	case closed, whole:
		if s.Floor+1 >= b.start && !b.exact || s.Pending-b.own(s) <= 0 {
			b.open()
			break
		}
		for sequence := range b.awaited {
			if sequence <= s.Floor {
				b.drop(sequence)
			}
		}
	}
	return true, Range{}, nil
}

// own returns the number of messages in hand that are surely pending in a Snapshot. After the
// AckWait no earlier owner has them.
func (b *Barrier[D]) own(s Snapshot) (n int) {
	for _, it := range b.p.hand {
		if (b.p.isOwn(it) || s.Late) && !it.acked && it.Delivery <= s.DeliveredConsumer {
			n++
		}
	}
	return n
}

// later returns the number of messages of earlier pins that have come since a snapshot, which thus
// counts them as pending.
func (b *Barrier[D]) later(s Snapshot) (n int) {
	for sequence, it := range b.p.hand {
		if it.pin == b.p.pin && it.Delivery > s.DeliveredConsumer && sequence < b.start && !b.p.isOwn(it) {
			n++
		}
	}
	return n
}

// forgetUnsure forgets the messages in hand that may be settled. If they are pending, they come
// again.
func (b *Barrier[D]) forgetUnsure(s Snapshot) (forgotten []D) {
	for _, sequence := range slices.Sorted(maps.Keys(b.p.hand)) {
		it := b.p.hand[sequence]
		if it.taken || b.p.isOwn(it) || it.Delivery > s.DeliveredConsumer {
			continue
		}
		forgotten = append(forgotten, it.Value)
		b.p.remove(it)
	}
	return forgotten
}

// Resolve takes in the keys of the messages in a range of Learn, by sequence.
func (b *Barrier[D]) Resolve(of Range, keys map[uint64]string) {
	if b.state != reading || of.turn != b.turn {
		return
	}
	if b.await(keys); b.remaining <= 0 {
		b.open()
	}
}

// await lets keys wait for these messages, unless they have come.
func (b *Barrier[D]) await(keys map[uint64]string) {
	b.state, b.awaited, b.byKey = closed, make(map[uint64]string), make(map[string][]uint64)
	for _, sequence := range slices.Sorted(maps.Keys(keys)) {
		if b.p.hand[sequence] != nil || b.p.done.has(sequence) {
			continue // it has come, perhaps under an earlier pin
		}
		key := keys[sequence]
		b.awaited[sequence], b.byKey[key] = key, append(b.byKey[key], sequence)
	}
	if len(b.awaited) == 0 {
		b.open()
		return
	}
	b.p.offerAll()
}

// arrived notes that a message has come.
func (b *Barrier[D]) arrived(sequence uint64) {
	switch {
	case b.state == open:
		return
	case b.state == held && b.p.begun == 1: // the first delivery of the consumer
		b.open()
		return
	case b.exact:
		b.drop(sequence)
	case b.start > 0 && sequence < b.start:
		if b.remaining--; b.remaining <= 0 && b.state != reading {
			b.open()
			return
		}
		b.drop(sequence)
	}
	b.follow()
}

// drop ends the wait for a message.
func (b *Barrier[D]) drop(sequence uint64) {
	key, ok := b.awaited[sequence]
	if !ok {
		return
	}
	delete(b.awaited, sequence)
	b.byKey[key] = slices.DeleteFunc(b.byKey[key], func(s uint64) bool { return s == sequence })
	if b.exact && len(b.awaited) == 0 {
		b.open()
		return
	}
	if k := b.p.keys[key]; k != nil {
		b.p.offer(k)
	}
}

func (b *Barrier[D]) open() {
	b.state, b.awaited, b.byKey, b.exact = open, nil, nil, false
	b.p.offerAll()
}

// end ends a pin, and keeps what the next owner needs to know.
func (b *Barrier[D]) end() {
	if (b.state == open || b.state == closed) && !b.doubtful {
		b.handover = &Handover{b.p.received, make(map[uint64]string)}
		maps.Copy(b.handover.Unsettled, b.awaited)
		for sequence, it := range b.p.hand {
			b.handover.Unsettled[sequence] = it.Key
		}
	}
	*b = Barrier[D]{p: b.p, turn: b.turn + 1, handover: b.handover}
}
