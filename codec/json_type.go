package codec

import (
	"fmt"
	"reflect"
)

// jsonMethodSet are the methods of encoding/json.
var jsonMethodSet = &methodSet{
	encode:    []*method{marshalJSON, marshalText},
	decode:    []*method{unmarshalJSON, unmarshalText},
	pair:      "MarshalJSON and UnmarshalJSON",
	leavesOut: func(f reflect.StructField) bool { return f.Tag.Get("json") == "-" },
}

// CheckType reports the types that encoding/json cannot carry in both directions: see the
// package documentation.
func (c jsonCodec) CheckType(t reflect.Type) error {
	if t == nil {
		return uncarriable(c.ContentType(), t, problem("the type is nil"))
	}
	check := jsonTypes{seen: make(map[jsonVisit]bool)}
	root := jsonPlace{addressable: true, pointed: true}
	if err := check.value(t, rootPath(t), writing|reading, root); err != nil {
		return uncarriable(c.ContentType(), t, err)
	}
	return nil
}

// directions are the directions that a type must still support. A type's own MarshalJSON covers
// writing for everything within it, UnmarshalJSON reading.
type directions uint8

const (
	writing directions = 1 << iota
	reading
)

// jsonPlace is the place of a value. encoding/json calls methods of its pointer if the value is
// addressable, and in a map it is not. It calls methods for reading of a struct type without a
// name if a pointer leads to the value.
type jsonPlace struct {
	addressable, pointed bool
}

type jsonVisit struct {
	t   reflect.Type
	way directions
	at  jsonPlace
}

// jsonTypes walks a type once.
type jsonTypes struct {
	seen map[jsonVisit]bool
}

func (c *jsonTypes) value(t reflect.Type, path string, way directions, at jsonPlace) error {
	switch t.Kind() {
	case reflect.Pointer:
		return c.pointer(t, path, way)
	case reflect.Interface:
		return jsonInterface(t, path, way)
	}
	way, err := jsonUncovered(t, path, way, at)
	visit := jsonVisit{t, way, at}
	if err != nil || way == 0 || c.seen[visit] {
		return err
	}
	c.seen[visit] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf(`%s: %v has no encoding: leave the field out with the tag json:"-", or give its type MarshalJSON and UnmarshalJSON`, path, t)
	case reflect.Slice:
		return c.value(t.Elem(), path+"[]", way, jsonPlace{addressable: true})
	case reflect.Array:
		return c.value(t.Elem(), path+"[]", way, jsonPlace{addressable: at.addressable})
	case reflect.Map:
		return c.mapping(t, path, way)
	case reflect.Struct:
		return c.structure(t, path, way, at.addressable)
	}
	return nil
}

func (c *jsonTypes) pointer(t reflect.Type, path string, way directions) error {
	if pointsToItself(t) {
		return fmt.Errorf("%s: %v is a pointer to itself: give it something to point to", path, t)
	}
	return c.value(t.Elem(), path, way, jsonPlace{addressable: true, pointed: true})
}

// pointsToItself reports a type like "type P *P", which never ends.
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
	return fmt.Errorf("%s: %v cannot be decoded, since its type is not sent: use a concrete type or any, or give the type that holds it UnmarshalJSON", path, t)
}

// jsonUncovered returns the directions that the type's own methods do not cover.
func jsonUncovered(t reflect.Type, path string, way directions, at jsonPlace) (directions, error) {
	if way == writing|reading {
		if err := jsonText(t, path); err != nil {
			return way, err
		}
	}
	left := way
	if m := preferred(jsonMethodSet.encode, reflect.PointerTo(t)); m != nil && way&writing != 0 {
		left &^= writing
		if err := jsonWriter(m, t, path, at); err != nil {
			return way, err
		}
	}
	if m := preferred(jsonMethodSet.decode, reflect.PointerTo(t)); m != nil && way&reading != 0 {
		if t.Name() == "" && !at.pointed {
			return left, jsonUnnamed(m, t, path, left != way)
		}
		left &^= reading
		return left, jsonMethodSet.checkDecoder(m, t, path)
	}
	return left, nil
}

func jsonWriter(m *method, t reflect.Type, path string, at jsonPlace) error {
	if !at.addressable && preferred(jsonMethodSet.encode, t) != m {
		return fmt.Errorf("%s: %v has %s on its pointer, which a value held by a map does not have: hold *%[2]v, or declare %[3]s on the value", path, t, m.name)
	}
	return jsonMethodSet.checkEncoder(m, t, path)
}

// jsonUnnamed reports a struct without a name if a method of an embedded type writes it: it is
// read by its fields.
func jsonUnnamed(m *method, t reflect.Type, path string, written bool) error {
	f, ok := m.source(t)
	if !written || !ok {
		return nil
	}
	return fmt.Errorf("%s: %v is written by the methods of the embedded %v and read without them, since it has no name: declare it as a named type, or make %[3]v a named field", path, t, f.Type)
}

// jsonText reports a type that is text in one direction only. Strings, and bytes for reading,
// are text without a method.
func jsonText(t reflect.Type, path string) error {
	written := marshalJSON.of(t) || marshalText.of(t)
	read := unmarshalJSON.of(t) || unmarshalText.of(t)
	switch {
	case t.Kind() == reflect.String:
	case written && !read && !marshalJSON.of(t):
		return fmt.Errorf("%s: %v has MarshalText but no way to read that back: give it UnmarshalText", path, t)
	case read && !written && !unmarshalJSON.of(t) && !isBytes(t):
		return fmt.Errorf("%s: %v has UnmarshalText but is not written as text: give it MarshalText", path, t)
	}
	return nil
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

func (c *jsonTypes) mapping(t reflect.Type, path string, way directions) error {
	if err := jsonKey(t.Key(), path, way); err != nil {
		return err
	}
	return c.value(t.Elem(), path+"[]", way, jsonPlace{})
}

// jsonKey reports a type that cannot be the key of an object. A string is written unchanged,
// whatever its methods.
func jsonKey(t reflect.Type, path string, way directions) error {
	plain := t.Kind() == reflect.String || reflect.Int <= t.Kind() && t.Kind() <= reflect.Uintptr
	written := t.Kind() != reflect.String && t.Implements(marshalText.iface)
	read := reflect.PointerTo(t).Implements(unmarshalText.iface)
	switch {
	case way&writing != 0 && !written && !plain, way&reading != 0 && !read && !plain,
		way == writing|reading && written != read && t.Kind() != reflect.String:
		return fmt.Errorf("%s: %v cannot be the key of a JSON object: use a string or an integer, or give it MarshalText (not on the pointer) and UnmarshalText", path, t)
	}
	if written && way&writing != 0 {
		if err := jsonMethodSet.checkEncoder(marshalText, t, path+"[key]"); err != nil {
			return err
		}
	}
	if read && way&reading != 0 {
		return jsonMethodSet.checkDecoder(unmarshalText, t, path+"[key]")
	}
	return nil
}

func (c *jsonTypes) structure(t reflect.Type, path string, way directions, addressable bool) error {
	fields := jsonFields{check: c, way: way, addressable: addressable, embedded: make(map[reflect.Type]bool), names: make(map[string]bool)}
	if err := fields.add(t, path); err != nil {
		return err
	}
	if len(fields.names) == 0 && loses(t) {
		return nothingSent(t, path)
	}
	return nil
}

// loses reports a struct whose contents are all unexported. A field that is left out by its tag
// was left out on purpose.
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
	return fmt.Errorf("%s: %v has no exported fields, so nothing of it would be sent: export the fields to be sent, or give it methods for encoding", path, t)
}
