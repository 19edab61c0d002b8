package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"

	"gomono.dev/mono"
	"gomono.dev/mono/redact"
	"gomono.dev/transport"
)

// Always records each message that is sent to a handle: calls, local ones included, jobs,
// events, and messages of streams.
//
//	var Refund = mono.NewService[Request, Reply]("orders.refund", audit.Always())
//
// The App that sends records it, if it has a Trail. Messages of other Apps and of plain clients
// have no entry. The entry "message.sent" has the actor,
// the module that sends, the handle, the id of the message, and the outcome: "success",
// "error" from the handler, "not done" or "unknown". An asynchronous append is a success if
// it was handed over. The entry is recorded after the send, without waiting. A log that
// cannot be written neither delays nor refuses a message, and the App logs the number of
// entries that are not stored.
//
// With Mandatory of [Options], the entry "message.sending" is stored before the message is
// sent. If it cannot be stored, the message is not sent: the sender gets the code of the log,
// and the outcome "not done". The entry "message.sent" follows, without waiting. If it is
// missing, the message may have been sent: the process was killed, or the entry could not be
// stored.
//
// The payload is not recorded, unless [Body] is given. Other handles cost nothing: their
// local calls stay direct.
func Always(opts ...AlwaysOption) mono.MessageOption {
	a := always{}
	for _, o := range opts {
		o(&a)
	}
	return mono.Annotate(alwaysKey, a)
}

// AlwaysOption is an option of Always.
type AlwaysOption func(*always)

// Body also records the payload of each message, as JSON, in its first entry. Secrets are
// removed by the Redact function of the Trail, or else by [redact.Value]. A payload of more
// than 32 KiB is replaced by its size and its SHA-256.
func Body() AlwaysOption { return func(a *always) { a.body = true } }

const alwaysKey = "gomono.dev/mono/audit.Always"

type always struct{ body bool }

// String returns the text that Describe shows.
func (a always) String() string {
	if a.body {
		return "sends, with their payloads"
	}
	return "sends"
}

// isAlways reports whether the sends to a handle are recorded.
func isAlways(h mono.Handle) bool { return mono.AnnotationOf(h, alwaysKey) != nil }

// Events of messages to handles with Always.
const (
	eventSending = "message.sending"
	eventSent    = "message.sent"
)

// send sends a message to a handle with Always, and records it.
func (t *Trail) send(ctx context.Context, c *mono.Call, next mono.Next) (err error) {
	is, _ := c.Annotation(alwaysKey).(always)
	entry := Entry{Module: c.Module(), Handle: nameOf(c.Handle()), Message: c.ID()}
	if t.options.Mandatory {
		if err := t.recordSending(ctx, entry, c, is); err != nil {
			return transport.Errorf(transport.CodeOf(err), transport.OutcomeNotDone, "%s: not sent, because its entry cannot be stored: %w", entry.Handle, err)
		}
		is.body = false
	}
	err = notReturned
	defer func() { t.recordSent(ctx, entry, c, is, err) }()
	return next(ctx, c)
}

// notReturned is the error of a send that panicked, or whose goroutine was ended.
var notReturned error = transport.Errorf(transport.Internal, transport.OutcomeUnknown, "the send did not return")

// recordSending stores the entry of a message that is about to be sent.
func (t *Trail) recordSending(ctx context.Context, e Entry, c *mono.Call, is always) (err error) {
	e.Event = eventSending
	if is.body {
		if e.Body, err = t.encodeBody(c.Payload()); err != nil {
			return err
		}
	}
	return t.record(ctx, e, nil)
}

// recordSent records a message that was sent, with the error of the send.
func (t *Trail) recordSent(ctx context.Context, e Entry, c *mono.Call, is always, sendErr error) {
	e.Event = eventSent
	details := []slog.Attr{slog.String("outcome", outcomeOf(sendErr))}
	if sendErr != nil {
		details = append(details, slog.String("code", string(mono.CodeOf(sendErr))), slog.String("error", cut(sendErr.Error())))
	}
	var err error
	if is.body {
		e.Body, err = t.encodeBody(c.Payload())
	}
	if err == nil {
		err = t.recordAsync(ctx, e, details)
	}
	t.missed(e.Event, err)
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "success"
	case mono.IsHandlerError(err):
		return "error"
	}
	return mono.OutcomeOf(err).String()
}

// Limits of the parts of an entry, in bytes.
const (
	maxBody  = 32 << 10
	maxError = 1 << 10
)

func cut(s string) string {
	if len(s) > maxError {
		return s[:maxError] + "…"
	}
	return s
}

// encodeBody returns a payload as JSON, without secrets.
func (t *Trail) encodeBody(payload any) (data json.RawMessage, err error) {
	defer t.recovered("a payload", &err)
	remove := t.options.Redact
	if remove == nil {
		remove = redact.Value
	}
	v := remove(map[string]any{"body": payload})
	if m, ok := v.(map[string]any); ok {
		v = m["body"]
	}
	if data, err = encode(v); err != nil {
		return nil, t.errorf(transport.InvalidArgument, "a payload cannot be encoded as JSON: %w", err)
	}
	if len(data) > maxBody {
		sum := sha256.Sum256(data)
		return encode(map[string]any{"size": len(data), "sha256": hex.EncodeToString(sum[:])})
	}
	return data, nil
}
