package redact

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
)

// value returns a value without its secrets, and whether that is another value. of is the
// verdict on its name.
func (w *walk) value(v slog.Value, of verdict, depth int) (slog.Value, bool) {
	switch v.Kind() {
	case slog.KindString:
		s := v.String()
		if of.secret {
			return slog.StringValue(of.mark(s)), true
		}
		clean := w.r.text(s, 0)
		return slog.StringValue(clean), clean != s
	case slog.KindBool, slog.KindDuration, slog.KindTime:
		return v, false
	case slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		if of.secret && !of.counted {
			return slog.StringValue(Mark), true
		}
		return v, false
	case slog.KindGroup:
		return w.group(v, of, depth)
	case slog.KindLogValuer:
		if depth > maxDepth {
			return slog.StringValue(truncated), true
		}
		v, _ = w.value(v.Resolve(), of, depth+1) // Resolve contains panics
		return v, true
	}
	return w.any(v, of, depth)
}

func (w *walk) group(v slog.Value, of verdict, depth int) (slog.Value, bool) {
	attrs := v.Group()
	switch w.left -= len(attrs); {
	case len(attrs) == 0:
		return v, false
	case of.secret:
		return slog.StringValue(Mark), true
	case depth > maxDepth || w.left < 0:
		return slog.StringValue(truncated), true
	}
	var clean []slog.Attr
	for i, a := range attrs {
		x, changed := w.value(a.Value, w.r.name(a.Key), depth+1)
		if changed && clean == nil {
			clean = append(make([]slog.Attr, 0, len(attrs)), attrs...)
		}
		if changed {
			clean[i].Value = x
		}
	}
	if clean == nil {
		return v, false
	}
	return slog.GroupValue(clean...), true
}

// any is value for a value of another type.
func (w *walk) any(v slog.Value, of verdict, depth int) (slog.Value, bool) {
	x := v.Any()
	if x == nil {
		return v, false
	}
	info := w.r.info(reflect.TypeOf(x))
	switch {
	case info.secret, of.secret && !isHarmless(reflect.ValueOf(x), of):
		return slog.StringValue(Mark), true
	case !info.holds:
		return v, false
	}
	switch x := x.(type) {
	case fmt.Formatter, json.Marshaler, encoding.TextMarshaler:
	case error:
		return w.error(v, x)
	}
	n := walk{r: w.r, left: w.left, path: w.path[:0]}
	clean := reflect.New(reflect.TypeOf(x)).Elem()
	clean.Set(reflect.ValueOf(x))
	if info.logs { // by its pointer
		x, _ := w.value(slog.AnyValue(valuer(clean)), of, depth+1)
		return x, true
	}
	n.rewrite(clean, false, depth)
	w.left, w.path = n.left, n.path
	switch {
	case n.prints:
		return n.printed(clean.Interface()), true
	case n.changed:
		return slog.AnyValue(clean.Interface()), true
	}
	return v, false
}

// error returns an error whose text has no secrets. It is the same one if it has none.
func (w *walk) error(v slog.Value, err error) (clean slog.Value, changed bool) {
	defer func() {
		if p := recover(); p != nil {
			clean, changed = v, false
			if x := reflect.ValueOf(err); x.Kind() != reflect.Pointer || !x.IsNil() { // handlers print nil
				clean, changed = slog.StringValue(w.r.text(fmt.Sprintf("!PANIC: %v", p), 0)), true
			}
		}
	}()
	s := err.Error()
	if text := w.r.text(s, 0); text != s {
		return slog.AnyValue(textError(text)), true
	}
	return v, false
}

// textError is the text of an error.
type textError string

func (e textError) Error() string { return string(e) }
