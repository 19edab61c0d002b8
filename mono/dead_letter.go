package mono

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// Reason is the reason why a message is a dead letter.
type Reason string

// The reasons.
const (
	ReasonAttempts       Reason = "attempts"        // the last attempt has failed
	ReasonPermanent      Reason = "permanent"       // its handler returned Permanent
	ReasonUndecodable    Reason = "undecodable"     // it cannot be decoded as its handle's type
	ReasonUnclaimed      Reason = "unclaimed"       // no group takes its key
	ReasonOutcomeUnknown Reason = "outcome_unknown" // the outcome of the last attempt is unknown
)

// DeadLetter is a message that a group has given up. It holds the message as it was
// sent, and the reason.
type DeadLetter[T any] struct {
	ID           string // of the message
	Group        string // the group that gave it up, "" if it is ReasonUnclaimed
	Key          string // if the handle is keyed
	Reason       Reason
	Code         Code      // of the error of the last attempt
	Error        string    // the error's text, cut after 1 KiB
	Attempts     int       // deliveries, including those too late to begin an attempt
	Sequence     uint64    // the position of the message in its log
	Stored       time.Time // when the message was stored
	DeadLettered time.Time // when the dead letter was stored, or edited
	Header       transport.Header
	Body         []byte // as it was sent

	codec    codec.Codec
	position uint64 // of the dead letter in its log
	subject  string // of the dead letter
}

// Value decodes the body. It fails for a message that is ReasonUndecodable, unless it
// was edited.
func (l *DeadLetter[T]) Value() (T, error) {
	var v T
	if l.codec == nil {
		return v, Errorf(FailedPrecondition, "the dead letter did not come from DeadLetters, so its codec is unknown: get it with List")
	}
	m := &transport.Message{Header: l.Header, Body: l.Body}
	if err := decodePayload(m, l.codec, &v); err != nil {
		return v, about("dead letter "+l.ID, err)
	}
	return v, nil
}

// deadLetterRoom is the number of bytes that a dead letter adds to its message at most,
// together with what the backend adds to either. A stored message leaves this room
// free, so that it can become a dead letter.
const deadLetterRoom = 4 << 10

// maxDeadLetterError bounds the text of the error in a dead letter, in encoded bytes. If
// there is no room for it, minDeadLetterError bytes are kept if possible.
const (
	maxDeadLetterError = 1 << 10
	minDeadLetterError = 64
)

// maxHeader bounds the header of a stored message, in bytes. It leaves room for what a
// dead letter adds.
const maxHeader = transport.MaxStoredHeader - deadLetterRoom

// newDeadLetter returns the dead letter of a delivery.
func (r *settler) newDeadLetter(c *Call, res result) *transport.Message {
	d, group, subject := c.delivery, r.group(), c.delivery.Subject
	if res.unclaimed != "" { // of all groups, so that it is stored once
		group, subject = "", r.in.names.keyed(r.decl, res.unclaimed)
	}
	m := &transport.Message{Subject: r.in.names.deadLetter(r.decl, group, strconv.FormatUint(d.Sequence, 10)), Body: d.Body}
	for _, f := range d.Header {
		if (transport.Header{f}).Validate() == nil { // a plain client may have sent a field that is invalid here
			m.Header.Add(f.Name, f.Value)
		}
	}
	m.Header.Set(transport.HeaderID, carried(c.ID()))
	m.Header.Set(transport.HeaderDeadLetterReason, string(res.reason))
	m.Header.Set(transport.HeaderDeadLetterGroup, group)
	m.Header.Set(transport.HeaderDeadLetterAttempts, strconv.Itoa(d.Attempt))
	m.Header.Set(transport.HeaderDeadLetterCode, transport.EncodeText(string(CodeOf(res.err)), 64))
	m.Header.Set(transport.HeaderDeadLetterError, transport.EncodeText(res.err.Error(), maxDeadLetterError))
	m.Header.Set(transport.HeaderDeadLetterSequence, strconv.FormatUint(d.Sequence, 10))
	m.Header.Set(transport.HeaderDeadLetterStored, d.Stored.Format(time.RFC3339Nano))
	m.Header.Set(transport.HeaderDeadLetterSubject, carried(subject))
	return m
}

// carried returns a text from a plain client in a form that a header can carry.
func carried(text string) string {
	if (transport.Header{{Name: transport.HeaderID, Value: text}}).Validate() == nil {
		return text
	}
	return transport.EncodeText(text, maxDeadLetterError)
}

// shortenDeadLetter removes a part of a dead letter that is too large to be stored, and
// reports whether there was one: three quarters of the error's text at a time, then the
// header of its message, which only a plain client can make so large, then the rest of
// the text.
func shortenDeadLetter(deadLetter *transport.Message) bool {
	text := deadLetter.Header.Get(transport.HeaderDeadLetterError)
	switch {
	case len(text) > minDeadLetterError:
		deadLetter.Header.Set(transport.HeaderDeadLetterError, cutText(text, max(len(text)/4, minDeadLetterError)))
	case slices.ContainsFunc(deadLetter.Header, foreignField):
		deadLetter.Header = slices.DeleteFunc(deadLetter.Header, foreignField)
	case text != "":
		deadLetter.Header.Del(transport.HeaderDeadLetterError)
	default:
		return false
	}
	return true
}

// foreignField reports whether a header field of a dead letter is neither mono's nor
// needed to decode its body.
func foreignField(f transport.Field) bool { return !ownField(f.Name) }

// decodeDeadLetter decodes a dead letter. It accepts any header: a field that cannot be
// decoded is left at its zero value.
func decodeDeadLetter[T any](k codec.Codec, d *transport.Delivery) DeadLetter[T] {
	l := DeadLetter[T]{
		ID:           d.Header.Get(transport.HeaderID),
		Group:        d.Header.Get(transport.HeaderDeadLetterGroup),
		Key:          keyOf(d.Header.Get(transport.HeaderDeadLetterSubject)),
		Reason:       Reason(d.Header.Get(transport.HeaderDeadLetterReason)),
		Code:         Code(transport.DecodeText(d.Header.Get(transport.HeaderDeadLetterCode))),
		Error:        transport.DecodeText(d.Header.Get(transport.HeaderDeadLetterError)),
		DeadLettered: d.Stored,
		Body:         d.Body,
		codec:        k, position: d.Sequence, subject: d.Subject,
	}
	l.Attempts, _ = strconv.Atoi(d.Header.Get(transport.HeaderDeadLetterAttempts))
	l.Sequence, _ = strconv.ParseUint(d.Header.Get(transport.HeaderDeadLetterSequence), 10, 64)
	l.Stored, _ = time.Parse(time.RFC3339Nano, d.Header.Get(transport.HeaderDeadLetterStored))
	for _, f := range d.Header {
		if !strings.HasPrefix(f.Name, "Mono-Dead-Letter-") {
			l.Header = append(l.Header, f)
		}
	}
	return l
}
