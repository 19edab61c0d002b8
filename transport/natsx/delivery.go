package natsx

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/natsx/internal/journal"
)

// delivery is a message that a member holds until it is settled.
type delivery struct {
	transport.Delivery
	m       *member
	from    *consumer
	number  uint64          // as counted by the server
	attempt journal.Attempt // guarded by mu
	unknown bool            // hand-backs by other members are being read; guarded by the member's lock
	refused bool            // it is handed back then, so that it does not count; guarded by the member's lock
	reply   string          // subject of the settlement
	msg     *nats.Msg       // nil once the delivery is filled

	fields [fewFields]transport.Field // of the header, if there are few

	prev, next *delivery // in the member's ring of held deliveries
	begun      bool      // the handler has begun; guarded by the member's lock
	notBefore  time.Time // the handler may begin; guarded by the member's lock
	failed     bool      // its attempt ended; guarded by the member's lock

	// mu is held during an extension, so nothing is sent after the settlement. An extension
	// after a Nak with a delay would cancel the delay.
	mu      sync.Mutex
	settled bool
	due     time.Time // of the next delivery, for which this one waits after an attempt; zero: it does not
	ended   time.Time // it was settled or handed back, in a group that keeps the order of keys
}

const fewFields = 4

// setIdentity sets the sequence, the time, the fencing token and the settler.
func (d *delivery) setIdentity(about *nats.MsgMetadata) {
	setPosition(&d.Delivery, about)
	d.FencingToken, d.Settler = fencingToken(d.m.base.value, d.from.created, about.Sequence.Consumer), d
}

// fill fills in the message for the handler.
func (d *delivery) fill() {
	if d.msg == nil {
		return
	}
	if n := len(d.msg.Header); n > 0 && n <= fewFields {
		d.Header = d.fields[:0]
	}
	fillDelivery(&d.Delivery, d.msg, d.m.l.partitions)
	d.msg = nil
}

// Bodies of settlements.
var (
	ackBody      = []byte("+ACK")
	nakBody      = []byte("-NAK")
	progressBody = []byte("+WPI")
)

const maxReason = 512 // bytes

// fillDelivery fills in a message of a stream.
func fillDelivery(d *transport.Delivery, msg *nats.Msg, partitions partitions) {
	if d.Header == nil && len(msg.Header) > 0 {
		d.Header = make(transport.Header, 0, len(msg.Header))
	}
	fillMessage(&d.Message, msg)
	d.Subject, d.Reply = partitions.original(msg.Subject), ""
	d.ID = idOf(msg.Header)
}

func setPosition(d *transport.Delivery, about *nats.MsgMetadata) {
	d.Sequence, d.Stored = about.Sequence.Stream, about.Timestamp
	d.Remaining = about.NumPending
}

// idOf returns the id with which a message was appended. A delayed message has it under
// another name. A message of a plain client may have mono's header.
func idOf(h nats.Header) string {
	if id := appendedID(h); id != "" {
		return id
	}
	return firstOf(h, transport.HeaderID)
}

// appendedID returns the id with which a message was appended, or "".
func appendedID(h nats.Header) string {
	return firstOf(h, jetstream.MsgIDHeader, headerMovedID)
}

// firstOf returns the first value that is not empty, of several headers.
func firstOf(h nats.Header, names ...string) string {
	for _, name := range names {
		if values := h[name]; len(values) > 0 && values[0] != "" {
			return values[0]
		}
	}
	return ""
}

// Ack implements [transport.Settler]. It does not block, so it ignores ctx.
func (d *delivery) Ack(context.Context) error { return d.settle(ackBody, d.forget) }

// Nak implements [transport.Settler].
func (d *delivery) Nak(_ context.Context, delay time.Duration) error {
	if d.from.keyed != nil && delay > 0 {
		return d.park(delay)
	}
	return d.settle(nak(delay), func() { d.noteRetry(delay) })
}

// park holds the delivery until its delay is over, and then requests the next one. The server
// would deliver others of its key, and another member would wait for it.
func (d *delivery) park(delay time.Duration) error {
	if err := d.claim(); err != nil {
		return err
	}
	d.noteRetry(delay)
	d.mu.Lock()
	d.due = time.Now().Add(delay)
	d.mu.Unlock()
	d.from.keyed.wait(d)
	d.m.leaveHandler(d)
	time.AfterFunc(delay, d.unpark)
	return nil
}

// unpark requests the next delivery, unless that was done.
func (d *delivery) unpark() {
	d.mu.Lock()
	due, reply := d.due, d.reply
	d.due, d.ended = time.Time{}, time.Now()
	d.mu.Unlock()
	if due.IsZero() {
		return
	}
	_ = d.m.l.t.nc.Publish(reply, nak(time.Until(due))) // without a connection others get it
	d.m.release(d)
}

// missed reports whether the message has not come again for a time since it was handed back.
func (d *delivery) missed(limit time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settled && d.due.IsZero() && time.Since(d.ended) > limit
}

// giveUp hands the delivery back, which is not with the handler.
func (d *delivery) giveUp() {
	if d.reclaim() {
		d.m.returns.giveBackNext(d)
	}
}

// reclaim claims a delivery that is not settled, or that waits for its next one. Others wait
// instead.
func (d *delivery) reclaim() bool {
	if d.claim() == nil {
		return true
	}
	d.mu.Lock()
	due := d.due
	d.due = time.Time{}
	d.mu.Unlock()
	if due.IsZero() {
		return false
	}
	d.m.mu.Lock()
	d.notBefore, d.failed = due, true
	d.m.mu.Unlock()
	return true
}

// readdress takes the subject of a later delivery of the same message.
func (d *delivery) readdress(reply string) {
	d.mu.Lock()
	d.reply = reply
	d.mu.Unlock()
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

// Release implements [transport.Settler]. It waits for up to a second until other members can
// know of the hand-back.
func (d *delivery) Release(ctx context.Context) error {
	if err := d.claim(); err != nil {
		return err
	}
	d.m.returns.giveBackNext(d)
	return driver.About(fmt.Sprintf("message %d of log %q", d.Sequence, d.m.l.config.Name), d.m.l.t.ready(context.WithoutCancel(ctx)))
}

// back returns the hand-back of the delivery.
func (d *delivery) back() handBack {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return d.handBack()
}

// handBack is back for a caller that holds the member's lock.
func (d *delivery) handBack() handBack {
	h := handBack{from: d.from, of: d, sequence: d.Sequence, stored: d.Stored, number: d.number, attempts: d.Attempt - 1, due: d.notBefore, reply: d.reply}
	if d.failed {
		h.attempts++
	}
	if d.unknown {
		h.attempts = -1
	}
	return h
}

// postpone requests a later delivery of the message, which the handler has not received.
func (d *delivery) postpone(delay time.Duration) { _ = d.settle(nak(delay), func() {}) }

// settle publishes the settlement, and records it with note.
func (d *delivery) settle(body []byte, note func()) error {
	if err := d.claim(); err != nil {
		return err
	}
	note()
	err := d.send(body)
	d.m.release(d)
	if err != nil {
		e := unavailable("message %d of group %q: the connection to %s is lost: the message will be delivered again", d.Sequence, d.m.group, d.m.l.t.address)
		e.Err = err
		return e
	}
	return nil
}

// send sends a settlement.
func (d *delivery) send(body []byte) error {
	k := d.from.keyed
	switch {
	case k == nil:
	case body[0] == '-': // a Nak
		k.wait(d)
	default:
		return k.settle(d, body)
	}
	return d.m.l.t.nc.Publish(d.reply, body)
}

// claim marks the delivery as settled. It succeeds once.
func (d *delivery) claim() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"message %d of group %q: it was already settled or handed back", d.Sequence, d.m.group)
	}
	if d.settled = true; d.from.keyed != nil {
		d.ended = time.Now()
	}
	return nil
}

func (d *delivery) isSettled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settled
}

// forget removes the records of a settled message.
func (d *delivery) forget() {
	if d.from.record.HasRecords() {
		d.from.record.Forget(d.Sequence)
	}
	if d.number > 1 {
		d.from.released.forget(d.Sequence)
	}
}

// extend restarts the AckWait of the delivery.
func (d *delivery) extend() {
	if !d.mu.TryLock() {
		return // being settled
	}
	defer d.mu.Unlock()
	if !d.settled || !d.due.IsZero() {
		_ = d.m.l.t.nc.Publish(d.reply, progressBody) // without a connection others get it
	}
}

// drop marks a delivery as settled without a notice to the server.
func (d *delivery) drop() {
	d.mu.Lock()
	d.settled, d.due = true, time.Time{}
	d.mu.Unlock()
	d.m.release(d)
}

// readMetadata reads the metadata in the reply subject of a stream's message. It does the
// same as [nats.Msg.Metadata], which needs two allocations and still reads uncommon forms.
func readMetadata(about *nats.MsgMetadata, msg *nats.Msg) error {
	if readAckSubject(about, msg.Reply) {
		return nil
	}
	read, err := msg.Metadata()
	if err != nil {
		return err
	}
	*about = *read
	return nil
}

// readAckSubject reads "$JS.ACK.<stream>.<consumer>.<deliveries>.<stream
// sequence>.<consumer sequence>.<nanoseconds>.<pending>".
func readAckSubject(about *nats.MsgMetadata, reply string) bool {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return false
	}
	stream := strings.IndexByte(rest, '.')
	consumer := strings.IndexByte(rest[stream+1:], '.') + stream + 1
	if stream < 0 || consumer == stream {
		return false
	}
	numbers, ok := readNumbers(rest[consumer+1:])
	if !ok {
		return false
	}
	about.Domain, about.Stream, about.Consumer = "", rest[:stream], rest[stream+1:consumer]
	about.NumDelivered, about.Sequence.Stream, about.Sequence.Consumer, about.NumPending = numbers[0], numbers[1], numbers[2], numbers[4]
	about.Timestamp = time.Unix(0, int64(numbers[3]))
	return true
}

// readNumbers reads five numbers of at most 19 digits, with dots between them.
func readNumbers(text string) (numbers [5]uint64, ok bool) {
	i, digits := 0, 0
	for _, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9' && digits < 19:
			numbers[i] = numbers[i]*10 + uint64(c-'0')
			digits++
		case c == '.' && digits > 0 && i < len(numbers)-1:
			i, digits = i+1, 0
		default:
			return numbers, false
		}
	}
	return numbers, digits > 0 && i == len(numbers)-1 && slices.Max(numbers[:]) <= math.MaxInt64
}
