package keyorder_test

import (
	"slices"
	"testing"

	"gomono.dev/transport/natsx/internal/keyorder"
)

// earlier is the number of deliveries before those of a test.
const earlier = 100

// later returns a state after the earlier deliveries.
func later(s keyorder.Snapshot) keyorder.Snapshot {
	s.DeliveredConsumer, s.FloorConsumer = earlier+s.DeliveredConsumer, earlier+s.FloorConsumer
	return s
}

// partition is a Partition whose values are the sequences.
type partition struct {
	*keyorder.Partition[uint64]
	t *testing.T
}

func pinned(t *testing.T) partition {
	p := partition{keyorder.New[uint64](), t}
	p.Pinned("1")
	return p
}

// arrive takes in a delivery, perhaps the first one of the message.
func (p partition) arrive(number, sequence uint64, key string, first bool) keyorder.Arrival {
	return p.Arrive(keyorder.Message[uint64]{Sequence: sequence, Delivery: earlier + number, First: first, Key: key, Value: sequence})
}

// learn takes in a Snapshot of which all deliveries have come, and the keys of the range that is
// needed, which begin with the sequence after the floor.
func (p partition) learn(s keyorder.Snapshot, keys ...string) {
	p.t.Helper()
	s = later(s)
	s.Pin = p.Pin()
	used, read, _ := p.Barrier().Learn(s)
	if !used || (read.Before > 0) != (len(keys) > 0) {
		p.t.Fatalf("used: %v, range %v, want %d keys", used, read, len(keys))
	}
	if len(keys) > 0 {
		if got := int(read.Before - read.After - 1); got != len(keys) {
			p.t.Fatalf("the range %v has %d messages, want %d", read, got, len(keys))
		}
		of := make(map[uint64]string)
		for i, key := range keys {
			of[read.After+1+uint64(i)] = key
		}
		p.Barrier().Resolve(read, of)
	}
}

// next fails unless these messages may be handled now, and takes them.
func (p partition) next(want ...uint64) {
	p.t.Helper()
	var got []uint64
	for {
		sequence, ok := p.Next()
		if !ok {
			break
		}
		got = append(got, sequence)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		p.t.Fatalf("got %v, want %v", got, want)
	}
}

// handle settles messages that were taken.
func (p partition) handle(all ...uint64) {
	for _, sequence := range all {
		p.Acknowledge(sequence)
		p.Settle(sequence)
	}
}

func TestKeysRunBesideEachOther(t *testing.T) {
	p := pinned(t)
	p.arrive(1, 1, "a", true)
	p.arrive(2, 2, "a", true)
	p.arrive(3, 3, "b", true)
	p.next()
	p.learn(keyorder.Snapshot{Delivered: 3, DeliveredConsumer: 3, Pending: 3})
	p.next(1, 3)
	p.handle(3)
	p.next()
	p.Wait(1)
	p.next()
	p.arrive(4, 1, "a", false)
	p.next(1)
	p.handle(1)
	p.next(2)
}

// Another member holds 1 and 2. A message of their keys waits, and others do not.
func TestKeysOfTheOwnerBefore(t *testing.T) {
	p := pinned(t)
	p.arrive(3, 3, "a", true)
	p.arrive(4, 4, "c", true)
	p.learn(keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 4, Pending: 4}, "a", "b")
	p.next(4)
	p.arrive(5, 5, "b", true)
	p.arrive(6, 1, "a", false)
	p.next(1)
	p.handle(1)
	p.next(3)
	p.arrive(7, 2, "b", false) // all have come
	p.next(2)
	p.handle(2)
	p.next(5)
}

// The owner before settles what it holds.
func TestOwnerBeforeSettles(t *testing.T) {
	p := pinned(t)
	p.arrive(3, 3, "a", true)
	p.arrive(4, 4, "b", true)
	p.learn(keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 4, Pending: 4}, "a", "b")
	p.next()
	p.learn(keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 4, Floor: 1, Pending: 3})
	p.next(3)
	p.learn(keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 4, Floor: 2, Pending: 2})
	p.next(4)
}

// A range that is too long to be read holds back the whole partition.
func TestLongRange(t *testing.T) {
	p := pinned(t)
	p.arrive(20_001, 20_001, "a", true)
	p.learn(keyorder.Snapshot{Delivered: 20_001, DeliveredConsumer: 20_001, Pending: 3})
	p.next()
	p.arrive(20_002, 1, "b", false)
	p.next()
	p.arrive(20_003, 7, "c", false)
	p.next(1, 7, 20_001)
}

// A pin by a message that was delivered before: all that may be foreign is below what was
// delivered.
func TestPinnedByARedelivery(t *testing.T) {
	p := pinned(t)
	p.arrive(3, 1, "a", false)
	p.learn(keyorder.Snapshot{Delivered: 2, DeliveredConsumer: 3, Pending: 2}, "a", "b")
	p.next()
	p.arrive(4, 3, "b", true)
	p.next()
	p.arrive(5, 1, "a", false)
	p.next(1)
	p.arrive(6, 2, "b", false)
	p.next(2)
	p.handle(2)
	p.next(3)
}

// The owner before has settled 1, after it was delivered again here: it is not pending, but in
// hand. If it counted as own, 2 would not be missed. It is handed back, and does not come again.
func TestOwnerBeforeSettlesWhatWasDeliveredAgain(t *testing.T) {
	p := pinned(t)
	p.arrive(3, 3, "b", true)
	p.arrive(4, 1, "a", false)
	p.learn(keyorder.Snapshot{Delivered: 3, DeliveredConsumer: 4, Floor: 1, Pending: 2}, "b")
	p.next()
	p.arrive(5, 2, "b", false)
	p.next(2)
}

// A message that was acknowledged may not be pending any more.
func TestAcknowledgedMessagesAreNotOwn(t *testing.T) {
	p := pinned(t)
	p.arrive(2, 2, "b", true)
	p.arrive(3, 3, "a", true)
	p.learn(keyorder.Snapshot{Delivered: 3, DeliveredConsumer: 3, Pending: 3}, "a")
	p.next(2)
	p.Acknowledge(2)
	p.learn(keyorder.Snapshot{Delivered: 3, DeliveredConsumer: 3, Pending: 2})
	p.next()
	p.arrive(4, 1, "a", false)
	p.next(1)
}

// A message that this member handles since an earlier pin may be settled by another one, if the
// member has stood still.
func TestDoubtfulMessagesAreNotOwn(t *testing.T) {
	p := pinned(t)
	p.arrive(1, 1, "a", true)
	p.learn(keyorder.Snapshot{Delivered: 1, DeliveredConsumer: 1, Pending: 1})
	p.next(1)
	p.Doubt()
	p.Unpinned()
	p.Pinned("2")
	p.arrive(4, 3, "b", true)
	p.arrive(5, 4, "a", true)
	p.learn(keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 5, Floor: 1, Pending: 3}, "b")
	p.next()
	p.handle(1)
	p.next(4)
	p.arrive(6, 2, "b", false)
	p.next(2)
}

// A key whose message is with the handler stays closed when the member is pinned anew, and what
// is not with the handler is forgotten.
func TestRunningKeysStayClosed(t *testing.T) {
	p := pinned(t)
	p.arrive(1, 1, "a", true)
	p.arrive(2, 2, "a", true)
	p.arrive(3, 3, "b", true)
	p.learn(keyorder.Snapshot{Delivered: 3, DeliveredConsumer: 3, Pending: 3})
	p.next(1, 3)
	p.Wait(3)
	if got := p.Pinned("2"); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("forgotten are %v, want 2 and 3", got)
	}
	p.arrive(5, 2, "a", false)
	p.arrive(6, 3, "b", false)
	p.arrive(7, 4, "a", true)
	p.learn(keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 7, Pending: 4}, "a", "a", "b")
	p.next()
	p.arrive(8, 2, "a", false)
	p.arrive(9, 3, "b", false)
	p.next(3)
	if got := p.arrive(10, 1, "a", false); got != keyorder.Again {
		t.Errorf("a message in hand is %v, want Again", got)
	}
	p.next()
	p.handle(1)
	p.next(2)
	if got := p.arrive(8, 1, "a", false); got != keyorder.Settled {
		t.Errorf("a settled message is %v, want Settled", got)
	}
}

// A message that waits for its next delivery may be removed from the stream.
func TestWaitingMessageIsRemoved(t *testing.T) {
	p := pinned(t)
	p.arrive(1, 1, "a", true)
	p.arrive(2, 2, "a", true)
	p.learn(keyorder.Snapshot{Delivered: 2, DeliveredConsumer: 2, Pending: 2})
	p.next(1)
	p.Wait(1)
	p.learn(keyorder.Snapshot{Delivered: 2, DeliveredConsumer: 2, Floor: 1, Pending: 1})
	p.next(2)
}

// The first delivery of a consumer has none before it to wait for.
func TestFirstDeliveryOfAllIsNotHeld(t *testing.T) {
	p := pinned(t)
	p.Arrive(keyorder.Message[uint64]{Sequence: 7, Delivery: 1, First: true, Key: "a", Value: 7})
	p.next(7)
	p.Arrive(keyorder.Message[uint64]{Sequence: 8, Delivery: 2, First: true, Key: "b", Value: 8})
	p.next(8)
}

// A state is not used before all deliveries that it counts have come, or if it is of another pin.
func TestUnusedSnapshots(t *testing.T) {
	p := pinned(t)
	p.arrive(1, 1, "a", true)
	for _, s := range []keyorder.Snapshot{
		{Pin: "1", Delivered: 2, DeliveredConsumer: 2, Pending: 2},
		{Pin: "2", Delivered: 1, DeliveredConsumer: 1, Pending: 1},
	} {
		if used, _, _ := p.Barrier().Learn(later(s)); used {
			t.Errorf("%+v is used", s)
		}
	}
	p.next()
}

// A delivery that got lost on its way may be older than those that follow it.
func TestLostDeliveryClosesTheBarrier(t *testing.T) {
	p := pinned(t)
	p.arrive(1, 1, "a", true)
	p.learn(keyorder.Snapshot{Delivered: 1, DeliveredConsumer: 1, Pending: 1})
	p.next(1)
	if p.Lost(earlier+2) || !p.Lost(earlier+3) {
		t.Fatal("the second delivery is lost if the third follows the first")
	}
	p.Pinned(p.Pin())
	p.arrive(3, 3, "a", true)
	p.arrive(4, 4, "b", true)
	old := keyorder.Snapshot{Pin: p.Pin(), Delivered: 1, DeliveredConsumer: 1, Pending: 1}
	if used, _, _ := p.Barrier().Learn(later(old)); used {
		t.Fatal("a state from before the loss was used")
	}
	p.learn(keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 4, Pending: 4}, "a", "a")
	p.next(4)
	p.Settle(1)
	p.next()
	p.arrive(5, 2, "a", false)
	p.next(2)
}

// A handler that runs since an earlier pin does not close the keys of messages that are settled.
func TestHandlerOfAnEarlierPinIsOwn(t *testing.T) {
	p := pinned(t)
	p.arrive(1, 1, "a", true)
	p.arrive(2, 2, "b", true)
	p.learn(keyorder.Snapshot{Delivered: 2, DeliveredConsumer: 2, Pending: 2})
	p.next(1, 2)
	p.handle(2)
	p.Pinned("2")
	p.arrive(3, 3, "b", true)
	p.learn(keyorder.Snapshot{Delivered: 3, DeliveredConsumer: 3, Pending: 2})
	p.next(3)
}

// A message that its earlier owner has handed back does not close the keys of settled ones, even
// if it comes before the state of the consumer.
func TestHandedBackMessageIsOwn(t *testing.T) {
	p := pinned(t)
	p.arrive(4, 1, "a", false)
	p.arrive(5, 3, "b", true)
	p.Sure(1)
	p.learn(keyorder.Snapshot{Delivered: 3, DeliveredConsumer: 5, Pending: 2})
	p.next(1, 3)
}

// After the AckWait, a state counts all that is in hand: others have settled theirs.
func TestLateState(t *testing.T) {
	p := pinned(t)
	p.arrive(4, 4, "b", true)
	p.learn(keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 4, Pending: 3}, "a", "b", "b")
	p.arrive(5, 1, "a", false)
	p.next(1)
	late := keyorder.Snapshot{Delivered: 4, DeliveredConsumer: 5, Pending: 2}
	p.learn(late)
	p.next()
	late.Late = true
	p.learn(late)
	p.next(4)
}

// A message that comes again after the state was read was pending at that time.
func TestMessageThatComesAfterTheState(t *testing.T) {
	p := pinned(t)
	p.arrive(4, 3, "b", true)
	p.arrive(5, 1, "a", false)
	p.learn(keyorder.Snapshot{Delivered: 3, DeliveredConsumer: 4, Pending: 2})
	p.next(1, 3)
}

// The latest settled messages are known when they come again, and older ones are forgotten.
func TestSettledMessagesAreForgotten(t *testing.T) {
	p := pinned(t)
	const n = 20_000
	for i := range uint64(n) {
		p.arrive(1+i, 1+i, "a", true)
		if i == 0 {
			p.learn(keyorder.Snapshot{Delivered: 1, DeliveredConsumer: 1, Pending: 1})
		}
		p.next(1 + i)
		p.handle(1 + i)
	}
	if got := p.arrive(n+1, n-4000, "a", false); got != keyorder.Settled {
		t.Errorf("a message that was settled lately is %v, want Settled", got)
	}
	if got := p.arrive(n+2, 1, "a", false); got != keyorder.Accepted {
		t.Errorf("a message that was settled long ago is %v, want Accepted", got)
	}
}
