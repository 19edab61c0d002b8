package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// locate adds the place of a value that a method of its type refused, that is not base64, or of an
// unknown field: encoding/json does not report it. It reads the message, which is well formed, once
// more.
func (e *Error) locate(data []byte) {
	defer func() { _ = recover() }() // a method that panicked may panic again
	s := jsonSearch{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	s.unknown, _ = e.Err.(unknownField)
	if place := s.value(e.Type); place != nil {
		e.Offset, e.Path = place.Offset, place.Path
	}
}

// jsonSearch looks for the first refused value. It ends at a value that does not have the form
// of its type.
type jsonSearch struct {
	data    []byte
	dec     *json.Decoder
	unknown unknownField // the name to look for, too
	over    bool
}

// value returns the place of a refused value within the next value, or nil.
func (s *jsonSearch) value(t reflect.Type) *Error {
	switch {
	case t.Kind() == reflect.Interface:
		s.skip()
		return nil
	case unmarshalJSON.of(t), unmarshalText.of(t), isBytes(t):
		return s.try(t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.value(t.Elem())
	case reflect.Slice, reflect.Array:
		return s.list(t.Elem())
	case reflect.Map:
		return s.object(func(string) (reflect.Type, string) { return t.Elem(), "" })
	case reflect.Struct:
		return s.object(func(name string) (reflect.Type, string) { return jsonFieldType(t, name, 0), name })
	}
	s.skip()
	return nil
}

func (s *jsonSearch) skip() json.RawMessage {
	var raw json.RawMessage
	s.over = s.over || s.dec.Decode(&raw) != nil
	return raw
}

// try decodes a value alone.
func (s *jsonSearch) try(t reflect.Type) (place *Error) {
	raw := s.skip()
	begin := s.dec.InputOffset() - int64(len(raw))
	defer func() {
		if recover() != nil {
			place = &Error{Offset: begin}
		}
	}()
	if s.over || json.Unmarshal(raw, reflect.New(t).Interface()) == nil {
		return nil
	}
	return &Error{Offset: begin}
}

// enter reads the beginning of a list or an object. null is neither.
func (s *jsonSearch) enter(delim json.Delim) bool {
	token, err := s.dec.Token()
	if err == nil && token == delim {
		return true
	}
	s.over = s.over || err != nil || token != nil
	return false
}

func (s *jsonSearch) more() bool { return !s.over && s.dec.More() }

// next returns the beginning of the next name of an object.
func (s *jsonSearch) next() int64 {
	at := s.dec.InputOffset()
	return at + int64(bytes.IndexByte(s.data[at:], '"'))
}

func (s *jsonSearch) leave() {
	_, err := s.dec.Token()
	s.over = s.over || err != nil
}

func (s *jsonSearch) list(elem reflect.Type) *Error {
	if !s.enter('[') {
		return nil
	}
	for i := 0; s.more(); i++ {
		if place := s.value(elem); place != nil {
			return place.under(fmt.Sprintf("[%d]", i))
		}
	}
	s.leave()
	return nil
}

// object reads an object. field returns the type of a member, and its name in a path. A member
// without a type is skipped.
func (s *jsonSearch) object(field func(name string) (reflect.Type, string)) *Error {
	if !s.enter('{') {
		return nil
	}
	for s.more() {
		begin := s.next()
		key, err := s.dec.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			s.over = true
			return nil
		}
		t, step := field(name)
		switch {
		case t == nil && name == string(s.unknown):
			return &Error{Offset: begin}
		case t == nil:
			s.skip()
			continue
		}
		if place := s.value(t); place != nil {
			return place.under(step)
		}
	}
	s.leave()
	return nil
}

// maxEmbedding bounds the search for a field in structs that embed one another.
const maxEmbedding = 10

// jsonFieldType returns the type of the field with a name in JSON, or nil if there is none.
func jsonFieldType(t reflect.Type, name string, depth int) reflect.Type {
	var alike reflect.Type
	var embedded []reflect.Type
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case f.Tag.Get("json") == "-":
		case f.Anonymous && tag == "" && inner.Kind() == reflect.Struct:
			embedded = append(embedded, inner)
		case !f.IsExported():
		case tag == name, tag == "" && f.Name == name:
			return f.Type
		case strings.EqualFold(tag, name), tag == "" && strings.EqualFold(f.Name, name):
			alike = f.Type
		}
	}
	if alike != nil || depth == maxEmbedding {
		return alike
	}
	for _, inner := range embedded {
		if found := jsonFieldType(inner, name, depth+1); found != nil {
			return found
		}
	}
	return nil
}
