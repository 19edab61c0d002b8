package copier

import (
	"errors"
	"reflect"
	"strings"
)

// sent describes how a field is encoded.
type sent struct {
	yes                 bool
	inlined             bool
	omitEmpty, omitZero bool
	quoted              bool
}

// field relies on the codec's CheckType: no two fields have the same name, and each
// field that is sent can be set.
func (l *layout) field(f reflect.StructField) (sent, error) {
	if l.json {
		return jsonField(f)
	}
	return msgpackField(f)
}

var (
	errPointer = errors.New("an embedded pointer")
	errTag     = errors.New("an unusual tag")
	errMethods = errors.New("an embedded struct with encoding methods")
)

func jsonField(f reflect.StructField) (sent, error) {
	tag := f.Tag.Get("json")
	inner := f.Type
	if inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	embeds := f.Anonymous && inner.Kind() == reflect.Struct
	if tag == "-" || !f.IsExported() && !embeds {
		return sent{}, nil
	}
	name, options, _ := strings.Cut(tag, ",")
	s := sent{yes: true}
	for option := range strings.SplitSeq(options, ",") {
		s.omitEmpty = s.omitEmpty || option == "omitempty"
		s.omitZero = s.omitZero || option == "omitzero"
		s.quoted = s.quoted || option == "string"
	}
	switch {
	case embeds && name != "" && (!plain(name) || !f.IsExported()):
		return s, errTag
	case embeds && name == "" && f.Type.Kind() == reflect.Pointer:
		return s, errPointer
	case embeds && name == "":
		if (&compiler{json: true}).methods(inner) {
			return s, errMethods
		}
		s.inlined = true
	}
	return s, nil
}

// plain reports whether a name needs no special treatment.
func plain(name string) bool {
	for _, c := range []byte(name) {
		if c != '_' && c != '-' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return name != ""
}

func msgpackField(f reflect.StructField) (sent, error) {
	tag := f.Tag.Get("msgpack")
	if tag == "" {
		tag = f.Tag.Get("json")
	}
	name, options, _ := strings.Cut(tag, ",")
	s := sent{yes: true}
	switch {
	case f.Name == "_msgpack", name != "" && !plain(name):
		return s, errTag
	case name == "-", !f.IsExported() && !f.Anonymous:
		return sent{}, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			s.omitEmpty = true
		case "", "omitzero", "string":
		default:
			return s, errTag
		}
	}
	switch {
	case !f.Anonymous:
	case f.Type.Kind() == reflect.Pointer:
		return s, errPointer
	case f.Type.Kind() == reflect.Struct:
		if (&compiler{}).methods(f.Type) {
			return s, errMethods
		}
		s.inlined = true
	}
	return s, nil
}
