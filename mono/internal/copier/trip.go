package copier

import (
	"bytes"
	"reflect"
	"unsafe"

	"gomono.dev/codec"
)

// tripPart copies a part of a value by the codec's round trip, next to parts that need
// none. The encoding of a value does not depend on its place, except for its depth,
// options in the tag of its field, and methods of its pointer, which the elements of a
// map do not have.
//
// tripPart is used for parts that exist at most once in a value, so not within slices,
// arrays and maps: there one round trip of the whole value is faster than many.
type tripPart struct {
	t                   reflect.Type
	codec               codec.Codec
	omitEmpty, omitZero bool
}

// maxTrips is the number of parts of a type that may take a round trip each, before the
// whole value takes one.
const maxTrips = 4

// tripDepth bounds the depth of such a part. Together with maxDepth it is less than
// either codec allows.
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
	return len(data) <= tripDepth || codec.WithoutOptions(p.codec) == codec.JSON && bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) <= tripDepth
}

// empty reports whether encoding/json omits a value with omitempty.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
