package redact

import (
	"reflect"
	"unsafe"
)

const (
	maxDepth = 32
	maxParts = 10_000
)

// walk copies the values of a record without their secrets.
type walk struct {
	r    *Redactor
	left int // number of parts that are still searched

	// Of one value:
	changed bool
	prints  bool     // a part of it prints itself
	public  []string // names of fields that a tag makes public
	path    []visit  // the pointers around the part
}

type visit struct {
	at unsafe.Pointer
	t  reflect.Type
}

// rewrite removes the secrets of a part. v is a copy that may be changed. A value behind a reference is copied
// first. hidden reports a part of a field that is not exported: fmt prints it without its methods.
func (w *walk) rewrite(v reflect.Value, hidden bool, depth int) {
	info := w.r.info(v.Type())
	switch {
	case info.secret:
		w.blank(v, verdict{})
		return
	case !info.holds:
		return
	case depth > maxDepth || w.left <= 0:
		w.cut(v)
		return
	}
	w.left--
	if !hidden {
		if info.logs {
			w.logValue(v, valuer(v), depth)
			return
		}
		w.prints = w.prints || info.prints
		if info.closed {
			return
		}
	}
	w.parts(v, info, hidden, depth)
}

// parts removes the secrets of what a part consists of.
func (w *walk) parts(v reflect.Value, info *typeInfo, hidden bool, depth int) {
	switch v.Kind() {
	case reflect.String:
		w.text(v)
	case reflect.Interface:
		w.iface(v, hidden, depth)
	case reflect.Pointer:
		if !hidden && !v.IsNil() {
			w.pointer(v, depth)
		}
	case reflect.Slice:
		if v.Len() > 0 {
			w.slice(v, hidden, depth)
		}
	case reflect.Array:
		for i := range v.Len() {
			w.rewrite(v.Index(i), hidden, depth+1)
		}
	case reflect.Map:
		if v.Len() > 0 {
			w.mapping(v, hidden, depth)
		}
	case reflect.Struct:
		w.fields(v, info, hidden, depth)
	}
}

func (w *walk) text(v reflect.Value) {
	s := v.String()
	if clean := w.r.text(s, 0); clean != s {
		v.SetString(clean)
		w.changed = true
	}
}

func (w *walk) iface(v reflect.Value, hidden bool, depth int) {
	if v.IsNil() {
		return
	}
	x := v.Elem()
	info := w.r.info(x.Type())
	switch {
	case info.secret:
		w.blank(v, verdict{})
		return
	case !info.holds:
		return
	}
	clean := reflect.New(x.Type()).Elem()
	clean.Set(x)
	if l := valuer(clean); l != nil && !hidden {
		w.logValue(v, l, depth)
		return
	}
	w.rewrite(clean, hidden, depth+1)
	v.Set(clean)
}

func (w *walk) pointer(v reflect.Value, depth int) {
	info := w.r.info(v.Type().Elem())
	switch {
	case info.logs:
		w.logValue(v, valuer(v.Elem()), depth)
		return
	case info.closed:
		w.prints = true
		return
	case !w.enter(v):
		return
	}
	clean := reflect.New(v.Type().Elem())
	w.copy(clean.Elem(), v.Elem())
	w.rewrite(clean.Elem(), false, depth+1)
	v.Set(clean)
	w.leave()
}

func (w *walk) slice(v reflect.Value, hidden bool, depth int) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		w.bytes(v)
		return
	}
	if !w.enter(v) {
		return
	}
	n := min(v.Len(), w.left)
	w.changed = w.changed || n < v.Len()
	clean := reflect.MakeSlice(v.Type(), n, n)
	for i := range n {
		w.copy(clean.Index(i), v.Index(i))
		w.rewrite(clean.Index(i), hidden, depth+1)
	}
	v.Set(clean)
	w.leave()
}

func (w *walk) bytes(v reflect.Value) {
	s := string(v.Bytes())
	clean := w.r.text(s, 0)
	if v.Type() == rawJSON && len(s) > maxText {
		clean = quote(truncated)
	}
	if clean != s {
		v.SetBytes([]byte(clean))
		w.changed = true
	}
}

func (w *walk) mapping(v reflect.Value, hidden bool, depth int) {
	if !w.enter(v) {
		return
	}
	clean := reflect.MakeMapWithSize(v.Type(), min(v.Len(), w.left))
	for entries := v.MapRange(); entries.Next(); {
		if w.left <= 0 {
			w.changed = true
			break
		}
		key, elem := entries.Key(), reflect.New(v.Type().Elem()).Elem()
		w.copy(elem, entries.Value())
		var of verdict
		if key.Kind() == reflect.String {
			of = w.r.name(key.String())
		}
		w.named(elem, of, hidden, depth)
		clean.SetMapIndex(key, elem)
	}
	v.Set(clean)
	w.leave()
}

func (w *walk) fields(v reflect.Value, info *typeInfo, hidden bool, depth int) {
	for i := range info.fields {
		f := &info.fields[i]
		if f.public != nil {
			w.public = append(w.public, f.public...)
		}
		if f.holds || f.verdict.secret {
			w.named(settable(v.Field(f.index)), f.verdict, hidden || f.hidden, depth)
		}
	}
}

// named removes the secrets of a part by the verdict on its name or tag.
func (w *walk) named(v reflect.Value, of verdict, hidden bool, depth int) {
	if of.secret && (of.certain || !isHarmless(v, of)) {
		w.blank(v, of)
		return
	}
	w.rewrite(v, hidden, depth+1)
}

// settable returns a field of a copy, as if it were exported.
func settable(f reflect.Value) reflect.Value {
	if f.CanSet() {
		return f
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}

// copy copies a part. Of a struct with a lock, which another goroutine may hold, it copies only
// the exported fields.
func (w *walk) copy(to, from reflect.Value) {
	info := w.r.info(to.Type())
	if !info.locks || !from.CanAddr() {
		to.Set(from)
		return
	}
	for i := range info.fields {
		if f := &info.fields[i]; !f.hidden {
			w.copy(settable(to.Field(f.index)), settable(from.Field(f.index)))
		}
	}
}

// enter adds a reference to the path. If it is there, the part is a cycle, which ends here.
func (w *walk) enter(v reflect.Value) bool {
	at := visit{v.UnsafePointer(), v.Type()}
	for _, p := range w.path {
		if p == at {
			w.cut(v)
			return false
		}
	}
	w.path = append(w.path, at)
	return true
}

func (w *walk) leave() { w.path = w.path[:len(w.path)-1] }
