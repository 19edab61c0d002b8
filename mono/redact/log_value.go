package redact

import (
	"log/slog"
	"maps"
	"reflect"
)

// valuer returns the LogValuer that a part or its pointer is, or nil.
func valuer(v reflect.Value) slog.LogValuer {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	if l, ok := v.Interface().(slog.LogValuer); ok {
		return l
	}
	l, _ := v.Addr().Interface().(slog.LogValuer)
	return l
}

// logValue replaces a part by its LogValue.
func (w *walk) logValue(v reflect.Value, l slog.LogValuer, depth int) {
	n := walk{r: w.r, left: w.left}
	x, _ := n.value(slog.AnyValue(l), verdict{}, depth+1)
	w.left = n.left
	w.changed = true
	switch x := reflect.ValueOf(plain(x)); {
	case !x.IsValid():
		v.SetZero()
	case x.Type().AssignableTo(v.Type()):
		v.Set(x)
	case x.Kind() == reflect.String && v.Kind() == reflect.String:
		v.SetString(x.String())
	default:
		w.blank(v, verdict{})
	}
}

// plain returns a value for fmt and encoding/json. A group is a map.
func plain(v slog.Value) any {
	if v.Kind() != slog.KindGroup {
		return v.Any()
	}
	m := make(map[string]any)
	for _, a := range v.Group() {
		x := plain(a.Value)
		if inline, ok := x.(map[string]any); ok && a.Key == "" {
			maps.Copy(m, inline)
			continue
		}
		m[a.Key] = x
	}
	return m
}
