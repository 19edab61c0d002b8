package codec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
)

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// CheckType reports what encoding/json can never carry there and back: channels,
// functions, complex numbers, keys of maps that are neither string, integer nor
// text, interfaces with methods (which can be written but not read), structs of
// unexported fields only, a MarshalText without its UnmarshalText. A type that
// brings its own methods is believed for what they cover.
func (c jsonCodec) CheckType(t reflect.Type) error {
	if t == nil {
		return uncarriable(c.ContentType(), t, problem("it is no type"))
	}
	check := jsonTypes{seen: make(map[jsonVisit]bool)}
	if err := check.value(t, rootPath(t), writing|reading); err != nil {
		return uncarriable(c.ContentType(), t, err)
	}
	return nil
}

// directions are the ways a type must still be shown to go. A type's own
// MarshalJSON settles writing for all that it contains, UnmarshalJSON reading.
type directions uint8

const (
	writing directions = 1 << iota
	reading
)

type jsonVisit struct {
	t   reflect.Type
	way directions
}

// jsonTypes walks a type once.
type jsonTypes struct {
	seen map[jsonVisit]bool
}

func (c *jsonTypes) value(t reflect.Type, path string, way directions) error {
	switch {
	case t.Kind() == reflect.Pointer:
		return c.pointer(t, path, way)
	case t.Kind() == reflect.Interface:
		return jsonInterface(t, path, way)
	}
	if way == writing|reading {
		if err := jsonText(t, path); err != nil {
			return err
		}
	}
	way &^= jsonMethods(t)
	if way == 0 || c.seen[jsonVisit{t, way}] {
		return nil
	}
	c.seen[jsonVisit{t, way}] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf(`%s: %v has no encoding: leave the field out with the tag json:"-", or give its type MarshalJSON and UnmarshalJSON`, path, t)
	case reflect.Slice, reflect.Array:
		return c.value(t.Elem(), path+"[]", way)
	case reflect.Map:
		return c.mapping(t, path, way)
	case reflect.Struct:
		return c.structure(t, path, way)
	}
	return nil
}

func (c *jsonTypes) pointer(t reflect.Type, path string, way directions) error {
	if pointsToItself(t) {
		return fmt.Errorf("%s: %v is a pointer to itself: give it something to point to", path, t)
	}
	return c.value(t.Elem(), path, way)
}

// pointsToItself reports a type like "type P *P", which ends nowhere.
func pointsToItself(t reflect.Type) bool {
	seen := make(map[reflect.Type]bool)
	for ; t.Kind() == reflect.Pointer; t = t.Elem() {
		if seen[t] {
			return true
		}
		seen[t] = true
	}
	return false
}

func jsonInterface(t reflect.Type, path string, way directions) error {
	if t.NumMethod() == 0 || way&reading == 0 {
		return nil
	}
	return fmt.Errorf("%s: %v cannot be decoded, since nothing says which type it was: use a concrete type or any, or give the type that holds it UnmarshalJSON", path, t)
}

// jsonMethods returns the directions that the type's own methods cover.
func jsonMethods(t reflect.Type) (way directions) {
	if has(t, jsonMarshaler) || has(t, textMarshaler) {
		way |= writing
	}
	if has(t, jsonUnmarshaler) || has(t, textUnmarshaler) {
		way |= reading
	}
	return way
}

// jsonText reports a type that is text in one direction only. Strings, and bytes
// to be read, are text either way.
func jsonText(t reflect.Type, path string) error {
	way := jsonMethods(t)
	switch {
	case t.Kind() == reflect.String:
	case way == writing && !has(t, jsonMarshaler):
		return fmt.Errorf("%s: %v has MarshalText but no way to read that back: give it UnmarshalText", path, t)
	case way == reading && !has(t, jsonUnmarshaler) && !isBytes(t):
		return fmt.Errorf("%s: %v has UnmarshalText but is not written as text: give it MarshalText", path, t)
	}
	return nil
}

// has reports whether t or a pointer to it implements an interface.
func has(t, iface reflect.Type) bool {
	return t.Implements(iface) || reflect.PointerTo(t).Implements(iface)
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

func (c *jsonTypes) mapping(t reflect.Type, path string, way directions) error {
	key := t.Key()
	written := way&writing == 0 || isJSONKey(key) || key.Implements(textMarshaler)
	read := way&reading == 0 || isJSONKey(key) || reflect.PointerTo(key).Implements(textUnmarshaler)
	if !written || !read {
		return fmt.Errorf("%s: %v cannot be the key of a JSON object: use a string or an integer, or give it MarshalText (not on the pointer) and UnmarshalText", path, key)
	}
	return c.value(t.Elem(), path+"[]", way)
}

func isJSONKey(t reflect.Type) bool {
	return t.Kind() == reflect.String || reflect.Int <= t.Kind() && t.Kind() <= reflect.Uintptr
}

func (c *jsonTypes) structure(t reflect.Type, path string, way directions) error {
	fields := jsonFields{check: c, way: way, embedded: make(map[reflect.Type]bool)}
	if err := fields.add(t, path); err != nil {
		return err
	}
	if fields.sent == 0 && loses(t) {
		return nothingSent(t, path)
	}
	return nil
}

// loses reports a struct that holds something, all of it unexported. A field
// that is left out by its tag was left out on purpose.
func loses(t reflect.Type) bool {
	hidden := false
	for f := range t.Fields() {
		if f.IsExported() {
			return false
		}
		hidden = hidden || f.Name != "_"
	}
	return hidden
}

func nothingSent(t reflect.Type, path string) error {
	return fmt.Errorf("%s: %v has no exported fields, so nothing of it would be sent: export what is to be sent, or give it methods of its own", path, t)
}

// jsonFields collects the fields of a struct and of those embedded in it.
type jsonFields struct {
	check    *jsonTypes
	way      directions
	embedded map[reflect.Type]bool
	sent     int
}

func (s *jsonFields) add(t reflect.Type, path string) error {
	if s.embedded[t] {
		return nil
	}
	s.embedded[t] = true
	for f := range t.Fields() {
		if err := s.field(f, path+"."+f.Name); err != nil {
			return err
		}
	}
	return nil
}

func (s *jsonFields) field(f reflect.StructField, path string) error {
	tag := f.Tag.Get("json")
	inner := f.Type
	if inner.Kind() == reflect.Pointer && inner.Name() == "" {
		inner = inner.Elem()
	}
	embeds := f.Anonymous && inner.Kind() == reflect.Struct
	switch {
	case tag == "-", !f.IsExported() && !embeds:
		return nil
	case embeds && !f.IsExported() && f.Type.Kind() == reflect.Pointer && s.way&reading != 0:
		return unsettable(f.Type, path)
	case embeds && (!f.IsExported() || tag == "" || tag[0] == ','):
		return s.add(inner, path)
	}
	s.sent++
	return s.check.value(f.Type, path, s.way)
}

func unsettable(t reflect.Type, path string) error {
	return fmt.Errorf("%s: a decoder cannot set %v, an embedded pointer to an unexported struct: embed it by value", path, t)
}
