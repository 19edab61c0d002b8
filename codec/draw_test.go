package codec_test

import (
	"flag"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/codec"
)

var typesToDraw = flag.Int("codec.types", 400, "the number of types that TestDrawnTypesArriveOrAreRefused draws for each codec")

// All values of an accepted type arrive, and some value of a refused type does
// not. Drawn values have zeros in interfaces only, and neither empty slices nor
// empty maps: omitted, they arrive as nil.
func TestDrawnTypesArriveOrAreRefused(t *testing.T) {
	t.Parallel()
	const perCheck = 100
	for _, c := range textCodecs() {
		t.Run(c.ContentType(), func(t *testing.T) {
			t.Parallel()
			for drawn := 0; drawn < *typesToDraw; drawn += perCheck {
				rapid.Check(t, func(t *rapid.T) { arrivesOrIsRefused(t, c, drawStruct(t, 3)) })
			}
		})
	}
}

func arrivesOrIsRefused(t *rapid.T, c codec.Codec, of reflect.Type) {
	refusal := c.(codec.TypeChecker).CheckType(of)
	marshal, unmarshal := roundTripOf(c, refusal != nil)
	const values = 20
	for range values {
		v := reflect.New(of)
		fill(t, c, v.Elem())
		wrong := roundTrip(marshal, unmarshal, v.Interface())
		switch {
		case wrong != "" && refusal == nil:
			t.Fatalf("%v is accepted: %s", of, wrong)
		case wrong != "":
			return
		}
	}
	if refusal != nil {
		t.Fatalf("all values of a refused type arrive: %v", refusal)
	}
}

var (
	ends = []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int8](), reflect.TypeFor[uint64](), reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
		reflect.TypeFor[any](), reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[big.Int](),
		reflect.TypeFor[Level](), reflect.TypeFor[Lang](), reflect.TypeFor[Octet](), reflect.TypeFor[OnPointer](), reflect.TypeFor[TextOnPointer](),
		reflect.TypeFor[Stamped](), reflect.TypeFor[StampedNote](), reflect.TypeFor[Own](), reflect.TypeFor[OwnZero](), reflect.TypeFor[OwnGeneric[string]](),
		reflect.TypeFor[TwoIDs](), reflect.TypeFor[ShadowAfter](), reflect.TypeFor[Taken](), reflect.TypeFor[ReadsCopy](), reflect.TypeFor[BothTimes](),
		reflect.TypeFor[struct{ Stamped }](),
	}
	keys = []reflect.Type{
		reflect.TypeFor[string](), reflect.TypeFor[int16](), reflect.TypeFor[Level](), reflect.TypeFor[Lang](), reflect.TypeFor[TextOnPointer](),
		reflect.TypeFor[netip.Addr](), reflect.TypeFor[ByAddrAndName](), reflect.TypeFor[ByAddr](), reflect.TypeFor[TextKey](), reflect.TypeFor[ReadKey](),
	}
	embeddable = []reflect.Type{
		reflect.TypeFor[HasID](), reflect.TypeFor[*HasID](), reflect.TypeFor[HasIDToo](), reflect.TypeFor[HasHasID](), reflect.TypeFor[Left](), reflect.TypeFor[*Right](), reflect.TypeFor[TwoIDs](),
	}
	tags = []string{
		"", "", "", `json:",omitempty"`, `json:",omitzero"`, `json:",string"`, `json:"-"`, `json:"-,"`, `json:"A"`, `json:"ID"`, `json:"a"`, `json:"not\"valid"`,
		`msgpack:"-"`, `msgpack:"b,omitempty"`, `msgpack:"ID"`, `json:"x,omitempty,omitzero" msgpack:"y"`,
	}
	embeddingTags = []string{"", "", `json:"ID"`, `json:"-"`, `msgpack:",inline"`, `msgpack:",noinline"`, `json:"embedded"`}
)

func drawType(t *rapid.T, depth int) reflect.Type {
	if depth == 0 {
		return rapid.SampledFrom(ends).Draw(t, "end")
	}
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		return reflect.SliceOf(drawType(t, depth-1))
	case 1:
		return reflect.ArrayOf(rapid.IntRange(1, 2).Draw(t, "len"), drawType(t, depth-1))
	case 2:
		return reflect.MapOf(rapid.SampledFrom(keys).Draw(t, "key"), drawType(t, depth-1))
	case 3:
		return reflect.PointerTo(rapid.SampledFrom(ends).Filter(points).Draw(t, "pointee"))
	case 4:
		return drawStruct(t, depth-1)
	}
	return rapid.SampledFrom(ends).Draw(t, "end")
}

// points reports a type whose pointers add nothing but a pointer: a pointer to a nil slice or a
// nil interface arrives as nil.
func points(t reflect.Type) bool { return t.Kind() != reflect.Slice && t.Kind() != reflect.Interface }

func drawStruct(t *rapid.T, depth int) reflect.Type {
	fields := []reflect.StructField{{Name: "Always", Type: reflect.TypeFor[int8]()}}
	taken := make(map[string]bool)
	for range rapid.IntRange(0, 2).Draw(t, "embedded") {
		of := rapid.SampledFrom(embeddable).Draw(t, "embedded type")
		name := of.Name()
		if of.Kind() == reflect.Pointer {
			name = of.Elem().Name()
		}
		if !taken[name] {
			taken[name] = true
			fields = append(fields, reflect.StructField{Name: name, Type: of, Anonymous: true, Tag: reflect.StructTag(rapid.SampledFrom(embeddingTags).Draw(t, "tag"))})
		}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "fields") {
		fields = append(fields, reflect.StructField{
			Name: []string{"A", "B", "ID"}[i], Type: drawType(t, depth), Tag: reflect.StructTag(rapid.SampledFrom(tags).Draw(t, "tag")),
		})
	}
	return reflect.StructOf(rapid.Permutation(fields).Draw(t, "order"))
}

// fill draws a value, without the fields that the codec leaves out by their tags.
func fill(t *rapid.T, c codec.Codec, v reflect.Value) {
	if fillKnown(t, v.Addr().Interface()) {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int64:
		v.SetInt(rapid.Int64Range(1, 127).Draw(t, "int"))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(rapid.Uint64Range(1, 255).Draw(t, "uint"))
	case reflect.Float64:
		v.SetFloat(rapid.Float64Min(0.5).Draw(t, "float"))
	case reflect.String:
		v.SetString(rapid.StringN(1, 5, -1).Draw(t, "string"))
	case reflect.Interface:
		v.Set(reflect.ValueOf(rapid.SampledFrom([]any{false, "", true, "x"}).Draw(t, "any")))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, c, v.Index(0))
	case reflect.Array:
		for i := range v.Len() {
			fill(t, c, v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, c, v.Elem())
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, c, key)
			fill(t, c, elem)
			v.SetMapIndex(key, elem)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); !leftOut(c, f.Tag) {
				fill(t, c, v.Field(i))
			}
		}
	default:
		t.Fatalf("no values of %v", v.Type())
	}
}

// fillKnown draws a value of a type with methods.
func fillKnown(t *rapid.T, pointer any) bool {
	switch x := pointer.(type) {
	case *time.Time:
		*x = drawTime(t)
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "address")})
	case *big.Int:
		x.SetInt64(rapid.Int64Min(1).Draw(t, "big"))
	case *Own:
		x.Time, x.Note = drawTimeOrZero(t), "n"
	case *OwnGeneric[string]:
		x.Time, x.Note = drawTimeOrZero(t), "n"
	case *OnPointer:
		x.x = rapid.IntMin(1).Draw(t, "on pointer")
	case *Zeit:
		x.at = drawTime(t)
	default:
		return false
	}
	return true
}

func drawTime(t *rapid.T) time.Time {
	return noon.Add(time.Duration(rapid.IntRange(0, 1e9).Draw(t, "time")))
}

func drawTimeOrZero(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "zero") {
		return time.Time{}
	}
	return drawTime(t)
}

func leftOut(c codec.Codec, tag reflect.StructTag) bool {
	if own, ok := tag.Lookup("msgpack"); ok && c == codec.MessagePack {
		return own == "-"
	}
	return tag.Get("json") == "-"
}
