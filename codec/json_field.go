package codec

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"gomono.dev/internal/typeform"
)

// jsonFields collects the fields of a struct and of those embedded in it.
type jsonFields struct {
	check       *jsonTypes
	way         directions
	addressable bool
	embedded    map[reflect.Type]bool // the structs that the one at hand is embedded in
	names       map[string]bool
	optional    bool // behind an embedded pointer
	list        []typeform.Field
}

func (s *jsonFields) add(t reflect.Type, path string) error {
	if s.embedded[t] {
		return embedsItself(t, path)
	}
	s.embedded[t] = true
	defer delete(s.embedded, t)
	for f := range t.Fields() {
		if err := s.field(f, path+"."+f.Name); err != nil {
			return err
		}
	}
	return nil
}

func embedsItself(t reflect.Type, path string) error {
	return problemf("%s: %v embeds itself: make it a named field", path, t)
}

func (s *jsonFields) field(f reflect.StructField, path string) error {
	tag := parseJSONTag(f)
	embeds := f.Anonymous && indirect(f.Type).Kind() == reflect.Struct
	switch {
	case f.Tag.Get("json") == "-", !f.IsExported() && !embeds:
		return nil
	case embeds && tag.name == "":
		return s.inline(f, path)
	case !f.IsExported():
		if err := s.hidden(f, path); err != nil {
			return err
		}
	}
	if tag.name == "" {
		tag.name = f.Name
	}
	if s.names[tag.name] {
		return sameName(path, tag.name)
	}
	s.names[tag.name] = true
	s.list = append(s.list, tag.formOf(f.Type, s.optional))
	if err := s.options(f.Type, tag, path); err != nil {
		return err
	}
	return s.check.value(f.Type, path, s.way, jsonPlace{addressable: s.addressable})
}

// sameName reports two fields that cannot both be sent.
func sameName(path, name string) error {
	return problemf("%s: two fields are named %q: rename one by a tag, or make an embedded struct a named field", path, name)
}

// inline adds the fields of an embedded struct. Its methods are not used: if the outer struct
// had them, it would have no fields to add.
func (s *jsonFields) inline(f reflect.StructField, path string) error {
	inner := indirect(f.Type)
	if s.covered(inner) && hides(inner) {
		return problemf("%s: %v is embedded and its methods are not used, so its unexported fields would not be sent: make it a named field", path, inner)
	}
	pointer, before := f.Type.Kind() == reflect.Pointer, len(s.names)
	addressable, optional := s.addressable, s.optional
	s.addressable, s.optional = addressable || pointer, optional || pointer
	err := s.add(inner, path)
	s.addressable, s.optional = addressable, optional
	if err != nil {
		return err
	}
	if !f.IsExported() && pointer && s.way&reading != 0 && len(s.names) > before {
		return unsettable(f.Type, path)
	}
	return nil
}

// covered reports methods for a direction that the struct must still support.
func (s *jsonFields) covered(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return s.way&writing != 0 && preferred(jsonMethodSet.encode, p) != nil ||
		s.way&reading != 0 && preferred(jsonMethodSet.decode, p) != nil
}

func unsettable(t reflect.Type, path string) error {
	return fmt.Errorf("%s: a decoder cannot set %v, an embedded pointer to an unexported struct: embed it by value", path, t)
}

// hidden reports an unexported struct, embedded under a name, that encoding/json fails on.
func (s *jsonFields) hidden(f reflect.StructField, path string) error {
	switch {
	case f.Type.Kind() == reflect.Pointer && s.way&reading != 0:
		return unsettable(f.Type, path)
	case s.covered(indirect(f.Type)):
		return problemf("%s: encoding/json cannot call the methods of %v, which is embedded and unexported: make it a named field", path, f.Type)
	}
	return nil
}

// options reports options of a tag that lose the value.
func (s *jsonFields) options(t reflect.Type, tag jsonTag, path string) error {
	if tag.omitZero && s.way&writing != 0 {
		if err := jsonMethodSet.checkZero(t, path, "omitzero"); err != nil {
			return err
		}
	}
	inner := indirect(t)
	m := preferred(jsonMethodSet.encode, reflect.PointerTo(inner))
	if tag.quoted && m != nil && jsonQuotable(inner) && s.way == writing|reading {
		return problemf("%s: the option string cannot be read back, since %v has %s: leave it out", path, t, m.name)
	}
	return nil
}

// jsonQuotable reports a type that the option string affects.
func jsonQuotable(t reflect.Type) bool {
	k := t.Kind()
	return reflect.Bool <= k && k <= reflect.Float64 || k == reflect.String
}

// jsonTag is a struct tag as encoding/json reads it.
type jsonTag struct {
	name                        string
	omitEmpty, omitZero, quoted bool
}

func parseJSONTag(f reflect.StructField) (tag jsonTag) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	if isJSONName(name) {
		tag.name = name
	}
	for option := range strings.SplitSeq(options, ",") {
		tag.omitEmpty = tag.omitEmpty || option == "omitempty"
		tag.omitZero = tag.omitZero || option == "omitzero"
		tag.quoted = tag.quoted || option == "string"
	}
	return tag
}

// isJSONName reports a name that encoding/json takes from a tag. With another name in the tag,
// a field keeps its Go name.
func isJSONName(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return name != ""
}
