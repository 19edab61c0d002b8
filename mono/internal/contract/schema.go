package contract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gomono.dev/codec"
	"gomono.dev/internal/typeform"
)

// Schema is a JSON Schema, with the keywords that describe Go types: see the package
// documentation. Other keywords are ignored.
type Schema struct {
	Ref    string             `json:"$ref,omitempty"` // "#/$defs/" and a name in Defs of the root
	GoType string             `json:"x-go-type,omitempty"`
	Type   Types              `json:"type,omitempty"`
	Format string             `json:"format,omitempty"`
	Enum   []any              `json:"enum,omitempty"`
	AnyOf  []*Schema          `json:"anyOf,omitempty"` // a schema or null
	Not    *Schema            `json:"not,omitempty"`   // {"not": {}} allows nothing
	Defs   map[string]*Schema `json:"$defs,omitempty"`

	Minimum json.Number `json:"minimum,omitempty"`
	Maximum json.Number `json:"maximum,omitempty"`

	MinLength        *int    `json:"minLength,omitempty"`
	MaxLength        *int    `json:"maxLength,omitempty"`
	ContentEncoding  string  `json:"contentEncoding,omitempty"`
	ContentMediaType string  `json:"contentMediaType,omitempty"`
	ContentSchema    *Schema `json:"contentSchema,omitempty"`

	PrefixItems []*Schema `json:"prefixItems,omitempty"`
	Items       *Schema   `json:"items,omitempty"`
	MinItems    *int      `json:"minItems,omitempty"`
	MaxItems    *int      `json:"maxItems,omitempty"`

	Properties           map[string]*Schema `json:"properties,omitempty"`
	Required             []string           `json:"required,omitempty"`
	Order                []string           `json:"x-order,omitempty"`   // of Properties or PrefixItems in the struct
	Aliases              map[string]string  `json:"x-aliases,omitempty"` // name that is read too → property
	PropertyNames        *Schema            `json:"propertyNames,omitempty"`
	AdditionalProperties *Schema            `json:"additionalProperties,omitempty"`

	encoded json.RawMessage // of SchemaOf
}

// Encoded returns the JSON of a schema that SchemaOf has returned. It must not be changed.
func (s *Schema) Encoded() json.RawMessage { return s.encoded }

// Types are the types of the keyword "type": one as a string, several as an array.
type Types []string

// MarshalJSON implements [json.Marshaler].
func (t Types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Types) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = Types{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

const (
	typeNull    = "null"
	mediaJSON   = "application/json"
	mediaBinary = "application/octet-stream"
	defsPrefix  = "#/$defs/"
)

// schemas has a *Schema for each requested typeKey.
var schemas sync.Map

type typeKey struct {
	codec codec.Codec
	t     reflect.Type
}

// SchemaOf returns the schema of the values of t as c encodes them. It is nil if c cannot
// describe types, as codec.Raw and the codecs of users. The schema is shared: it must not be
// changed.
func SchemaOf(c codec.Codec, t reflect.Type) (*Schema, error) {
	describer, ok := c.(typeform.Describer)
	if !ok {
		return nil, nil
	}
	key, cached := typeKey{c, t}, reflect.TypeOf(c).Comparable()
	if cached {
		if known, ok := schemas.Load(key); ok {
			return known.(*Schema), nil
		}
	}
	if checker, ok := c.(codec.TypeChecker); ok {
		if err := checker.CheckType(t); err != nil {
			return nil, err
		}
	}
	b := builder{describer: describer, names: make(map[reflect.Type]string), defs: make(map[string]*Schema)}
	root, err := b.schema(t)
	if err != nil {
		return nil, err
	}
	if len(b.defs) > 0 {
		root.Defs = b.defs
	}
	if root.encoded, err = json.Marshal(root); err != nil {
		return nil, err
	}
	if cached {
		schemas.Store(key, root)
	}
	return root, nil
}

// builder makes the schema of one type.
type builder struct {
	describer typeform.Describer
	names     map[reflect.Type]string // of definitions
	defs      map[string]*Schema
}

// schema returns the schema of a type, which is a new one.
func (b *builder) schema(t reflect.Type) (*Schema, error) {
	if name, ok := b.names[t]; ok {
		return &Schema{Ref: defsPrefix + name}, nil
	}
	f, err := b.describer.Form(t)
	if err != nil {
		return nil, err
	}
	if !isDefinition(&f) {
		return b.ofForm(&f)
	}
	name := b.nameOf(t)
	b.names[t] = name
	if b.defs[name], err = b.ofForm(&f); err != nil {
		return nil, err
	}
	return &Schema{Ref: defsPrefix + name}, nil
}

// isDefinition reports a named type with parts, which may contain itself.
func isDefinition(f *typeform.Form) bool {
	switch f.Kind {
	case typeform.Pointer, typeform.Slice, typeform.Array, typeform.Map, typeform.Struct, typeform.Tuple:
		return f.Type.Name() != ""
	}
	return false
}

// nameOf returns the name of a definition: that of the type with its package, of the characters
// that need no escape in a reference, and a number if another type has it.
func (b *builder) nameOf(t reflect.Type) string {
	clean := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' {
			return r
		}
		return '_'
	}, t.String())
	name := clean
	for i := 2; b.taken(name); i++ {
		name = fmt.Sprintf("%s-%d", clean, i)
	}
	return name
}

func (b *builder) taken(name string) bool {
	for _, other := range b.names {
		if other == name {
			return true
		}
	}
	return false
}

// typeName returns the name of a type with the path of its package.
func typeName(t reflect.Type) string {
	if t.Name() == "" || t.PkgPath() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

func (b *builder) ofForm(f *typeform.Form) (*Schema, error) {
	switch f.Kind {
	case typeform.Pointer:
		return b.pointer(f)
	case typeform.Slice, typeform.Array:
		return b.sequence(f)
	case typeform.Map:
		return b.mapping(f)
	case typeform.Struct, typeform.Tuple:
		return b.fields(f)
	}
	return scalar(f), nil
}

// scalar returns the schema of a form without parts.
func scalar(f *typeform.Form) *Schema {
	switch f.Kind {
	case typeform.Any:
		return &Schema{}
	case typeform.Bool:
		return &Schema{Type: Types{"boolean"}}
	case typeform.Int:
		lowest := int64(-1) << (f.Bits - 1)
		return &Schema{Type: Types{"integer"}, Minimum: number(lowest), Maximum: number(-(lowest + 1))}
	case typeform.Uint:
		return &Schema{Type: Types{"integer"}, Minimum: "0", Maximum: number(^uint64(0) >> (64 - f.Bits))}
	case typeform.Float:
		return &Schema{Type: Types{"number"}, Format: map[int]string{32: "float", 64: "double"}[f.Bits]}
	case typeform.Number:
		return &Schema{Type: Types{"number"}}
	case typeform.String:
		return &Schema{Type: Types{"string"}}
	case typeform.Text:
		return &Schema{Type: Types{"string"}, GoType: typeName(f.Type)}
	case typeform.Binary:
		return &Schema{Type: Types{"string"}, GoType: typeName(f.Type), ContentMediaType: mediaBinary}
	case typeform.Error:
		return &Schema{Type: Types{"string", typeNull}}
	case typeform.Bytes:
		return &Schema{Type: Types{"string", typeNull}, ContentMediaType: mediaBinary}
	case typeform.Base64:
		return &Schema{Type: Types{"string", typeNull}, ContentEncoding: "base64"}
	case typeform.Time:
		return &Schema{Type: Types{"string"}, Format: "date-time"}
	case typeform.ByteArray:
		return &Schema{Type: Types{"string"}, ContentMediaType: mediaBinary, MinLength: &f.Len, MaxLength: &f.Len}
	}
	return &Schema{GoType: typeName(f.Type)}
}

func number(n any) json.Number { return json.Number(fmt.Sprint(n)) }

// pointer adds null to the schema of the target.
func (b *builder) pointer(f *typeform.Form) (*Schema, error) {
	s, err := b.schema(f.Elem)
	switch {
	case err != nil:
		return nil, err
	case len(s.AnyOf) > 0, s.isAny(), slices.Contains(s.Type, typeNull):
	case len(s.Type) > 0:
		s.Type = append(s.Type, typeNull)
	default:
		s = &Schema{AnyOf: []*Schema{s, {Type: Types{typeNull}}}}
	}
	return s, nil
}

func (b *builder) sequence(f *typeform.Form) (*Schema, error) {
	items, err := b.schema(f.Elem)
	if f.Kind == typeform.Array {
		return &Schema{Type: Types{"array"}, Items: items, MinItems: &f.Len, MaxItems: &f.Len}, err
	}
	return &Schema{Type: Types{"array", typeNull}, Items: items}, err
}

func (b *builder) mapping(f *typeform.Form) (*Schema, error) {
	elem, err := b.schema(f.Elem)
	if err != nil {
		return nil, err
	}
	s := &Schema{Type: Types{"object", typeNull}, AdditionalProperties: elem}
	if f.Key.Kind == typeform.String {
		return s, nil
	}
	key, err := b.ofForm(f.Key)
	if err == nil && !slices.Contains(key.Type, "string") {
		key = inString(key)
	}
	s.PropertyNames = key
	return s, err
}

// inString describes a string that contains the JSON of a value.
func inString(s *Schema) *Schema {
	return &Schema{Type: Types{"string"}, ContentMediaType: mediaJSON, ContentSchema: s}
}

func (b *builder) fields(f *typeform.Form) (*Schema, error) {
	s := &Schema{Type: Types{"object"}}
	n := len(f.Fields)
	if f.Kind == typeform.Tuple {
		s = &Schema{Type: Types{"array"}, MinItems: &n, MaxItems: &n}
	}
	if f.Strict {
		s.AdditionalProperties = &Schema{Not: &Schema{}}
	}
	for i := range f.Fields {
		field := &f.Fields[i]
		value, err := b.field(field)
		if err != nil {
			return nil, err
		}
		s.Order = append(s.Order, field.Name)
		if f.Kind == typeform.Tuple {
			s.PrefixItems = append(s.PrefixItems, value)
			continue
		}
		put(&s.Properties, field.Name, value)
		if !field.Optional {
			s.Required = append(s.Required, field.Name)
		}
		for _, alias := range field.Aliases {
			put(&s.Aliases, alias, field.Name)
		}
	}
	return s, nil
}

// field returns the schema of a field's value. Null is not quoted.
func (b *builder) field(f *typeform.Field) (*Schema, error) {
	s, err := b.schema(f.Type)
	if err != nil || !f.Quoted {
		return s, err
	}
	null := slices.Contains(s.Type, typeNull)
	s.Type = slices.DeleteFunc(s.Type, func(t string) bool { return t == typeNull })
	if s = inString(s); null {
		s.Type = append(s.Type, typeNull)
	}
	return s, nil
}

func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[key] = value
}

// isAny reports a schema of every value.
func (s *Schema) isAny() bool {
	return len(s.Type) == 0 && s.Ref == "" && s.GoType == "" && s.Not == nil && len(s.AnyOf) == 0 && len(s.Enum) == 0
}
