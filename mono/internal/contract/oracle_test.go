package contract_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/contract"
)

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// reality returns what happens to messages with values of one type that are read into another.
// Broken: some value is not decoded. Warning: some value arrives changed, or with a field that
// is zero since it was not sent. Fields that only the sender has do not count.
func reality(t tester, c codec.Codec, sent, read reflect.Type) (contract.Severity, string) {
	t.Helper()
	for m := range modes {
		if _, _, err := pass(t, c, sent, read, m); err != nil {
			return contract.Broken, err.Error()
		}
	}
	sent, read = bare(sent), bare(read)
	for m := range modes {
		before, after, err := pass(t, c, sent, read, m)
		if err != nil {
			return contract.Warning, err.Error()
		}
		if lost := differ(c, tree(t, c, before), tree(t, c, after), ""); lost != "" {
			return contract.Warning, lost
		}
	}
	return contract.Works, ""
}

// pass encodes a value of one type, reads it into another, and encodes that.
func pass(t tester, c codec.Codec, sent, read reflect.Type, m mode) (before, after []byte, err error) {
	t.Helper()
	from, to := reflect.New(sent), reflect.New(read)
	fill(from.Elem(), m, 0)
	before, err = c.Marshal(from.Interface())
	if err != nil {
		t.Fatalf("%v: %v", sent, err)
	}
	if err := c.Unmarshal(before, to.Interface()); err != nil {
		return nil, nil, err
	}
	after, err = c.Marshal(to.Interface())
	if err != nil {
		t.Fatalf("%v: %v", read, err)
	}
	return before, after, nil
}

// mode is a kind of values to fill a type with.
type mode int

const (
	zeros  mode = iota // also nil
	hollow             // pointers, lists and maps of zeros
	small
	largest
	lowest
	cut   // hollow to a depth, and zero below it
	modes = cut + 9
)

// maxDepth ends a type that contains itself.
const maxDepth = 7

func fill(v reflect.Value, m mode, depth int) {
	switch {
	case depth > maxDepth:
		return
	case m == zeros, m > cut && depth >= int(m-cut):
		embedded(v)
		return
	case m >= cut:
		filled(v, hollow, func(v reflect.Value) { fill(v, m, depth+1) })
		return
	}
	filled(v, m, func(v reflect.Value) { fill(v, m, depth+1) })
}

// filled fills a value, and its parts with fill.
func filled(v reflect.Value, m mode, fill func(reflect.Value)) {
	if known(v, m) {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(m != hollow)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		high := int64(1)<<(v.Type().Bits()-1) - 1
		v.SetInt(map[mode]int64{small: 3, largest: high, lowest: -high - 1}[m])
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(map[mode]uint64{small: 3, largest: math.MaxUint64 >> (64 - v.Type().Bits())}[m])
	case reflect.Float32, reflect.Float64:
		high := math.MaxFloat64
		if v.Kind() == reflect.Float32 {
			high = math.MaxFloat32
		}
		v.SetFloat(map[mode]float64{small: 0.5, largest: high, lowest: -high}[m])
	case reflect.String:
		v.SetString(map[mode]string{small: "x", largest: "a longer text", lowest: "-"}[m])
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[mode]any{hollow: false, small: "x", largest: 0.5, lowest: map[string]any{"k": "v"}}[m]))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		n := map[mode]int{hollow: 1, small: 1, largest: 4, lowest: 1}[m]
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(elem)
		v.SetMapIndex(key, elem)
		if key.Kind() == reflect.String && m != hollow {
			for _, name := range fieldNames {
				v.SetMapIndex(reflect.ValueOf(name).Convert(key.Type()), elem)
			}
		}
	case reflect.Struct:
		embedded(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

// embedded allocates embedded pointers: if they are nil, their fields are left out.
func embedded(v reflect.Value) {
	switch v.Kind() {
	case reflect.Array:
		for i := range v.Len() {
			embedded(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Anonymous && f.Type.Kind() == reflect.Pointer && f.IsExported() {
				v.Field(i).Set(reflect.New(f.Type.Elem()))
			}
			if f.IsExported() {
				embedded(v.Field(i))
			}
		}
	}
}

func known(v reflect.Value, m mode) bool {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		if m != hollow {
			*x = time.Date(2026, 1, 2, 12, 0, 0, int(m), time.UTC)
		}
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{192, 0, 2, byte(m)})
	case *json.RawMessage:
		*x = json.RawMessage(map[mode]string{hollow: "null", small: `"x"`, largest: "1", lowest: "{}"}[m])
	case *json.Number:
		*x = json.Number(map[mode]string{hollow: "0", small: "0.5", largest: "1e400", lowest: "-12345678901234567890123"}[m])
	default:
		return false
	}
	return true
}

// Level has its own methods.
type Level int

func (l Level) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"level":%d}`, int(l)), nil }
func (l *Level) UnmarshalJSON(data []byte) error {
	_, err := fmt.Sscanf(string(data), `{"level":%d}`, l)
	return err
}

// bare removes the options omitempty and omitzero, and embedded pointers, from the types that a
// test builds: the fields that they leave out are missed otherwise.
func bare(t reflect.Type) reflect.Type {
	if t.Name() != "" {
		return t
	}
	switch t.Kind() {
	case reflect.Pointer:
		return reflect.PointerTo(bare(t.Elem()))
	case reflect.Slice:
		return reflect.SliceOf(bare(t.Elem()))
	case reflect.Array:
		return reflect.ArrayOf(t.Len(), bare(t.Elem()))
	case reflect.Map:
		return reflect.MapOf(t.Key(), bare(t.Elem()))
	case reflect.Struct:
		var fields []reflect.StructField
		for f := range t.Fields() {
			if f.Type = bare(f.Type); f.Anonymous && f.Type.Kind() == reflect.Pointer {
				f.Type = f.Type.Elem()
			}
			f.Tag = reflect.StructTag(strings.NewReplacer(",omitempty", "", ",omitzero", "").Replace(string(f.Tag)))
			f.Offset, f.Index = 0, nil
			fields = append(fields, f)
		}
		return reflect.StructOf(fields)
	}
	return t
}

// tree decodes a message without its type. Numbers of JSON stay exact.
func tree(t tester, c codec.Codec, data []byte) (v any) {
	t.Helper()
	if c == codec.JSON {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	d := msgpack.NewDecoder(bytes.NewReader(data))
	d.SetMapDecoder(decodeMap)
	v, err := d.DecodeInterface()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// decodeMap decodes a map with keys of any type.
func decodeMap(d *msgpack.Decoder) (any, error) {
	n, err := d.DecodeMapLen()
	if n < 0 || err != nil {
		return nil, err
	}
	m := make(map[string]any)
	for range n {
		key, err := d.DecodeInterface()
		if err != nil {
			return nil, err
		}
		if b, ok := key.([]byte); ok {
			key = string(b)
		}
		if m[fmt.Sprint(key)], err = d.DecodeInterface(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// differ returns the first difference that loses something, or "".
func differ(c codec.Codec, sent, read any, at string) string {
	if c == codec.MessagePack {
		sent, read = positional(sent, read), positional(read, sent)
	}
	wrong := fmt.Sprintf("%s: %v became %v", at, sent, read)
	switch sent := sent.(type) {
	case map[string]any:
		read, ok := read.(map[string]any)
		if !ok {
			return wrong
		}
		for name, value := range read {
			from, ok := lookUp(c, sent, name)
			if !ok {
				return at + "." + name + " was not sent"
			}
			if lost := differ(c, from, value, at+"."+name); lost != "" {
				return lost
			}
		}
		return ""
	case []any:
		if text, ok := read.(string); ok && c == codec.JSON { // of bytes
			data, err := base64.StdEncoding.DecodeString(text)
			list := make([]any, len(data))
			for i, b := range data {
				list[i] = json.Number(fmt.Sprint(b))
			}
			if err == nil {
				read = list
			}
		}
		list, ok := read.([]any)
		if !ok || len(list) != len(sent) {
			return wrong
		}
		for i := range sent {
			if lost := differ(c, sent[i], list[i], fmt.Sprintf("%s[%d]", at, i)); lost != "" {
				return lost
			}
		}
		return ""
	}
	if !same(sent, read) {
		return wrong
	}
	return ""
}

// positional turns a struct into a list if it became one, or was one.
func positional(v, other any) any {
	m, isMap := v.(map[string]any)
	if _, isList := other.([]any); !isMap || !isList {
		return v
	}
	var list []any
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[name])
	}
	return list
}

func lookUp(c codec.Codec, m map[string]any, name string) (any, bool) {
	if v, ok := m[name]; ok || c != codec.JSON {
		return v, ok
	}
	for other, v := range m {
		if strings.EqualFold(other, name) {
			return v, true
		}
	}
	return nil, false
}

func same(a, b any) bool {
	x, xOK := rational(a)
	y, yOK := rational(b)
	if xOK && yOK {
		return x.Cmp(y) == 0
	}
	if s, ok := b.(string); ok {
		if bytes, ok := a.([]byte); ok {
			return string(bytes) == s
		}
	}
	if s, ok := a.(string); ok {
		if n, ok := b.(json.Number); ok { // read from a string
			return string(n) == s
		}
		if bytes, ok := b.([]byte); ok {
			return string(bytes) == s
		}
	}
	return reflect.DeepEqual(a, b)
}

func rational(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case float32:
		return new(big.Rat).SetFloat64(float64(v)), true
	case float64:
		return new(big.Rat).SetFloat64(v), true
	case json.Number, int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return new(big.Rat).SetString(fmt.Sprint(v))
	}
	return nil, false
}

// classify returns the worst difference between two types, from the declarations of two
// processes that use them as the message of a queue.
func classify(t tester, c codec.Codec, sent, read reflect.Type) (worst contract.Severity, unknown bool, texts []string) {
	t.Helper()
	declare := func(of reflect.Type) *contract.Contract {
		h := queue()
		h.Codec, h.Message = c.ContentType(), payload(t, c, of)
		return &contract.Contract{Program: of.String(), Handles: []contract.Handle{h}}
	}
	mine, theirs := declare(sent), declare(read)
	mine.Handles[0].Produces = []string{"shop"}
	theirs.Handles[0].Consumes = []string{"mail"}
	for _, d := range contract.Compare(mine, theirs) {
		if strings.Contains(d.Text, "mono does not know") {
			unknown = true
			worst = max(worst, contract.Warning)
			continue
		}
		worst = max(worst, d.Severity)
		texts = append(texts, d.Text)
	}
	return worst, unknown, texts
}

func queue() contract.Handle {
	return contract.Handle{Kind: contract.KindQueue, Name: "orders.jobs", Stored: true, Groups: []string{"workers"}, Declared: "orders.go:12"}
}

func payload(t tester, c codec.Codec, of reflect.Type) *contract.Payload {
	t.Helper()
	s, err := contract.SchemaOf(c, of)
	if err != nil {
		t.Fatal(err)
	}
	return &contract.Payload{Type: of.String(), Schema: s}
}
