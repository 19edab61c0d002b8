package natsx

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/journal"
)

// delivery is a message that a member holds until it is settled.
type delivery struct {
	transport.Delivery
	m       *member
	from    *consumer
	number  uint64          // by the server's count
	attempt journal.Attempt // guarded by mu
	unknown bool            // others are asked what they know of it; guarded by the member's lock
	reply   string          // where its settlement goes
	msg     *nats.Msg       // until the delivery is filled

	fields [fewFields]transport.Field // of the header, if there are few

	prev, next *delivery // in the member's list of what it holds
	begun      bool      // h has seen it; guarded by the member's lock

	// mu is held while it is extended, so that nothing is said after its settlement:
	// to extend a message after a Nak with a delay would undo the delay.
	mu      sync.Mutex
	settled bool
}

const fewFields = 4

// place says which delivery it is.
func (d *delivery) place(about *nats.MsgMetadata) {
	placeDelivery(&d.Delivery, about)
	d.FencingToken, d.Settler = fence(d.m.fences, d.from.created, about.Sequence.Consumer), d
}

// fill makes of what came what the handler gets.
func (d *delivery) fill() {
	if d.msg == nil {
		return
	}
	if n := len(d.msg.Header); n > 0 && n <= fewFields {
		d.Header = d.fields[:0]
	}
	fillDelivery(&d.Delivery, d.msg, d.m.l.lanes)
	d.msg = nil
}

// What is published to settle a delivery.
var (
	ackBody      = []byte("+ACK")
	nakBody      = []byte("-NAK")
	progressBody = []byte("+WPI")
)

const maxReason = 512 // bytes

// fillDelivery takes over a message of a stream.
func fillDelivery(d *transport.Delivery, msg *nats.Msg, lanes lanes) {
	if d.Header == nil && len(msg.Header) > 0 {
		d.Header = make(transport.Header, 0, len(msg.Header))
	}
	takeOver(&d.Message, msg)
	d.Subject, d.Reply = lanes.original(msg.Subject), ""
	d.ID = idOf(msg.Header)
}

func placeDelivery(d *transport.Delivery, about *nats.MsgMetadata) {
	d.Sequence, d.Stored = about.Sequence.Stream, about.Timestamp
	d.Remaining = about.NumPending
}

// idOf returns the id with which a message was appended. One that had waited for
// its time carries it under another name, and one by a plain client may carry
// mono's.
func idOf(h nats.Header) string {
	if id := appendedID(h); id != "" {
		return id
	}
	return firstOf(h, transport.HeaderID)
}

// appendedID is the id that a message was appended with, if it was.
func appendedID(h nats.Header) string {
	return firstOf(h, jetstream.MsgIDHeader, headerMovedID)
}

// firstOf returns the first value of several headers that is not empty.
func firstOf(h nats.Header, names ...string) string {
	for _, name := range names {
		if values := h[name]; len(values) > 0 && values[0] != "" {
			return values[0]
		}
	}
	return ""
}

// Ack implements [transport.Settler]. Nothing in it waits, so ctx is not read.
func (d *delivery) Ack(context.Context) error { return d.settle(ackBody, d.forget) }

// Nak implements [transport.Settler].
func (d *delivery) Nak(_ context.Context, delay time.Duration) error {
	return d.settle(nak(delay), func() { d.noteRetry(delay) })
}

func nak(delay time.Duration) []byte {
	if delay <= 0 {
		return nakBody
	}
	return []byte(`-NAK {"delay":` + strconv.FormatInt(int64(delay), 10) + `}`)
}

// Terminate implements [transport.Settler].
func (d *delivery) Terminate(_ context.Context, reason string) error {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return d.settle([]byte("+TERM "+reason), d.forget)
}

// Release implements [transport.Settler]. It waits, a second at most, until members
// elsewhere can know of it.
func (d *delivery) Release(ctx context.Context) error {
	if err := d.claim(); err != nil {
		return err
	}
	d.m.giveBackOne(d)
	return d.m.l.t.ready(context.WithoutCancel(ctx), "message "+strconv.FormatUint(d.Sequence, 10)+" of "+d.m.l.what)
}

// back describes the hand-back of the delivery.
func (d *delivery) back() handBack {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	h := handBack{from: d.from, sequence: d.Sequence, stored: d.Stored, number: d.number, attempts: d.Attempt - 1, reply: d.reply}
	if d.unknown {
		h.attempts = -1
	}
	return h
}

// postpone lets the message be delivered again later. The handler has not seen it.
func (d *delivery) postpone(delay time.Duration) { _ = d.settle(nak(delay), func() {}) }

// settle says how the delivery ended, and notes it.
func (d *delivery) settle(body []byte, note func()) error {
	if err := d.claim(); err != nil {
		return err
	}
	note()
	err := d.m.l.t.nc.Publish(d.reply, body)
	d.m.release(d)
	if err != nil {
		e := unavailable("message %d of group %q: the connection to %s is lost, it will be delivered again", d.Sequence, d.m.group, d.m.l.t.address)
		e.Err = err
		return e
	}
	return nil
}

// claim lets its caller settle the delivery, which is done once.
func (d *delivery) claim() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"message %d of group %q: it was settled before, or handed back", d.Sequence, d.m.group)
	}
	d.settled = true
	return nil
}

// forget drops what is known of a message that is settled.
func (d *delivery) forget() {
	if d.from.past.Knows() {
		d.from.past.Forget(d.Sequence)
	}
	if d.number > 1 {
		d.from.released.forget(d.Sequence)
	}
}

// extend keeps the delivery from being made again.
func (d *delivery) extend() {
	if !d.mu.TryLock() {
		return // it is being settled
	}
	defer d.mu.Unlock()
	if !d.settled {
		_ = d.m.l.t.nc.Publish(d.reply, progressBody) // without a connection others get it
	}
}

// drop settles a delivery without a word.
func (d *delivery) drop() {
	d.mu.Lock()
	d.settled = true
	d.mu.Unlock()
	d.m.release(d)
}
