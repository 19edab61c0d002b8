package requestid

import (
	"context"
	"log/slog"
)

// LogKey is the key of the attribute that LogHandler adds.
const LogKey = "request_id"

// LogHandler returns a handler that adds the request id to each record that is logged with a
// context, as by slog.InfoContext, if the context has one:
//
//	slog.SetDefault(slog.New(requestid.LogHandler(slog.NewJSONHandler(os.Stderr, nil))))
//
// The attribute is outside all groups.
func LogHandler(next slog.Handler) slog.Handler { return &logHandler{next: next} }

// logHandler opens groups for each record, after the id: an attribute that is added later would be
// inside them.
type logHandler struct {
	next slog.Handler                      // with the attributes before the first group
	then []func(slog.Handler) slog.Handler // the first group, and what follows it
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	next := h.next
	if id := From(ctx); id != "" {
		if len(h.then) == 0 {
			r = r.Clone()
			r.AddAttrs(slog.String(LogKey, id))
			return next.Handle(ctx, r)
		}
		next = next.WithAttrs([]slog.Attr{slog.String(LogKey, id)})
	}
	for _, then := range h.then {
		next = then(next)
	}
	return next.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(h.then) == 0 {
		return &logHandler{next: h.next.WithAttrs(attrs)}
	}
	return h.and(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.and(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *logHandler) and(then func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{next: h.next, then: append(h.then[:len(h.then):len(h.then)], then)}
}
