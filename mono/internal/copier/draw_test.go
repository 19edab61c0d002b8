package copier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// scalars lists the leaves of random types, from simple to unusual.
var scalars = []reflect.Type{
	reflect.TypeFor[int](), reflect.TypeFor[string](), reflect.TypeFor[bool](), reflect.TypeFor[float64](),
	reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[float32](), reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](),
	reflect.TypeFor[Name](), reflect.TypeFor[Level](), reflect.TypeFor[Rate](), reflect.TypeFor[Blob](), reflect.TypeFor[Octet](),
}

// strange lists leaves that a plan may not support.
var strange = []reflect.Type{
	reflect.TypeFor[uintptr](), reflect.TypeFor[any](), reflect.TypeFor[Picky](), reflect.TypeFor[Upper](), reflect.TypeFor[Shout](),
	reflect.TypeFor[netip.Addr](), reflect.TypeFor[Emptiable](), reflect.TypeFor[complex128](), reflect.TypeFor[error](), reflect.TypeFor[ByPointer](),
	hidden, reflect.TypeFor[EmbedsPointer](),
}

var tags = []string{
	"", "", "", `json:",omitempty"`, `json:",omitzero"`, `json:"-"`, `json:"name"`, `json:"f0"`, `json:"A"`, `json:",string"`,
	`json:"-,"`, `msgpack:"-"`, `msgpack:",omitempty"`, `json:"x" msgpack:"y,omitempty"`, `json:"u,omitempty,omitzero"`, `json:"ü"`, `json:"a b"`,
}

// drawType draws a type with at most depth levels. One in 20 scalars is strange, so most
// types are not.
func drawType(t *rapid.T, depth int) reflect.Type {
	kind := 0
	if depth > 0 {
		kind = rapid.IntRange(0, 9).Draw(t, "kind")
	}
	switch kind {
	case 0, 1, 2:
		if rapid.IntRange(0, 19).Draw(t, "strange") == 19 {
			return rapid.SampledFrom(strange).Draw(t, "type")
		}
		return rapid.SampledFrom(scalars).Draw(t, "type")
	case 3:
		return reflect.PointerTo(drawType(t, depth-1))
	case 4:
		return reflect.SliceOf(drawType(t, depth-1))
	case 5:
		return reflect.ArrayOf(rapid.IntRange(0, 3).Draw(t, "len"), drawType(t, depth-1))
	case 6:
		return reflect.MapOf(drawKey(t), drawType(t, depth-1))
	case 7:
		return rapid.SampledFrom(gallery()).Draw(t, "gallery")
	}
	return drawStruct(t, depth)
}

func drawKey(t *rapid.T) reflect.Type {
	for {
		key := rapid.SampledFrom(append(scalars, strange...)).Draw(t, "key")
		if key.Comparable() {
			return key
		}
	}
}

func drawStruct(t *rapid.T, depth int) reflect.Type {
	fields := make([]reflect.StructField, rapid.IntRange(0, 6).Draw(t, "fields"))
	for i := range fields {
		f := reflect.StructField{
			Name: string(rune('A' + i)),
			Type: drawType(t, depth-1),
			Tag:  reflect.StructTag(rapid.SampledFrom(tags).Draw(t, "tag")),
		}
		if rapid.IntRange(0, 9).Draw(t, "hidden") == 9 {
			f.Name, f.PkgPath = fmt.Sprintf("f%d", i), "gomono.dev/mono/internal/copier_test"
		}
		fields[i] = f
	}
	return reflect.StructOf(fields)
}

// drawing draws the parts of one value.
type drawing struct {
	*rapid.T
	made map[reflect.Type][]reflect.Value // pointers, slices and maps, to be shared within the value
	room int                              // number of elements left
}

func drawValue(t *rapid.T, v reflect.Value) {
	d := &drawing{t, make(map[reflect.Type][]reflect.Value), 60}
	d.value(v)
}

func (d *drawing) chance(n int) bool { return rapid.IntRange(1, n).Draw(d.T, "chance") == n }

// length draws a small length, and 0 if no room is left.
func (d *drawing) length() int {
	n := min(rapid.IntRange(0, 4).Draw(d.T, "len"), d.room)
	d.room -= n
	return n
}

func (d *drawing) value(v reflect.Value) {
	if !v.CanSet() {
		v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem() // unexported
	}
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = drawTime(d.T)
		return
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(d.T, "addr")})
		return
	case *big.Int:
		x.SetInt64(rapid.Int64().Draw(d.T, "big"))
		return
	case *List:
		d.list(x)
		return
	case *json.RawMessage:
		if d.chance(4) {
			*x = json.RawMessage(d.text())
			return
		}
		*x = json.RawMessage(rapid.SampledFrom([]string{"null", " 1", `{"a":[1e5]}`, "", `"\xff"`, "[[[]]]"}).Draw(d.T, "raw"))
		return
	case *msgpack.RawMessage:
		*x = msgpack.RawMessage{rapid.ByteRange(0, 0x7f).Draw(d.T, "raw")}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(d.T, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(d.T, "int"))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(rapid.Uint64().Draw(d.T, "uint"))
	case reflect.Float32:
		*(v.Addr().Convert(reflect.TypeFor[*float32]()).Interface().(*float32)) = d.float32()
	case reflect.Float64:
		v.SetFloat(d.float64())
	case reflect.Complex128:
		v.SetComplex(1i)
	case reflect.String:
		v.SetString(d.text())
	case reflect.Slice:
		d.slice(v)
	case reflect.Array:
		for i := range v.Len() {
			d.value(v.Index(i))
		}
	case reflect.Map:
		d.mapping(v)
	case reflect.Pointer:
		d.pointer(v)
	case reflect.Struct:
		for i := range v.NumField() {
			d.value(v.Field(i))
		}
	case reflect.Interface:
		d.iface(v)
	}
}

// shared sets v to an earlier pointer, slice or map, possibly one that contains v.
func (d *drawing) shared(v reflect.Value) bool {
	made := d.made[v.Type()]
	if len(made) == 0 || !d.chance(8) {
		return false
	}
	v.Set(made[rapid.IntRange(0, len(made)-1).Draw(d.T, "shared")]) // draws an index, since rapid prints the drawn values
	return true
}

// make sets v to a new value that later parts may share.
func (d *drawing) make(v, fresh reflect.Value) {
	v.Set(fresh.Convert(v.Type()))
	d.made[v.Type()] = append(d.made[v.Type()], fresh.Convert(v.Type()))
}

func (d *drawing) slice(v reflect.Value) {
	if d.chance(5) || d.shared(v) {
		return
	}
	n := d.length()
	s := reflect.MakeSlice(v.Type(), n, n+rapid.IntRange(0, 1).Draw(d.T, "cap"))
	d.make(v, s)
	for i := range n {
		d.value(s.Index(i))
	}
}

func (d *drawing) mapping(v reflect.Value) {
	if d.chance(5) || d.shared(v) {
		return
	}
	m := reflect.MakeMap(v.Type())
	d.make(v, m)
	for range d.length() {
		key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		d.value(key)
		d.value(elem)
		if key.Comparable() {
			m.SetMapIndex(key, elem)
		}
	}
}

func (d *drawing) pointer(v reflect.Value) {
	if d.room == 0 || d.chance(4) || d.shared(v) {
		return
	}
	d.room--
	p := reflect.New(v.Type().Elem())
	d.make(v, p)
	d.value(p.Elem())
}

func (d *drawing) iface(v reflect.Value) {
	if d.chance(4) || d.room == 0 {
		return
	}
	d.room--
	if v.NumMethod() > 0 {
		if v.Type() == reflect.TypeFor[error]() {
			v.Set(reflect.ValueOf(errors.New("an error")))
		}
		return
	}
	of := rapid.SampledFrom([]reflect.Type{
		reflect.TypeFor[string](), reflect.TypeFor[float64](), reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[[]any](), reflect.TypeFor[map[string]any](),
		reflect.TypeFor[int64](), reflect.TypeFor[uint64](), reflect.TypeFor[uint8](), reflect.TypeFor[float32](), reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](),
		reflect.TypeFor[Name](), reflect.TypeFor[*Line](), reflect.TypeFor[Line](), reflect.TypeFor[chan int](), reflect.TypeFor[*any](), reflect.TypeFor[Picky](),
		reflect.TypeFor[[]string](), reflect.TypeFor[map[string]string](), reflect.TypeFor[error](),
	}).Draw(d.T, "dynamic")
	x := reflect.New(of).Elem()
	d.value(x)
	v.Set(x)
}

// list draws a list, sometimes with a length near a limit of the codecs.
func (d *drawing) list(l *List) {
	n := min(rapid.IntRange(0, 4).Draw(d.T, "len"), d.room)
	d.room -= n
	if d.chance(40) {
		n = rapid.SampledFrom([]int{248, 249, 250, 251, 498, 499, 500, 501, 999, 1000, 1001}).Draw(d.T, "long")
	}
	first := l
	for i := range n {
		l.Next = &List{Value: i}
		l = l.Next
	}
	if d.chance(20) {
		l.Next = first
	}
}

func (d *drawing) float64() float64 {
	if d.chance(8) {
		return rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21, 1e20, 1e-6, 1e-7,
			math.Float64frombits(0x7ff0000000000001), math.MaxInt64, 1 << 53,
		}).Draw(d.T, "float")
	}
	return math.Float64frombits(rapid.Uint64().Draw(d.T, "bits"))
}

func (d *drawing) float32() float32 {
	if d.chance(8) {
		return rapid.SampledFrom([]float32{
			0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32, math.SmallestNonzeroFloat32, 1e21, 1e-6, 1e-7,
			math.Float32frombits(0x7f800001),
		}).Draw(d.T, "float")
	}
	return math.Float32frombits(rapid.Uint32().Draw(d.T, "bits"))
}

func (d *drawing) text() string {
	if d.chance(8) {
		return rapid.SampledFrom([]string{
			"\xff", "a\xc3", "\xed\xa0\x80", "\ufffd", "\u2028\u2029", "<&>", "null", `"`, `\`, "\x00", "\xef\xbf\xbe", "123", "-1e5", "\xf4\x90\x80\x80",
			"long enough\xff", "\xfflong enough", "as long as it takes to be looked at in another way\xc3", "abcd\xff", "größer als Eins",
		}).Draw(d.T, "odd")
	}
	return rapid.StringN(0, 12, -1).Draw(d.T, "text")
}

// berlin and newYork have daylight saving time, so the offset depends on the time.
var berlin, newYork = zone("Europe/Berlin"), zone("America/New_York")

func zone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

func TestMain(m *testing.M) {
	time.Local = berlin
	os.Exit(m.Run())
}

var zones = []*time.Location{
	time.UTC, berlin, newYork, time.FixedZone("", 3600), time.FixedZone("summer", 2*3600), time.FixedZone("GMT", 0), time.FixedZone("odd", -5400), time.FixedZone("LMT", 1172),
	time.FixedZone("day", 24*60*60), time.FixedZone("edge", 24*60*60-60), time.FixedZone("edge", 60-24*60*60), time.FixedZone("tiny", -59), time.FixedZone("", -7*3600),
}

func drawTime(t *rapid.T) time.Time {
	zone := rapid.SampledFrom(zones).Draw(t, "zone")
	switch rapid.IntRange(0, 9).Draw(t, "time") {
	case 0:
		return time.Time{}
	case 1:
		return time.Time{}.In(zone)
	case 2:
		return time.Now().In(zone)
	case 3:
		return time.Now()
	case 4:
		year := rapid.SampledFrom([]int{-1, 0, 1, 9999, 10000, 300000}).Draw(t, "year")
		return time.Date(year, 1, 1, 0, 0, 0, rapid.IntRange(-1, 1).Draw(t, "around"), zone)
	case 5:
		return time.Date(9999, 12, 31, rapid.IntRange(20, 26).Draw(t, "hour"), 0, 0, 0, zone)
	case 6:
		return time.Unix(rapid.Int64().Draw(t, "sec"), rapid.Int64().Draw(t, "nsec"))
	}
	at := time.Unix(rapid.Int64Range(-1<<36, 1<<36).Draw(t, "sec"), rapid.Int64Range(0, 999999999).Draw(t, "nsec"))
	return at.In(zone)
}
