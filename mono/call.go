package mono

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"reflect"
	"strconv"
	"time"

	"gomono.dev/transport"
)

// Call is one message on one side: what a handler can learn about the message in
// hand, and what middleware sees. It belongs to the goroutine that runs the
// handler or the send; it is not for concurrent use, nor for keeping.
//
// Each message has one of its own, so it holds little.
type Call struct {
	decl    *declaration
	sender  string
	id      string
	header  transport.Header
	payload any // pointer to the payload
	reply   any // pointer to the reply, nil if there is none
	size    int
	replied bool         // reply holds one
	left    bool         // it was sent, perhaps in vain
	whole   bool         // header holds mono's own fields
	decoded bool         // payload holds the message
	home    *homeContext // of a call that stays in the process

	// On the sending side.
	via      *sender
	sent     *sendOptions
	out      *outbound // memory for what crosses the wire, until it is used
	sequence uint64    // of what was stored

	// On the receiving side.
	at       *receiver
	message  *transport.Message  // nil: it stayed in the process
	delivery *transport.Delivery // nil: it was not stored
	around   context.Context     // of the handler: see within
}

// Side says on which side of a message a Call is.
type Side string

// The sides.
const (
	Sending   Side = "sending"
	Receiving Side = "receiving"
)

// CallFrom returns the Call of the handler that ctx was given to. Outside one it
// returns an empty Call, never nil.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}

type callKey struct{}

// Side returns the side on which the Call is.
func (c *Call) Side() Side {
	switch {
	case c.at != nil:
		return Receiving
	case c.via != nil:
		return Sending
	}
	return ""
}

// Handle returns the handle of the message.
func (c *Call) Handle() Handle {
	if c.decl == nil {
		return nil
	}
	return c.decl
}

// Module returns the module on whose side the Call is: the one that sends, or
// the one that handles. It is "" for code outside any module.
func (c *Call) Module() string {
	switch {
	case c.at != nil:
		return c.at.unit.name
	case c.via != nil:
		return c.via.module
	}
	return ""
}

// Sender returns the module that sent the message, "" where nothing is known.
func (c *Call) Sender() string { return c.sender }

// Group returns the group that the handler belongs to, "" for none.
func (c *Call) Group() string {
	if c.at == nil {
		return ""
	}
	return c.at.group()
}

// ID identifies the message: the same on both sides, the same for all that
// receive it, and for all attempts. A message from a plain client that set none
// gets one on arrival, or, where it is stored, from its place there.
func (c *Call) ID() string {
	switch {
	case c.id != "" || c.decl == nil:
	case c.at != nil && c.home != nil:
		c.id = c.home.newID()
	default:
		c.id = newID()
	}
	return c.id
}

// Header returns the first value of a header that the sender has set, or "".
func (c *Call) Header(name string) string { return c.fields(name).Get(name) }

// HeaderValues returns all values of a header.
func (c *Call) HeaderValues(name string) []string { return c.fields(name).Values(name) }

// fields returns the header. Of a call that stays in the process it makes what
// mono would have sent, once somebody asks for it.
func (c *Call) fields(name string) transport.Header {
	if c.at != nil && c.home != nil && !c.whole && ownField(name) {
		c.whole = true
		c.header = c.home.wireHeader(c)
	}
	return c.header
}

// SetHeader sets a header. On the sending side it goes with the message; on the
// receiving side later middleware and the handler see it. What [Header] says of
// names and values holds here too.
func (c *Call) SetHeader(name, value string) { c.header.Set(name, value) }

// Payload returns the message as the Go value that it is. On the receiving side
// it is decoded already. It is the handler's or the sender's own: what its
// pointers, slices and maps lead to must not be changed.
func (c *Call) Payload() any { return deref(c.payload) }

// Reply returns the reply of a service once there is one, as Payload does; nil
// before, with an error, and for other kinds.
func (c *Call) Reply() any {
	if !c.replied {
		return nil
	}
	return deref(c.reply)
}

// Size returns how many bytes the encoded payload has, 0 on the sending side
// before it was sent. Where the payload is not encoded to be sent, Size does it.
func (c *Call) Size() int {
	if c.size == 0 && c.home != nil {
		body, _ := c.home.sender.codec.Marshal(c.payload) // it has been encoded, or copied as if
		c.size = len(body)
	}
	return c.size
}

// Attempt returns which attempt at the message this is, from 1. A process that died
// in the handler has used one; one that handed the message back when it stopped has
// not. It is 0 on the sending side and in an empty Call.
func (c *Call) Attempt() int {
	switch {
	case c.at == nil:
		return 0
	case c.delivery == nil:
		return 1
	}
	return c.delivery.Attempt
}

// Sequence returns the position of a stored message in its log, 0 for others.
func (c *Call) Sequence() uint64 {
	if c.delivery == nil {
		return c.sequence
	}
	return c.delivery.Sequence
}

// Time returns when a stored message was stored, by the clock of the store; the
// zero time for others.
func (c *Call) Time() time.Time {
	if c.delivery == nil {
		return time.Time{}
	}
	return c.delivery.Stored
}

// Key returns the key of a message of a keyed handle on the receiving side, ""
// otherwise.
func (c *Call) Key() string {
	if c.message == nil {
		return ""
	}
	return keyOf(c.message.Subject)
}

// Fence returns a number that grows with every delivery of a stored message's key
// (in an ordered group; of the whole group otherwise), whichever process gets it. It
// never goes back, also when processes or the server were killed meanwhile.
// A store that remembers the highest one it has seen of a key can refuse a process
// that was taken for dead and comes back late. 0 for what is not stored.
func (c *Call) Fence() uint64 {
	if c.delivery == nil {
		return 0
	}
	return c.delivery.Fence
}

// Stopping returns a channel that is closed when the App begins to stop. A handler that
// takes long can end early then, and return [HandBack] if its message is not done: its
// context ends only when the time to stop is over. The channel is nil, which is never
// closed, in an empty Call.
func (c *Call) Stopping() <-chan struct{} {
	switch {
	case c.at != nil:
		return c.at.in.stopping
	case c.via != nil:
		return c.via.in.stopping
	}
	return nil
}

// sendAgain makes a Call ready for another send, where middleware sends twice: what
// the first one has brought is no part of the second one's reply.
func (c *Call) sendAgain() {
	if c.left && c.reply != nil {
		reflect.ValueOf(c.reply).Elem().SetZero()
		c.replied = false
	}
	c.left = true
}

func deref(pointer any) any {
	if pointer == nil {
		return nil
	}
	return reflect.ValueOf(pointer).Elem().Interface()
}

// newID returns 128 random bits in hexadecimal digits, as the trace ids of W3C
// Trace Context are written.
func newID() string {
	var b [idLength]byte
	return string(appendID(b[:0]))
}

// newIDAnd returns a new id and the digits of a number, in one piece of memory.
func newIDAnd(n int64) (id, digits string) {
	var b [idLength + 20]byte
	text := string(strconv.AppendInt(appendID(b[:0]), n, 10))
	return text[:idLength], text[idLength:]
}

const idLength = 32

func appendID(b []byte) []byte {
	var bits [idLength / 2]byte
	binary.LittleEndian.PutUint64(bits[:], rand.Uint64())
	binary.LittleEndian.PutUint64(bits[8:], rand.Uint64())
	return hex.AppendEncode(b, bits[:])
}
