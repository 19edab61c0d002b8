package redact

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"
)

// typeInfo is what a Redactor knows of a type. It is found once.
type typeInfo struct {
	holds  bool // a value can hold a secret, or print one
	secret bool // by Type
	prints bool // it has methods that fmt or encoding/json print it with
	logs   bool // it has LogValue
	closed bool // its methods alone print it, and its fields are not secrets by themselves
	locks  bool // it has a lock, so it must not be copied
	fields []field
}

// field is a field of a struct.
type field struct {
	index   int
	verdict verdict
	public  []string // its names, if a tag makes it public
	hidden  bool     // it is not printed by encoding/json, nor its pointers by fmt
	holds   bool
}

var (
	logValuer  = reflect.TypeFor[slog.LogValuer]()
	locker     = reflect.TypeFor[sync.Locker]()
	rawJSON    = reflect.TypeFor[json.RawMessage]()
	numberType = reflect.TypeFor[json.Number]()
	timeType   = reflect.TypeFor[time.Time]()
	spanType   = reflect.TypeFor[time.Duration]()

	textPrinters = []reflect.Type{reflect.TypeFor[error](), reflect.TypeFor[fmt.Stringer](), reflect.TypeFor[fmt.Formatter]()}
	jsonPrinters = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()}
)

func (r *Redactor) info(t reflect.Type) *typeInfo {
	if i, ok := r.types.Load(t); ok {
		return i.(*typeInfo)
	}
	i, _ := r.types.LoadOrStore(t, r.examine(t))
	return i.(*typeInfo)
}

func (r *Redactor) examine(t reflect.Type) *typeInfo {
	i := &typeInfo{
		holds:  r.holds(t, make(map[reflect.Type]bool)),
		secret: r.isSecret(t),
		logs:   isValue(t) && implements(t, logValuer),
	}
	if t == timeType || t == spanType || t == rawJSON || !isValue(t) {
		return i
	}
	text := implements(t, textPrinters...)
	i.prints = text || implements(t, jsonPrinters...)
	i.locks = locks(t)
	if t.Kind() != reflect.Struct {
		return i
	}
	i.closed = text
	for f := range t.Fields() {
		x := r.field(f)
		x.holds = r.holds(f.Type, make(map[reflect.Type]bool))
		i.fields = append(i.fields, x)
		i.closed = i.closed && !f.IsExported() && !x.verdict.secret
	}
	i.closed = i.closed || i.locks && i.prints
	return i
}

// isValue reports a type whose methods are those of its values: neither a pointer nor an interface.
func isValue(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface
}

// implements reports whether a type, or a pointer to it, implements one of the interfaces.
func implements(t reflect.Type, interfaces ...reflect.Type) bool {
	for _, i := range interfaces {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

// isSecret reports whether Type makes a type a secret.
func (r *Redactor) isSecret(t reflect.Type) bool {
	for _, s := range r.secret {
		if t == s || s.Kind() == reflect.Interface && t.Kind() != reflect.Interface && implements(t, s) {
			return true
		}
	}
	return len(r.secret) > 0 && t.Kind() == reflect.Pointer && r.isSecret(t.Elem())
}

// holds reports whether a value of a type can hold a secret: it has a text, an interface, a field with
// the name of a secret, or a method that prints it. seen has the types that were examined.
func (r *Redactor) holds(t reflect.Type, seen map[reflect.Type]bool) bool {
	switch {
	case seen[t] || t == timeType || t == spanType:
		return r.isSecret(t)
	case r.isSecret(t):
		return true
	case isValue(t) && (implements(t, logValuer) || implements(t, textPrinters...) || implements(t, jsonPrinters...)):
		return true
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.String, reflect.Interface:
		return true
	case reflect.Slice, reflect.Array:
		return t.Elem().Kind() == reflect.Uint8 && t.Kind() == reflect.Slice || r.holds(t.Elem(), seen)
	case reflect.Pointer:
		return r.holds(t.Elem(), seen)
	case reflect.Map:
		return r.holds(t.Key(), seen) || r.holds(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			x := r.field(f)
			if x.verdict.secret && (x.verdict.certain || isSecretKind(f.Type)) || r.holds(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// isSecretKind reports a type whose values can be secrets by their name.
func isSecretKind(t reflect.Type) bool {
	if t == timeType || t == spanType {
		return false
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return isSecretKind(t.Elem())
	}
	return true
}

// field returns the properties of a field by its tags and names.
func (r *Redactor) field(f reflect.StructField) field {
	x := field{index: f.Index[0], hidden: !f.IsExported() && !f.Anonymous}
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch tag, ok := f.Tag.Lookup("redact"); {
	case ok && tag == "public":
		x.public = []string{f.Name, key}
	case ok:
		x.verdict = verdict{secret: true, certain: true, last4: tag == "last4"}
	case f.Anonymous && elem(f.Type).Kind() == reflect.Struct:
		// its fields are judged, not the name of its type
	default:
		x.verdict = r.name(f.Name)
		if !x.verdict.secret {
			x.verdict = r.name(key)
		}
	}
	return x
}

func elem(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// locks reports whether a type has a lock in itself.
func locks(t reflect.Type) bool {
	if !isValue(t) {
		return false
	}
	if reflect.PointerTo(t).Implements(locker) {
		return true
	}
	switch t.Kind() {
	case reflect.Array:
		return locks(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if locks(f.Type) {
				return true
			}
		}
	}
	return false
}
