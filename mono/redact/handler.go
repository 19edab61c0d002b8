package redact

import (
	"context"
	"log/slog"
)

// Handler returns a handler that passes records to h without their secrets: those in
// the message, the attributes, and the groups. A LogValue is called once, and h gets the result.
func (r *Redactor) Handler(h slog.Handler) slog.Handler { return &handler{r: r, next: h} }

type handler struct {
	r    *Redactor
	next slog.Handler
	of   verdict // on the groups around the attributes
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	w := walk{r: h.r, left: maxParts}
	message := h.r.text(rec.Message, 0)
	var attrs []slog.Attr // all of them, once one has changed
	i := 0
	rec.Attrs(func(a slog.Attr) bool {
		v, changed := h.value(&w, a)
		if changed && attrs == nil {
			attrs = make([]slog.Attr, 0, rec.NumAttrs())
			rec.Attrs(func(a slog.Attr) bool {
				attrs = append(attrs, a)
				return true
			})
		}
		if changed {
			attrs[i].Value = v
		}
		i++
		return true
	})
	if attrs != nil {
		rec = slog.NewRecord(rec.Time, rec.Level, message, rec.PC)
		rec.AddAttrs(attrs...)
	}
	rec.Message = message
	return h.next.Handle(ctx, rec)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	w := walk{r: h.r, left: maxParts}
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		v, _ := h.value(&w, a)
		clean[i] = slog.Attr{Key: a.Key, Value: v}
	}
	return &handler{h.r, h.next.WithAttrs(clean), h.of}
}

func (h *handler) WithGroup(name string) slog.Handler {
	of := h.of
	if v := h.r.name(name); v.secret {
		of = v
	}
	return &handler{h.r, h.next.WithGroup(name), of}
}

// value returns the value of an attribute without its secrets, and whether that is another value.
func (h *handler) value(w *walk, a slog.Attr) (slog.Value, bool) {
	of := h.r.name(a.Key)
	if !of.secret {
		of = h.of
	}
	return w.value(a.Value, of, 0)
}
