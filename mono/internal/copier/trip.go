package copier

import (
	"bytes"
	"reflect"
	"unsafe"

	"gomono.dev/codec"
)

// tripPart copies a part of a value by the codec's round trip, next to others that
// need none: what a codec writes for a value does not depend on where it is, but for
// how deep that is, for options in the tag of its field, and for methods of the
// pointer, which what is in a map does not have.
//
// Parts are used where there can be only one of it, so not within slices, arrays
// and maps, where one round trip of the whole is faster than many.
type tripPart struct {
	t                   reflect.Type
	codec               codec.Codec
	omitEmpty, omitZero bool
}

// maxTrips is how many parts of a type may take a round trip each, before the
// whole takes one.
const maxTrips = 4

// tripDepth bounds how deep such a part may nest: below what either codec refuses
// together with maxDepth.
const tripDepth = 400

func (p *tripPart) copy(dst, src unsafe.Pointer, _ int) bool {
	from := reflect.NewAt(p.t, src)
	if p.omitZero && from.Elem().IsZero() || p.omitEmpty && empty(from.Elem()) {
		return true
	}
	data, err := p.codec.Marshal(from.Interface())
	if err != nil || !p.shallow(data) {
		return false
	}
	return p.codec.Unmarshal(data, reflect.NewAt(p.t, dst).Interface()) == nil
}

func (p *tripPart) shallow(data []byte) bool {
	return len(data) <= tripDepth || p.codec == codec.JSON && bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) <= tripDepth
}

// empty reports what encoding/json leaves out by omitempty.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
