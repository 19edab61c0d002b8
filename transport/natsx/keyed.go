package natsx

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/journal"
	"gomono.dev/transport/natsx/internal/keyorder"
)

// A group that keeps the order of keys has a consumer for each partition, with the priority
// policy pinned_client (ADR-42): the server delivers to one member at a time, up to maxHeld
// messages. The member handles one message of each key at a time; package keyorder chooses it.
//
// A member keeps the pin as long as its pulls arrive. It begins with a message only if the server
// has answered a recent pull: a process that stood still may have lost the pin.

// keyed is a consumer of such a group at a member. The member's lock guards it.
type keyed struct {
	m      *member
	from   *consumer
	filter []string
	ttl    time.Duration // of the pin
	order  *keyorder.Partition[*delivery]
	old    map[string]bool // pins before the current one

	assigned bool       // the member's share has the partition
	strays   []handBack // deliveries under an old pin

	last  uint64 // delivery, at the last stamp
	since uint64 // messages that began after it

	renewed time.Time // the last pull was sent
	asking  bool      // a state or a range is being read
	asked   time.Time // the last one was

	expected uint64        // a delivery that a state shows, and that has not come yet
	come     chan struct{} // closed when it has

	firstPin   string    // under which firstAsked is valid
	firstAsked time.Time // the first state under the pin was asked for

	sent map[uint64]*settlement // acknowledgements that the server has not confirmed
	full fullness
}

func newKeyed(m *member, from *consumer, c *jetstream.ConsumerConfig) *keyed {
	return &keyed{
		m: m, from: from, filter: filterOf(c), ttl: c.PinnedTTL, order: keyorder.New[*delivery](),
		old: make(map[string]bool), sent: make(map[uint64]*settlement),
	}
}

const headerPin = "Nats-Pin-Id"

// arrive takes in a delivery, and reports whether the member holds it from now on.
func (k *keyed) arrive(d *delivery, msg *nats.Msg, about *nats.MsgMetadata) bool {
	pin := firstOf(msg.Header, headerPin)
	if pin != k.order.Pin() && !k.old[pin] {
		k.pinned(pin)
		if !k.assigned { // a pull from before has met a partition without an owner
			k.handOver()
		}
	}
	if k.old[pin] { // the owner after this pin gets it
		if k.holds() {
			k.order.Barrier().Stray(keyorder.Message[*delivery]{Sequence: d.Sequence, Delivery: about.Sequence.Consumer, Key: transport.KeyOf(msg.Subject)})
			d.number, d.Attempt = about.NumDelivered, 1
			if h := refused(k.from, about, msg.Reply); h.attempts >= 0 {
				k.sendBack(h)
			} else {
				d.refused = true
				k.m.inquiries.inquire(d)
			}
		}
		return false
	}
	if k.order.Lost(about.Sequence.Consumer) {
		k.giveUp(k.order.Pinned(pin), k.holds())
		k.firstPin = ""
	}
	if k.come != nil && about.Sequence.Consumer >= k.expected {
		close(k.come)
		k.come = nil
	}
	before, has := k.order.Get(d.Sequence)
	got := k.order.Arrive(keyorder.Message[*delivery]{
		Sequence: d.Sequence, Delivery: about.Sequence.Consumer, First: about.NumDelivered == 1,
		Key: transport.KeyOf(msg.Subject), Value: d,
	})
	switch got {
	case keyorder.Settled:
		_ = k.m.l.t.nc.Publish(msg.Reply, ackBody)
	case keyorder.Again:
		before.readdress(msg.Reply)
	case keyorder.Accepted:
		if has { // it waited for this one
			go before.drop()
		}
	}
	return got == keyorder.Accepted
}

// sendBack hands back a delivery that the member does not take. Deliveries that come while earlier
// ones are handed back follow together.
func (k *keyed) sendBack(h handBack) {
	if k.strays = append(k.strays, h); len(k.strays) == 1 {
		go func() {
			for n := 0; ; {
				k.m.mu.Lock()
				k.strays = k.strays[n:]
				some := slices.Clone(k.strays)
				note := k.handover()
				k.m.mu.Unlock()
				if n = len(some); n == 0 {
					return
				}
				k.store(note)
				k.m.returns.giveBack(context.Background(), some)
			}
		}()
	}
}

// pinned begins with a new pin, and hands back what came under the one before: the server
// delivers it again.
func (k *keyed) pinned(pin string) {
	k.retire()
	k.doubt()
	k.giveUp(k.order.Pinned(pin), k.holds())
	k.from.pin, k.from.lost, k.renewed = pin, false, time.Time{}
}

// unpinned ends the pin.
func (k *keyed) unpinned() {
	k.retire()
	k.doubt()
	k.giveUp(k.order.Unpinned(), k.holds())
	go k.store(k.handover())
	k.from.pin, k.from.lost = "", false
	k.from.restart()
}

// doubt notes that the server may have delivered the messages in hand to another member.
func (k *keyed) doubt() {
	if !k.holds() {
		k.order.Doubt()
	}
}

func (k *keyed) retire() {
	if pin := k.order.Pin(); pin != "" {
		k.old[pin] = true
	}
}

// handOver gives the partition up for the member whose share has it now: first the pin, so nothing
// comes back here, and then the deliveries. The handlers that run go on; the next owner waits for
// their keys.
func (k *keyed) handOver() {
	if k.order.Pin() == "" {
		return
	}
	k.retire()
	k.doubt()
	rest, holds := k.order.Unpinned(), k.holds()
	note := k.handover()
	k.from.pin, k.from.lost = "", false
	k.from.restart()
	go func() {
		k.store(note)
		k.m.unpin(k.from.name)
		k.m.mu.Lock()
		defer k.m.mu.Unlock()
		k.giveUp(rest, holds)
	}()
}

// giveUp hands back deliveries that are not with the handler. If the member may have lost the
// pin long ago, the server has delivered them to others.
func (k *keyed) giveUp(all []*delivery, holds bool) {
	for _, d := range all {
		switch {
		case !holds:
			go d.drop()
		case d.unknown: // its number of attempts has to be known
			d.refused = true
		default:
			go d.giveUp()
		}
	}
}

// refuse hands back a delivery whose number of attempts is known now.
func (k *keyed) refuse(d *delivery) {
	if d.next == nil { // it was not taken in
		k.sendBack(d.handBack())
		return
	}
	k.giveUp([]*delivery{d}, k.holds())
}

// holds reports whether the server has recently answered a pull, so that the member has the pin
// unless another one has taken it at that time, and its deliveries are not delivered again.
func (k *keyed) holds() bool {
	return time.Since(k.from.fresh) < k.ttl && time.Since(k.m.extended) < 3*k.m.refresh
}

// next returns a delivery that may be handled now, or nil.
func (k *keyed) next() *delivery {
	if k.order.Ready() == 0 || !k.holds() {
		return nil
	}
	var back []uint64
	defer func() {
		for _, sequence := range back {
			k.order.Return(sequence)
		}
	}()
	for {
		d, ok := k.order.Next()
		switch {
		case !ok:
			return nil
		case d.isSettled(): // its next delivery is on the way
			k.order.Wait(d.Sequence)
		case d.unknown:
			back = append(back, d.Sequence)
		case time.Until(d.notBefore) > 0:
			k.order.Wait(d.Sequence)
			time.AfterFunc(time.Until(d.notBefore), func() { k.due(d) })
		default:
			k.stamp(d)
			return d
		}
	}
}

// due lets a delivery go on that waited here for a delay of an earlier owner.
func (k *keyed) due(d *delivery) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	if has, ok := k.order.Get(d.Sequence); ok && has == d {
		k.order.Return(d.Sequence)
		nudge(k.m.wake)
	}
}

// tokenBits is the number of bits of a fencing token that count the handled messages since the
// last delivery. There are at most maxHeld of them.
const tokenBits = 12

// stamp sets the fencing token when the handler begins: messages of a key may have come before a
// redelivery of an older one.
func (k *keyed) stamp(d *delivery) {
	if last := k.order.Received(); last != k.last {
		k.last, k.since = last, 0
	}
	d.FencingToken = fencingToken(k.m.base.value, k.from.created, k.last)<<tokenBits + k.since
	k.since++
}

// pulls returns the pulls that keep the pin, or ask for it.
func (k *keyed) pulls(now time.Time) (pulls []pull) {
	p := k.from.puller
	if p.lost {
		k.unpinned()
	}
	switch {
	case p.held || !k.assigned:
	case p.pin == "":
		if p.requested == 0 {
			pulls = append(pulls, p.newPull(minReady))
		}
	case p.requested <= partitionBatch && k.order.Ready()+p.requested <= k.enough()/2:
		pulls = append(pulls, p.newPull(min(2*k.enough(), partitionBatch)))
		k.renewed = now
	case now.Sub(k.renewed) >= k.ttl/3:
		pulls = append(pulls, p.newPull(1))
		k.renewed = now
	}
	return pulls
}

// enough is the number of keys that should be ready, so that no handler waits for messages. If
// messages wait for earlier ones of their keys, more are fetched, up to maxHeld.
func (k *keyed) enough() int {
	return max(2*k.m.max/max(k.m.share.assigned, 1), minReady)
}

const (
	minReady       = 16
	partitionBatch = 256 // the most messages of a pull of a partition; at most twice as many are requested
)

// wait notes that a delivery ended, and that its message will be delivered again. The member may
// have a later delivery of the message.
func (k *keyed) wait(d *delivery) {
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	if has, ok := k.order.Get(d.Sequence); ok && has == d {
		k.order.Wait(d.Sequence)
	}
}

// handedBack notes that the previous delivery of a message was handed back, perhaps with a delay.
func (k *keyed) handedBack(d *delivery, history journal.History) {
	k.order.Sure(d.Sequence)
	d.notBefore = history.Due
}
