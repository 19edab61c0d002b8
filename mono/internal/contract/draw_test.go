package contract_test

import (
	"encoding/json"
	"flag"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/contract"
)

var pairsToDraw = flag.Int("contract.pairs", 400, "the number of pairs of types that TestDrawnTypesAgreeWithTheCodec draws for each codec")

// The classification of two types is what the codec does with their values.
func TestDrawnTypesAgreeWithTheCodec(t *testing.T) {
	t.Parallel()
	const perCheck = 100
	for _, c := range []codec.Codec{codec.JSON, codec.MessagePack} {
		t.Run(c.ContentType(), func(t *testing.T) {
			t.Parallel()
			for drawn := 0; drawn < *pairsToDraw; drawn += perCheck {
				rapid.Check(t, func(t *rapid.T) {
					sent := drawStruct(t, 3)
					agrees(t, c, sent, mutate(t, sent))
				})
			}
		})
	}
}

func agrees(t *rapid.T, c codec.Codec, sent, read reflect.Type) {
	for _, of := range []reflect.Type{sent, read} {
		if c.(codec.TypeChecker).CheckType(of) != nil {
			return
		}
	}
	is, unknown, texts := classify(t, c, sent, read)
	really, why := reality(t, c, sent, read)
	switch {
	case unknown && (is != contract.Broken || really == contract.Broken):
	case is != really:
		t.Fatalf("%v\ninto %v\nis %v %q\nand really %v: %s", sent, read, is, texts, really, why)
	}
}

type (
	Base  struct{ ID int32 }
	Wider struct{ ID int64 }
)

var (
	leaves = []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[int](),
		reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
		reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[[2]byte](), reflect.TypeFor[[3]byte](), reflect.TypeFor[any](), reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](),
		reflect.TypeFor[netip.Addr](), reflect.TypeFor[Level](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[json.Number](),
	}
	keys       = []reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[string](), reflect.TypeFor[int8](), reflect.TypeFor[int64](), reflect.TypeFor[uint16](), reflect.TypeFor[netip.Addr]()}
	embeddable = []reflect.Type{reflect.TypeFor[Base](), reflect.TypeFor[*Base](), reflect.TypeFor[Wider](), reflect.TypeFor[*Wider]()}
	fieldNames = []string{"A", "B", "C", "Z", "X", "a", "ID", "otherA", "otherB", "otherC", "otherZ"}
	tags       = []string{"", "", "", `json:",omitempty"`, `json:",string"`, `json:"X"`, `json:"a"`, `json:"X,omitempty"`, `json:",omitzero"`}
)

func drawType(t *rapid.T, depth int) reflect.Type {
	if depth == 0 {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		return reflect.SliceOf(drawType(t, depth-1))
	case 1:
		return reflect.ArrayOf(rapid.IntRange(1, 2).Draw(t, "len"), drawType(t, depth-1))
	case 2:
		return reflect.MapOf(rapid.SampledFrom(keys).Draw(t, "key"), drawType(t, depth-1))
	case 3:
		return pointerTo(drawType(t, depth-1))
	case 4:
		return drawStruct(t, depth-1)
	}
	return rapid.SampledFrom(leaves).Draw(t, "leaf")
}

// pointerTo returns a pointer to a type that has no nil itself: a pointer to nil arrives as nil.
func pointerTo(t reflect.Type) reflect.Type {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return t
	}
	return reflect.PointerTo(t)
}

func drawStruct(t *rapid.T, depth int) reflect.Type {
	var fields []reflect.StructField
	if rapid.IntRange(0, 3).Draw(t, "embeds") == 0 {
		of := rapid.SampledFrom(embeddable).Draw(t, "embedded")
		fields = append(fields, embed(of))
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "fields") {
		fields = append(fields, drawField(t, fieldNames[i], depth))
	}
	return structOf(fields)
}

func embed(of reflect.Type) reflect.StructField {
	name := of.Name()
	if of.Kind() == reflect.Pointer {
		name = of.Elem().Name()
	}
	return reflect.StructField{Name: name, Type: of, Anonymous: true}
}

func drawField(t *rapid.T, name string, depth int) reflect.StructField {
	tag := rapid.SampledFrom(tags).Draw(t, "tag")
	of := drawType(t, depth)
	return reflect.StructField{Name: name, Type: of, Tag: reflect.StructTag(tag)}
}

// structOf makes a struct type, and renames fields whose names differ in their case only, and
// the tags with the same name.
func structOf(fields []reflect.StructField) reflect.Type {
	taken := make(map[string]bool)
	for i := range fields {
		f := &fields[i]
		f.Offset, f.Index = 0, nil
		name := f.Name
		switch string(f.Tag) {
		case `json:"a"`:
			name = "A"
		case `json:"X"`, `json:"X,omitempty"`:
			name = "X"
		}
		if taken[name] {
			f.Tag, name = "", f.Name
		}
		if taken[name] {
			f.Tag, name = reflect.StructTag(`json:"other`+f.Name+`"`), "other"+f.Name
		}
		taken[name] = true
	}
	return reflect.StructOf(fields)
}

// mutate returns a type that is like another one.
func mutate(t *rapid.T, of reflect.Type) reflect.Type {
	if of.Name() != "" {
		if rapid.IntRange(0, 4).Draw(t, "replace") == 0 {
			return drawType(t, 1)
		}
		return of
	}
	if rapid.IntRange(0, 15).Draw(t, "replace all") == 0 {
		return drawType(t, 2)
	}
	switch of.Kind() {
	case reflect.Pointer:
		if rapid.IntRange(0, 3).Draw(t, "value") == 0 {
			return of.Elem()
		}
		return pointerTo(mutate(t, of.Elem()))
	case reflect.Slice:
		return reflect.SliceOf(mutate(t, of.Elem()))
	case reflect.Array:
		return reflect.ArrayOf(rapid.IntRange(1, 3).Draw(t, "len"), mutate(t, of.Elem()))
	case reflect.Map:
		key := of.Key()
		if rapid.IntRange(0, 4).Draw(t, "other key") == 0 {
			key = rapid.SampledFrom(keys).Draw(t, "key")
		}
		return reflect.MapOf(key, mutate(t, of.Elem()))
	case reflect.Struct:
		return mutateStruct(t, of)
	}
	return of
}

func mutateStruct(t *rapid.T, of reflect.Type) reflect.Type {
	var fields []reflect.StructField
	for f := range of.Fields() {
		switch rapid.IntRange(0, 12).Draw(t, "change") {
		case 0:
			continue
		case 1:
			if !f.Anonymous {
				f.Tag = reflect.StructTag(rapid.SampledFrom(tags).Draw(t, "tag"))
			}
		case 2:
			if f.Anonymous {
				f = embed(rapid.SampledFrom(embeddable).Draw(t, "embedded"))
			}
		case 3:
			if !f.Anonymous {
				f.Type = pointerTo(f.Type)
			}
		}
		if !f.Anonymous {
			f.Type = mutate(t, f.Type)
		}
		fields = append(fields, f)
	}
	if len(fields) == 0 || rapid.IntRange(0, 4).Draw(t, "add") == 0 {
		fields = append(fields, drawField(t, "Z", 1))
	}
	return structOf(fields)
}
