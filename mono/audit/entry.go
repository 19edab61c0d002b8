package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// MaxEntry is the maximum size of an entry, in bytes of JSON.
const MaxEntry = 1<<16 - 1

// Entry is one record: who did what, when and where. Its JSON is what the log stores and
// hashes.
type Entry struct {
	ID       string          `json:"id"` // unique; an entry that was recorded again has another one
	Time     time.Time       `json:"time"`
	Event    string          `json:"event"` // such as "order.refunded"
	Actor    string          `json:"actor,omitempty"`
	Module   string          `json:"module,omitempty"`
	Handle   string          `json:"handle,omitempty"`  // whose handler recorded it, such as "service orders.refund"
	Message  string          `json:"message,omitempty"` // the id of the message that was handled
	Instance string          `json:"instance,omitempty"`
	Details  json.RawMessage `json:"details,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"` // of the message: see [Body]
}

// newEntry completes an entry about the message that ctx handles, and returns its JSON.
func (t *Trail) newEntry(ctx context.Context, e Entry, details []slog.Attr) (data []byte, err error) {
	defer t.recovered("event \""+e.Event+"\"", &err)
	if e.Event == "" {
		return nil, t.errorf(transport.InvalidArgument, "an entry has no event: name what happened, as in \"order.refunded\"")
	}
	e.ID, e.Time, e.Instance = rand.Text(), time.Now().UTC(), t.instance()
	if call := mono.CallFrom(ctx); call.Handle() != nil && e.Handle == "" {
		e.Module, e.Handle, e.Message = call.Module(), nameOf(call.Handle()), call.ID()
	}
	if t.options.Actor != nil {
		e.Actor = t.options.Actor(ctx)
	}
	if len(details) > 0 {
		if e.Details, err = t.encodeDetails(details); err != nil {
			return nil, t.errorf(transport.InvalidArgument, "the details of event %q cannot be encoded as JSON: %w", e.Event, err)
		}
	}
	if data, err = encode(&e); err != nil {
		return nil, t.errorf(transport.InvalidArgument, "event %q cannot be encoded as JSON: %w", e.Event, err)
	}
	if len(data) > MaxEntry {
		return nil, t.errorf(transport.InvalidArgument, "event %q has %d bytes: an entry has at most %d, so store what is larger elsewhere, and record its digest", e.Event, len(data), MaxEntry)
	}
	return data, nil
}

// recovered is deferred around functions and values of others. It returns a panic as an error.
func (t *Trail) recovered(what string, err *error) {
	if v := recover(); v != nil {
		*err = t.errorf(transport.Internal, "%s: the Actor or Redact function, or a value, panicked: %v", what, v)
	}
}

// nameOf returns the kind and the name of a handle.
func nameOf(h mono.Handle) string { return string(h.Kind()) + " " + h.Name() }

// encodeDetails returns details as JSON, without secrets.
func (t *Trail) encodeDetails(details []slog.Attr) (json.RawMessage, error) {
	var value any = detailsOf(details)
	if t.options.Redact != nil {
		value = t.options.Redact(value)
	}
	return encode(value)
}

// detailsOf returns attributes as a value for encoding/json, which sorts the keys.
func detailsOf(attrs []slog.Attr) map[string]any {
	m := make(map[string]any, len(attrs))
	for _, a := range attrs {
		value := a.Value.Resolve()
		if value.Kind() != slog.KindGroup {
			m[a.Key] = detailOf(value)
			continue
		}
		group := detailsOf(value.Group())
		if a.Key != "" {
			m[a.Key] = group
			continue
		}
		for key, v := range group {
			m[key] = v
		}
	}
	return m
}

func detailOf(value slog.Value) any {
	switch v := value.Any().(type) {
	case error:
		return v.Error()
	case time.Duration:
		return v.String()
	default:
		return v
	}
}

// encode returns a value as JSON on one line.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
