package natsx

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/keyorder"
)

// A member with a new pin does not know the messages that earlier owners hold. The state of the
// consumer, at its leader, has their number and the range of their sequences. The member reads the
// keys in this range from the stream, and lets these keys wait.

// refreshState reads the state of the consumer as long as the barrier is closed. It also does that
// sometimes while messages wait for their next delivery: they may have been removed.
func (k *keyed) refreshState(now time.Time) {
	if k.asking || k.order.Pin() == "" {
		return
	}
	if since := now.Sub(k.asked); since < learnPause || !k.order.Barrier().NeedsState() && (since < waitPause || !k.order.Waits()) {
		return
	}
	k.asking = true
	go k.readState(k.order.Pin())
}

const (
	learnPause = 50 * time.Millisecond
	waitPause  = time.Second
)

func (k *keyed) readState(pin string) {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	k.readHandover(ctx)
	is, err := k.m.l.groups.consumer(ctx, k.from.name)
	var read keyorder.Range
	var missing []uint64
	if err == nil {
		state := snapshotOf(is)
		k.waitForDelivery(state.DeliveredConsumer)
		k.m.mu.Lock()
		if pin == k.order.Pin() { // otherwise it is unknown how late the state is
			read, missing = k.useState(state)
		}
		k.m.mu.Unlock()
	}
	for _, sequence := range missing {
		k.lookUp(ctx, sequence)
	}
	if read.Before > 0 {
		keys, err := k.readKeys(ctx, read)
		k.m.mu.Lock()
		if err == nil {
			k.order.Barrier().Resolve(read, keys)
		}
		k.m.mu.Unlock()
	}
	k.m.mu.Lock()
	k.asking, k.asked = false, time.Now()
	k.m.mu.Unlock()
	nudge(k.m.wake)
}

// waitForDelivery waits until a delivery has come that the server has sent.
func (k *keyed) waitForDelivery(delivery uint64) {
	come := make(chan struct{})
	k.m.mu.Lock()
	if k.order.Received() >= delivery {
		k.m.mu.Unlock()
		return
	}
	k.expected, k.come = delivery, come
	k.m.mu.Unlock()
	late := time.NewTimer(comeTime)
	defer late.Stop()
	select {
	case <-come:
	case <-late.C:
	}
}

// comeTime is the time in which a delivery comes. A later one was lost, or went elsewhere.
const comeTime = 200 * time.Millisecond

// useState takes in a state that was asked for under the current pin. It returns the range whose keys
// are needed, and messages that may never be delivered again.
func (k *keyed) useState(state keyorder.Snapshot) (read keyorder.Range, missing []uint64) {
	if state.Pin != k.order.Pin() { // the server answers so with the next message only
		k.unpinned()
		return keyorder.Range{}, nil
	}
	if state.Pin != k.firstPin {
		k.firstPin, k.firstAsked = state.Pin, time.Now()
	}
	state.Late = time.Since(k.firstAsked) > k.m.refresh*4
	_, read, unsure := k.order.Barrier().Learn(state)
	k.giveUp(unsure, k.holds())
	return read, k.order.Missing(state)
}

// lookUp looks up a message that waits for its next delivery. It forgets the message if it was
// removed, or if it was handed back and does not come: an earlier owner has settled it.
func (k *keyed) lookUp(ctx context.Context, sequence uint64) {
	_, err := k.m.l.groups.message(ctx, map[string]any{"seq": sequence})
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	d, ok := k.order.Get(sequence)
	if ok && (missing(err) || d.missed(k.m.refresh*5)) {
		k.order.Remove(sequence)
		go d.drop()
	}
}

func snapshotOf(is *jetstream.ConsumerInfo) keyorder.Snapshot {
	return keyorder.Snapshot{
		Pin: pinOf(is), Delivered: is.Delivered.Stream, DeliveredConsumer: is.Delivered.Consumer,
		Floor: is.AckFloor.Stream, FloorConsumer: is.AckFloor.Consumer, Pending: is.NumAckPending,
	}
}

// pinOf returns the id of the pin of a partition, or "".
func pinOf(is *jetstream.ConsumerInfo) string {
	for _, g := range is.PriorityGroups {
		if g.Group == membersGroup {
			return g.PinnedClientID
		}
	}
	return ""
}

// readKeys reads the keys of the messages of the partition in a range.
func (k *keyed) readKeys(ctx context.Context, r keyorder.Range) (map[uint64]string, error) {
	keys := make(map[uint64]string)
	rd := &reader{
		from: k.m.l.stream, replicated: true, patient: true, headersOnly: true, filter: k.filter,
		start: transport.Start{Sequence: r.After + 1}, end: r.Before - 1,
	}
	rd.yield = func(msg *nats.Msg, about *nats.MsgMetadata) bool {
		if about.Sequence.Stream < r.Before {
			keys[about.Sequence.Stream] = transport.KeyOf(msg.Subject)
		}
		return about.Sequence.Stream < r.Before
	}
	read := rd.run
	if k.m.l.config.Retention == transport.InterestRetention {
		read = rd.walk
	}
	return keys, read(ctx)
}
