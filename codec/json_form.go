package codec

import (
	"encoding/json"
	"reflect"

	"gomono.dev/internal/typeform"
)

var jsonNumberType = reflect.TypeFor[json.Number]()

// Form implements [typeform.Describer].
func (c jsonCodec) Form(t reflect.Type) (typeform.Form, error) {
	f := typeform.Form{Type: t}
	switch {
	case t == timeType:
		f.Kind = typeform.Time
	case t == jsonNumberType:
		f.Kind = typeform.Number
	case t.Kind() == reflect.Pointer:
		f.Kind, f.Elem = typeform.Pointer, t.Elem()
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		f.Kind = typeform.Any
	case marshalJSON.of(t), unmarshalJSON.of(t):
		f.Kind = typeform.Opaque
	case marshalText.of(t), unmarshalText.of(t):
		f.Kind = typeform.Text
	default:
		return f, c.describe(&f)
	}
	return f, nil
}

// Form implements [typeform.Describer].
func (c *jsonWith) Form(t reflect.Type) (typeform.Form, error) {
	f, err := c.jsonCodec.Form(t)
	if err != nil || f.Kind != typeform.Struct {
		return f, err
	}
	f.Strict = c.strict
	names, err := c.names(t)
	if err != nil {
		return f, uncarriable(c.ContentType(), t, err)
	}
	aliases := make(map[string][]string)
	for _, field := range names {
		aliases[field.name] = field.aliases
	}
	for i := range f.Fields {
		f.Fields[i].Aliases = aliases[f.Fields[i].Name]
	}
	return f, nil
}

// describe completes the form of a type without methods for encoding.
func (c jsonCodec) describe(f *typeform.Form) error {
	switch t := f.Type; t.Kind() {
	case reflect.Map:
		f.Kind, f.Key, f.Elem = typeform.Map, jsonKeyForm(t.Key()), t.Elem()
	case reflect.Struct:
		f.Kind = typeform.Struct
		return jsonStructForm(f)
	case reflect.Slice:
		f.Kind, f.Elem = typeform.Slice, t.Elem()
		if isBytes(t) && !jsonMethodSet.writes(t.Elem()) {
			f.Kind, f.Elem = typeform.Base64, nil
		}
	case reflect.Array:
		f.Kind, f.Elem, f.Len = typeform.Array, t.Elem(), t.Len()
	default:
		kind, ok := plainForms[t.Kind()]
		if !ok {
			return uncarriable(c.ContentType(), t, problem("it has no encoding"))
		}
		f.Kind = kind
		if kind == typeform.Int || kind == typeform.Uint || kind == typeform.Float {
			f.Bits = t.Bits()
		}
	}
	return nil
}

// plainForms are the kinds of values that both JSON and MessagePack encode as one item.
var plainForms = map[reflect.Kind]typeform.Kind{
	reflect.Bool: typeform.Bool, reflect.String: typeform.String,
	reflect.Int: typeform.Int, reflect.Int8: typeform.Int, reflect.Int16: typeform.Int, reflect.Int32: typeform.Int, reflect.Int64: typeform.Int,
	reflect.Uint: typeform.Uint, reflect.Uint8: typeform.Uint, reflect.Uint16: typeform.Uint, reflect.Uint32: typeform.Uint, reflect.Uint64: typeform.Uint,
	reflect.Uintptr: typeform.Uint, reflect.Float32: typeform.Float, reflect.Float64: typeform.Float,
}

// writes reports whether methods of a type or of a pointer to it write its values.
func (s *methodSet) writes(t reflect.Type) bool {
	return preferred(s.encode, reflect.PointerTo(t)) != nil
}

// jsonKeyForm describes the key of an object: a string is read by its UnmarshalText.
func jsonKeyForm(t reflect.Type) *typeform.Form {
	f := &typeform.Form{Type: t, Kind: typeform.String}
	switch {
	case t == timeType:
		f.Kind = typeform.Time
	case unmarshalText.of(t):
		f.Kind = typeform.Text
	case t.Kind() != reflect.String:
		f.Kind, f.Bits = plainForms[t.Kind()], t.Bits()
	}
	return f
}

// jsonStructForm lists the fields that CheckType finds.
func jsonStructForm(f *typeform.Form) error {
	check := &jsonTypes{seen: make(map[jsonVisit]bool)}
	fields := jsonFields{check: check, way: writing | reading, addressable: true, embedded: make(map[reflect.Type]bool), names: make(map[string]bool)}
	err := fields.add(f.Type, rootPath(f.Type))
	f.Fields = fields.list
	return err
}

// formOf describes a field that is not inlined. optional specifies that an embedded pointer
// leads to it.
func (tag *jsonTag) formOf(t reflect.Type, optional bool) typeform.Field {
	return typeform.Field{
		Name: tag.name, Type: t,
		Optional: optional || tag.omitZero || tag.omitEmpty && jsonCanBeEmpty(t),
		Quoted:   tag.quoted && jsonQuotable(indirect(t)),
	}
}

// jsonCanBeEmpty reports a type that the option omitempty affects.
func jsonCanBeEmpty(t reflect.Type) bool {
	return t.Kind() != reflect.Struct && (t.Kind() != reflect.Array || t.Len() == 0)
}
