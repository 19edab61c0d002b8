package mono

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"time"

	"gomono.dev/transport"
)

// Call describes one message on one side, for its handler and for middleware. It
// belongs to the goroutine that runs the handler or the send: it must not be used
// concurrently, or kept.
type Call struct {
	decl     *declaration
	sender   string
	id       string
	header   transport.Header
	payload  any // pointer to the payload
	reply    any // pointer to the reply, nil if there is none
	size     int
	replied  bool       // reply holds a value
	handled  bool       // the handler was called, by middleware of the receiving side
	sentOnce bool       // it was sent, successfully or not
	whole    bool       // header holds the fields that mono sets
	encoded  bool       // request.reply has the value that the handler returned last
	local    *localCall // of a local call
	info     *CallInfo  // nil: none; on the receiving side it holds only the reply's headers

	// On the sending side.
	via     *sender
	sending *sendingCall // nil if nothing needs it

	// On the receiving side.
	at       *receiver
	message  *transport.Message  // nil for a local call
	delivery *transport.Delivery // nil if it was not stored
	around   context.Context     // of the handler: see within
	request  *inboundRequest     // of a request from the transport
	batch    *inbound            // a batch, nil for one message
}

// sendingCall is a Call of the sending side, with what that side needs.
type sendingCall struct {
	Call
	sent     *sendOptions
	out      *outbound // memory for the outgoing message, until it is used
	sequence uint64    // of what was stored
	returned int       // size of the reply
}

// Side is the side of a message that a Call describes.
type Side string

// The sides.
const (
	SideSender   Side = "sending"
	SideReceiver Side = "receiving"
)

// CallFrom returns the Call of the handler that received ctx. For another context it
// returns an empty Call, never nil.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}

type callKey struct{}

// Side returns the side of the Call.
func (c *Call) Side() Side {
	switch {
	case c.at != nil:
		return SideReceiver
	case c.via != nil:
		return SideSender
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

// Module returns the module that sends the message, or on the receiving side the one
// that handles it. It is "" for code outside any module.
func (c *Call) Module() string {
	switch {
	case c.at != nil:
		return c.at.unit.name
	case c.via != nil:
		return c.via.module
	}
	return ""
}

// Sender returns the module that sent the message, "" if it is unknown. It is unknown for a message
// of a plain client, of code outside modules, and for most events that are not Durable: see [Event].
func (c *Call) Sender() string { return c.sender }

// Group returns the group of the receiver, "" for none.
func (c *Call) Group() string {
	if c.at == nil {
		return ""
	}
	return c.at.group()
}

// ID returns the id of the message. It is the same on both sides, for all receivers, and
// for all attempts. A message that arrives without an id gets one of its own at each receiver: one
// of a plain client, most events that are not Durable (see [Event]), and a call without middleware
// on the side of its caller, where nothing can see an id. If it is stored, the id is derived from
// its position.
func (c *Call) ID() string {
	switch {
	case c.id != "" || c.decl == nil:
	case c.local != nil:
		return c.local.id()
	default:
		c.id = newID()
	}
	return c.id
}

// Header returns the first value of a header set by the sender, or "". A header of
// [Propagate] may be inherited.
func (c *Call) Header(name string) string {
	value := c.fields(name).Get(name)
	if c.decl == nil {
		return value
	}
	return c.propagated(name, value)
}

// HeaderValues returns all values of a header that its sender has set.
func (c *Call) HeaderValues(name string) []string { return c.fields(name).Values(name) }

// fields returns the header. To that of a call it adds the fields that mono sends over the
// transport and has left out, if name is one of them.
func (c *Call) fields(name string) transport.Header {
	if c.at == nil || c.whole || !ownField(name) {
		return c.header
	}
	c.whole = true
	switch {
	case c.local != nil:
		c.header = c.local.transportHeader(c)
	case c.request != nil && !c.header.Has(transport.HeaderID):
		c.header = append(slices.Clip(c.header), transport.Field{Name: transport.HeaderID, Value: c.ID()})
	}
	return c.header
}

// SetHeader sets a header. On the sending side it is sent with the message. On the
// receiving side later middleware and the handler see it. The rules of [Header] for
// names and values apply here too.
func (c *Call) SetHeader(name, value string) { c.header.Set(name, value) }

// DelHeader removes a header. Its effect is that of SetHeader.
func (c *Call) DelHeader(name string) {
	c.header = slices.Clone(c.header) // the receiver's message stays as it came
	c.header.Del(name)
}

// Payload returns the message as a Go value. On the receiving side it is decoded
// already. It belongs to the handler or the sender: the targets of its pointers, slices
// and maps must not be changed.
func (c *Call) Payload() any { return deref(c.payload) }

// Reply returns the reply of a service, with the rules of Payload. It is nil before
// there is a reply, after an error, and for other kinds.
func (c *Call) Reply() any {
	if !c.replied {
		return nil
	}
	return deref(c.reply)
}

// Size returns the size of the encoded payload in bytes, 0 on the sending side before
// it was sent. For a local call, Size encodes the payload.
func (c *Call) Size() int {
	if c.size == 0 && c.local != nil {
		body, _ := c.local.sender.codec.Marshal(c.payload) // no error: it was encoded, or copied as if
		c.size = len(body)
	}
	return c.size
}

// ReplySize returns the size of the encoded reply of a service in bytes, 0 as long as Reply
// is nil. For a local call, ReplySize encodes the reply.
func (c *Call) ReplySize() int {
	switch {
	case !c.replied:
		return 0
	case c.local != nil:
		body, _ := c.local.sender.codec.Marshal(c.reply) // the caller gets the error
		return len(body)
	case c.sending != nil:
		return c.sending.returned
	case c.request.encode(c) != nil: // the caller gets the error
		return 0
	}
	return len(c.request.reply.Body)
}

// Local reports whether the message is a local call.
func (c *Call) Local() bool { return c.local != nil || c.via != nil && c.via.local != nil }

// CallerContext returns the context with which a local call was made, on the receiving
// side. It is nil for other messages. Middleware finds values there that it would send in
// headers to another process, such as a trace. Nothing else should depend on it.
func (c *Call) CallerContext() context.Context {
	if c.at == nil || c.local == nil {
		return nil
	}
	return c.local.Parent()
}

// Count returns the number of messages that the Call describes: 1, or the size of a
// batch. The ID, the headers and other properties of a batch are those of its first
// message, and Size is the sum of their sizes.
func (c *Call) Count() int {
	if c.batch == nil {
		return 1
	}
	return len(c.batch.batch)
}

// Batch returns the Calls of the messages of a batch, in their order, and nothing for a
// message that HandleBatch does not receive.
func (c *Call) Batch() iter.Seq[*Call] {
	return func(yield func(*Call) bool) {
		if c.batch == nil {
			return
		}
		for _, m := range c.batch.batch {
			if !yield(&m.call) {
				return
			}
		}
	}
}

// Attempt returns the number of this attempt at the message, from 1. An attempt counts
// if its process died in the handler, and does not if its process handed the message
// back when it stopped. Attempt is 0 on the sending side and in an empty Call.
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
	switch {
	case c.delivery != nil:
		return c.delivery.Sequence
	case c.sending != nil:
		return c.sending.sequence
	}
	return 0
}

// Time returns when a stored message was stored, by the clock of the store. It is the
// zero time for other messages.
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

// Partition returns the partition of a message of a keyed stream, for a group that keeps
// the order of keys. It is -1 for other messages, and on the sending side.
func (c *Call) Partition() int {
	if c.message == nil || c.at.config.Unordered || c.decl.partitions() == 0 {
		return -1
	}
	return transport.PartitionOf(c.message.Subject, c.decl.partitions())
}

// FencingToken returns a number that grows with every delivery of a message of the same
// key (in an ordered group; otherwise with every delivery in the group), in whichever
// process. It does not decrease if processes or the server were killed in between, with
// the exceptions that docs/durability.md lists. A store can keep the highest token of each
// key and reject a lower one: it comes from a process that was considered dead and is late.
// The token of a message that is not stored is 0.
func (c *Call) FencingToken() uint64 {
	if c.delivery == nil {
		return 0
	}
	return c.delivery.FencingToken
}

// Stopping returns a channel that is closed when the App begins to stop. A long-running
// handler can end early then, and return [HandBack] if its message is not done: its
// context ends only when the time to stop has expired. Stopping returns nil, a channel that
// is never closed, for an empty Call.
func (c *Call) Stopping() <-chan struct{} {
	switch {
	case c.at != nil:
		return c.at.in.stopping
	case c.via != nil:
		return c.via.in.stopping
	}
	return nil
}

// sendAgain prepares a Call for another send by middleware: the reply of the first send
// is reset.
func (c *Call) sendAgain() {
	if c.sentOnce && c.reply != nil {
		reflect.ValueOf(c.reply).Elem().SetZero()
		c.replied = false
		c.info.setReply(nil)
	}
	c.sentOnce = true
}

func deref(pointer any) any {
	if pointer == nil {
		return nil
	}
	return reflect.ValueOf(pointer).Elem().Interface()
}

// newID returns 128 random bits as hexadecimal digits, the format of W3C Trace
// Context's trace ids.
func newID() string {
	var b [idLength]byte
	return string(appendID(b[:0]))
}

// newIDAnd returns a new id and the decimal digits of n, in one piece of memory.
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

// within returns the context of the Call's handler: ctx, plus the Call for CallFrom. It
// is the Call itself under another type. It is called once per Call.
func (c *Call) within(ctx context.Context) context.Context {
	c.around = ctx
	return (*callContext)(c)
}

type callContext Call

func (c *callContext) Deadline() (time.Time, bool) { return c.around.Deadline() }
func (c *callContext) Done() <-chan struct{}       { return c.around.Done() }
func (c *callContext) Err() error                  { return c.around.Err() }

func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return (*Call)(c)
	}
	return c.around.Value(key)
}
