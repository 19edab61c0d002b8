package codec_test

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"gomono.dev/codec"
)

func unpack[T any](t *testing.T, data string) T {
	t.Helper()
	var v T
	if err := codec.MessagePack.Unmarshal([]byte(data), &v); err != nil {
		t.Errorf("%x: %v", data, err)
	}
	return v
}

func pack(t testing.TB, v any) string {
	t.Helper()
	data, err := codec.MessagePack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// integer draws the bytes of n in any format that can hold it.
func integer(t *rapid.T, n *big.Int) []byte {
	var formats [][]byte
	if n.IsUint64() {
		u := n.Uint64()
		for width, code := range map[int]byte{1: 0xcc, 2: 0xcd, 4: 0xce, 8: 0xcf} {
			if width == 8 || u < 1<<(8*width) {
				formats = append(formats, append([]byte{code}, tail(u, width)...))
			}
		}
	}
	if n.IsInt64() {
		i := n.Int64()
		for width, code := range map[int]byte{1: 0xd0, 2: 0xd1, 4: 0xd2, 8: 0xd3} {
			if half := int64(1) << (8*width - 1); width == 8 || -half <= i && i < half {
				formats = append(formats, append([]byte{code}, tail(uint64(i), width)...))
			}
		}
		if -32 <= i && i < 128 {
			formats = append(formats, []byte{byte(i)})
		}
	}
	return rapid.SampledFrom(formats).Draw(t, "format")
}

func tail(u uint64, width int) []byte {
	var b []byte
	for i := width - 1; i >= 0; i-- {
		b = append(b, byte(u>>(8*i)))
	}
	return b
}

// Every integer type accepts the numbers that it can hold, in any format, and refuses the rest.
func TestMessagePackIntegersFitOrFail(t *testing.T) {
	t.Parallel()
	targets := []any{new(int), new(int8), new(int16), new(int32), new(int64), new(uint), new(uint8), new(uint16), new(uint32), new(uint64), new(time.Duration)}
	edges := []int64{0, 1, 31, 32, 127, 128, 255, 256, 32767, 32768, 65535, 65536, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64}
	rapid.Check(t, func(t *rapid.T) {
		n := big.NewInt(rapid.OneOf(rapid.SampledFrom(edges), rapid.Int64Min(0)).Draw(t, "magnitude"))
		switch rapid.IntRange(0, 2).Draw(t, "side") {
		case 0:
			n.Neg(n)
		case 1:
			if rapid.Bool().Draw(t, "above int64") {
				n.Add(n, big.NewInt(math.MaxInt64))
			}
		}
		data := integer(t, n)
		v := reflect.New(reflect.TypeOf(rapid.SampledFrom(targets).Draw(t, "target")).Elem())
		fits := n.IsUint64() && v.Elem().CanUint() && !v.Elem().OverflowUint(n.Uint64()) ||
			n.IsInt64() && v.Elem().CanInt() && !v.Elem().OverflowInt(n.Int64())
		err := codec.MessagePack.Unmarshal(data, v.Interface())
		if fits != (err == nil) {
			t.Fatalf("%v as %x into %v: %v", n, data, v.Elem().Type(), err)
		}
		got := new(big.Int)
		if v.Elem().CanInt() {
			got.SetInt64(v.Elem().Int())
		} else {
			got.SetUint64(v.Elem().Uint())
		}
		if fits && got.Cmp(n) != 0 {
			t.Fatalf("%v as %x arrived as %v", n, data, got)
		}
	})
}

func TestMessagePackFloats(t *testing.T) {
	t.Parallel()
	f64 := func(f float64) string { return packed(f) }
	if got := unpack[float32](t, f64(1.5)); got != 1.5 {
		t.Errorf("a double into float32: %v", got)
	}
	if got := unpack[float32](t, f64(math.Inf(1))); !math.IsInf(float64(got), 1) {
		t.Errorf("infinity into float32: %v", got)
	}
	if got := unpack[float64](t, f64(math.NaN())); !math.IsNaN(got) {
		t.Errorf("NaN: %v", got)
	}
	if got := unpack[float64](t, "\xd0\xff"); got != -1 {
		t.Errorf("an integer into float64: %v", got)
	}
	if got := unpack[float64](t, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"); got != math.MaxUint64 {
		t.Errorf("the largest integer into float64: %v", got)
	}
	if err := codec.MessagePack.Unmarshal([]byte(f64(1e300)), new(float32)); err == nil {
		t.Error("1e300 fits float32")
	}
}

func TestMessagePackIntoAny(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	sent := []any{nil, true, 5, int8(-5), uint16(300), int64(1 << 40), uint64(math.MaxUint64), float32(0.5), 0.25,
		"s", []byte("b"), at, []any{1}, []string{"x"}, map[string]any{"k": 1}, Line{SKU: "a", Quantity: 1}, &Line{}}
	want := []any{nil, true, int64(5), int64(-5), int64(300), int64(1 << 40), uint64(math.MaxUint64), 0.5, 0.25,
		"s", []byte("b"), at.UTC(), []any{int64(1)}, []any{"x"}, M{"k": int64(1)}, M{"sku": "a", "quantity": int64(1)}, M{"sku": ""}}
	got := unpack[any](t, pack(t, &sent))
	if !reflect.DeepEqual(got, any(want)) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	if err := codec.MessagePack.Unmarshal([]byte("\x81\x01\x02"), new(any)); err == nil || !strings.Contains(err.Error(), "want a string, or a map type") {
		t.Errorf("a map with integer keys into any: %v", err)
	}
	if got := unpack[map[any]int](t, "\x82\x01\x02\xa1k\x03"); got[int64(1)] != 2 || got["k"] != 3 {
		t.Errorf("keys of several types: %v", got)
	}
	if err := codec.MessagePack.Unmarshal([]byte("\x81\x90\x02"), new(map[any]int)); err == nil {
		t.Error("a slice became a key")
	}
}

func TestMessagePackTimes(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(1, 1), time.Unix(1<<33, 5), time.Unix(1<<35, 999999999), time.Unix(-1, 5), time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), time.Now()} {
		if got := unpack[time.Time](t, pack(t, &at)); !got.Equal(at) || got.Location() != time.UTC {
			t.Errorf("sent %v, got %v", at, got)
		}
	}
	if got := unpack[time.Time](t, packed("2026-01-02T03:04:05+01:00")); got != time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC) {
		t.Errorf("from text: %v", got)
	}
}

func TestMessagePackNilIsZero(t *testing.T) {
	t.Parallel()
	fields := M{"id": nil, "created": nil, "lines": nil, "by_name": nil, "blob": nil, "hash": nil, "price": nil, "rate": nil, "paid": nil, "addr": nil, "total": nil, "wait": nil, "parent": nil}
	if got := unpack[Order](t, packed(fields)); !reflect.DeepEqual(got, Order{}) {
		t.Errorf("got %+v", got)
	}
}

func TestMessagePackLastOfAFieldWins(t *testing.T) {
	t.Parallel()
	type T struct {
		B [3]byte
		L Line
		M map[string]int
	}
	got := unpack[T](t, "\x86\xa1B\xc4\x03abc\xa1B\xc4\x01x\xa1L"+packed(Line{"s", 1})+"\xa1L\x80\xa1M\x82\xa1a\x01\xa1a\x02\xa1M\x81\xa1b\x01")
	if want := (T{B: [3]byte{'x'}, M: map[string]int{"b": 1}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// Tagged has every feature of struct tags.
type Tagged struct {
	A       int `msgpack:"a,alias:old_a" json:"b"`
	B       int `json:"bee,omitempty,string"`
	Dash    int `json:"-"`
	Inner   `msgpack:"inner,noinline"`
	*Behind `json:"behind"`
}

type Inner struct{ X int }

type Behind struct{ P, Q *int }

func TestMessagePackTags(t *testing.T) {
	t.Parallel()
	p := 7
	sent := Tagged{A: 1, B: 2, Dash: 3, Inner: Inner{4}, Behind: &Behind{P: &p}}
	var names M = unpack[M](t, pack(t, &sent))
	if want := (M{"a": int64(1), "bee": int64(2), "inner": M{"X": int64(4)}, "P": int64(7), "Q": nil}); !reflect.DeepEqual(names, want) {
		t.Errorf("got %v", names)
	}
	sent.Dash = 0
	if got := unpack[Tagged](t, pack(t, &sent)); !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v", got)
	}
	if got := unpack[Tagged](t, packed(M{"old_a": 5, "unknown": []int{1, 2}})); got.A != 5 {
		t.Errorf("alias: %+v", got)
	}
	empty := Tagged{}
	if got := unpack[Tagged](t, pack(t, &empty)); got.Behind != nil {
		t.Errorf("an embedded nil pointer arrived as %+v", got.Behind)
	}
}

func TestMessagePackStructAsArray(t *testing.T) {
	t.Parallel()
	type Tuple struct {
		//lint:ignore U1000 the codec reads its tag
		_msgpack struct{} `msgpack:",as_array"`
		A        int
		B        string
	}
	sent := Tuple{A: 1, B: "b"}
	data := pack(t, &sent)
	if data != "\x92\x01\xa1b" {
		t.Errorf("encoded as %x", data)
	}
	if got := unpack[Tuple](t, data); got != sent {
		t.Errorf("got %+v", got)
	}
}

func TestMessagePackErrors(t *testing.T) {
	t.Parallel()
	sent := struct{ Err, None error }{Err: errors.New("went wrong")}
	got := unpack[struct{ Err, None error }](t, pack(t, &sent))
	if got.Err.Error() != "went wrong" || got.None != nil {
		t.Errorf("got %v", got)
	}
}

// Temperature is an extension type.
type Temperature struct{ Kelvin byte }

func (c *Temperature) MarshalMsgpack() ([]byte, error) { return []byte{c.Kelvin}, nil }
func (c *Temperature) UnmarshalMsgpack(b []byte) error { c.Kelvin = b[0]; return nil }

func TestMessagePackExtensionTypes(t *testing.T) {
	msgpack.RegisterExt(42, (*Temperature)(nil))
	defer msgpack.UnregisterExt(42)
	type Reading struct {
		In  Temperature
		Out *Temperature
		Any any
	}
	sent := Reading{Temperature{1}, &Temperature{2}, &Temperature{3}}
	if got := unpack[Reading](t, pack(t, &sent)); !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v", got)
	}
	for _, target := range []any{new(any), new(int), new(M), new(map[string]string), new([]int), new(Line), new(string), new(time.Time), new(*big.Int)} {
		if err := codec.MessagePack.Unmarshal([]byte("\xd4\x05\xdf"), target); err == nil {
			t.Errorf("an unknown extension became %T", target)
		}
	}
}

// The library's decoder skips the head of an extension before a map, and then allocates as much
// as the extension's body declares.
func TestMessagePackExtensionIsNoMap(t *testing.T) {
	t.Parallel()
	hostile := []byte("\xc7\x05\x01\xdf\x7f\xff\xff\xff\x00")
	for _, target := range []any{new(M), new(map[string]string), new(map[int]int), new(any), new(struct{ M M })} {
		if err := codec.MessagePack.Unmarshal(hostile, target); err == nil {
			t.Errorf("succeeded for %T", target)
		}
	}
}

func TestMessagePackCyclesAreErrors(t *testing.T) {
	t.Parallel()
	list := &List{}
	list.Next = list
	tree := Tree{Children: make([]Tree, 1)}
	tree.Children[0] = tree
	m := M{}
	m["m"] = m
	array := []any{nil}
	array[0] = array
	var self any
	self = &self
	graph := Graph{map[string]Graph{}}
	graph.Edges["x"] = graph
	for _, v := range []any{list, &tree, &m, &array, &self, &graph} {
		_, err := codec.MessagePack.Marshal(v)
		if err == nil || !strings.Contains(err.Error(), "contains itself") {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestMessagePackTypesInsideAny(t *testing.T) {
	t.Parallel()
	for _, v := range []any{make(chan int), Self(nil), SelfEmbedded{}, Shadowed{}, *big.NewInt(1)} {
		if _, err := codec.MessagePack.Marshal(&v); err == nil {
			t.Errorf("%T within any was encoded", v)
		}
	}
}

func TestMessagePackDepth(t *testing.T) {
	t.Parallel()
	nested := func(n int) *List {
		l := &List{}
		for range n - 1 {
			l = &List{l}
		}
		return l
	}
	deepest := nested(codec.MaxDepth)
	if got := unpack[List](t, pack(t, deepest)); !reflect.DeepEqual(&got, deepest) {
		t.Error("the deepest list did not arrive")
	}
	if _, err := codec.MessagePack.Marshal(nested(codec.MaxDepth + 1)); err == nil {
		t.Error("a deeper list was encoded")
	}
	for _, target := range []any{new(any), new(List), new(Tree), new(struct{})} {
		deeper := strings.Repeat("\x81\xa4Next", codec.MaxDepth+1) + "\xc0"
		if err := codec.MessagePack.Unmarshal([]byte(deeper), target); err == nil || !strings.Contains(err.Error(), "deep") {
			t.Errorf("%T: %v", target, err)
		}
	}
}

func TestMessagePackRefusesMalformedOutput(t *testing.T) {
	t.Parallel()
	for _, raw := range []msgpack.RawMessage{{}, {0xc1}, {0x92, 0}, {0, 0}} {
		if data, err := codec.MessagePack.Marshal(&raw); err == nil {
			t.Errorf("%x was sent as %x", []byte(raw), data)
		}
	}
	raw := msgpack.RawMessage{0x92, 1, 2}
	if got := unpack[msgpack.RawMessage](t, pack(t, &raw)); !bytes.Equal(got, raw) {
		t.Errorf("got %x", []byte(got))
	}
}

// Declared lengths cost nothing before the items arrive.
func TestMessagePackAllocatesForWhatIsThere(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, head := range []string{"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xdd\x00\x00\xff\xff" + strings.Repeat("\xdd\x00\x00\xff\x00", 20000)} {
		for _, target := range []any{new(any), new([]Order), new(M), new([]byte), new(string), new([][][]int)} {
			if err := codec.MessagePack.Unmarshal([]byte(head), target); err == nil {
				t.Errorf("%x into %T succeeded", head[:5], target)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 16<<20 {
		t.Errorf("allocated %d bytes", spent)
	}
}

// The library keeps goroutines and channels per type: a bubble would wait for them for ever,
// and another could not use them.
func TestMessagePackRunsInBubbles(t *testing.T) {
	type Deep struct {
		*Behind
		M map[string]*Inner
	}
	p := 1
	sent := Deep{&Behind{P: &p}, map[string]*Inner{"x": {1}}}
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			if got := unpack[Deep](t, pack(t, &sent)); !reflect.DeepEqual(got, sent) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// The output equals the library's, and the library's output can be read.
func TestMessagePackIsTheLibrarys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := orders(1).Draw(t, "order")
		data, err := codec.MessagePack.Marshal(&sent)
		if err != nil {
			t.Fatal(err)
		}
		dec := msgpack.NewDecoder(bytes.NewReader(data))
		dec.SetCustomStructTag("json")
		var theirs, ours Order
		if err := dec.Decode(&theirs); err != nil {
			t.Fatal(err)
		}
		if err := codec.MessagePack.Unmarshal(data, &ours); err != nil {
			t.Fatal(err)
		}
		for o := &theirs; o != nil; o = o.Parent {
			o.Created = o.Created.UTC()
		}
		if !reflect.DeepEqual(normal(&theirs), normal(&ours)) {
			t.Fatalf("theirs %+v\nours   %+v", theirs, ours)
		}
	})
}
