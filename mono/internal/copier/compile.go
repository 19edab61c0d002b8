package copier

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gomono.dev/codec"
)

// compile returns the plan for a type and a known codec.
func compile(t reflect.Type, k codec.Codec) *Plan {
	p := &Plan{t: t, pointer: reflect.PointerTo(t), codec: k}
	if checker, ok := k.(codec.TypeChecker); ok {
		if p.doubt = checker.CheckType(t); p.doubt != nil {
			return p
		}
	}
	if k == codec.Raw {
		p.root = &program{t: t, steps: []step{{do: actPart, part: rawPart{}}}}
		return p
	}
	c := &compiler{codec: k, json: codec.WithoutOptions(k) == codec.JSON, programs: make(map[purpose]*program)}
	p.root, p.doubt = c.program(t, true, place{whole: true})
	return p
}

// compiler compiles the programs of a plan: one for the type, and one for each type
// behind a pointer, slice or map.
type compiler struct {
	codec    codec.Codec
	json     bool // else MessagePack
	programs map[purpose]*program
	parts    int // number of parts left to the codec
}

// purpose is a type, with whether it is outside of slices, arrays and maps.
type purpose struct {
	t    reflect.Type
	once bool
}

// elem returns the program for the type behind a pointer, slice or map. once reports
// that a value contains it at most once.
func (c *compiler) elem(t reflect.Type, once bool) (*program, error) {
	if p := c.programs[purpose{t, true}]; p != nil && !p.made {
		once = false // the type contains itself
	}
	return c.program(t, once, place{})
}

func (c *compiler) program(t reflect.Type, once bool, at place) (*program, error) {
	of := purpose{t, once}
	if p := c.programs[of]; p != nil {
		return p, nil
	}
	p := &program{t: t}
	c.programs[of] = p
	l := &layout{compiler: c, once: once}
	if err := l.value(t, at); err != nil {
		delete(c.programs, of)
		return nil, err
	}
	p.made = true
	p.steps = l.steps
	p.bare = !pointers(t)
	p.bytes = p.bare && !l.gaps && (len(l.steps) == 0 || len(l.steps) == 1 && l.steps[0].do == actBytes)
	l.shorten()
	return p, nil
}

// pointers reports whether values of a type contain pointers.
func pointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() > 0 && pointers(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if pointers(f.Type) {
				return true
			}
		}
		return false
	}
	return t.Kind() > reflect.Complex128
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
	isZeroer   = reflect.TypeFor[interface{ IsZero() bool }]()

	textEncoder, textDecoder = reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()

	jsonMethods     = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](), textEncoder, textDecoder}
	msgpackEncoders = []reflect.Type{
		reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[encoding.BinaryMarshaler](), textEncoder,
	}
	msgpackDecoders = []reflect.Type{
		reflect.TypeFor[msgpack.CustomDecoder](), reflect.TypeFor[msgpack.Unmarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](), textDecoder,
	}
)

// methods reports whether a type, or a pointer to it, has methods for encoding.
// json.Number has none, but it has special rules.
func (c *compiler) methods(t reflect.Type) bool {
	switch {
	case t.Kind() == reflect.Pointer && t.Elem() == timeType:
		return false
	case t == numberType:
		return c.json
	case c.json:
		return implements(reflect.PointerTo(t), jsonMethods) || implements(t, jsonMethods)
	}
	return implements(reflect.PointerTo(t), msgpackEncoders) || implements(reflect.PointerTo(t), msgpackDecoders) ||
		implements(t, msgpackEncoders) || implements(t, msgpackDecoders)
}

func implements(t reflect.Type, any []reflect.Type) bool {
	return slices.ContainsFunc(any, t.Implements)
}
