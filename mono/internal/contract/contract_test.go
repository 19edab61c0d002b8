package contract_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/contract"
)

type (
	Line struct {
		Name     string
		Quantity uint16
	}
	Big struct {
		ID    int64            `json:"id"`
		Lines []Line           `json:"lines"`
		Again *Line            `json:"again,omitempty"`
		At    time.Time        `json:"at"`
		Data  []byte           `json:"data"`
		Tags  map[int8]float32 `json:"tags"`
		Count int8             `json:"count,string"`
		Any   any              `json:"any"`
		Level Level            `json:"level"`
		Addr  netip.Addr       `json:"addr"`
		Self  *Big             `json:"self"`
	}
)

// A schema describes what the codec writes, and is the same each time.
func TestSchemas(t *testing.T) {
	t.Parallel()
	const wantJSON = `{"$ref":"#/$defs/contract_test.Big"}`
	for c, want := range map[codec.Codec][]string{
		codec.JSON: {
			`"id":{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}`,
			`"lines":{"type":["array","null"],"items":{"$ref":"#/$defs/contract_test.Line"}}`,
			`"again":{"anyOf":[{"$ref":"#/$defs/contract_test.Line"},{"type":"null"}]}`,
			`"at":{"type":"string","format":"date-time"}`,
			`"data":{"type":["string","null"],"contentEncoding":"base64"}`,
			`"tags":{"type":["object","null"],"propertyNames":{"type":"string","contentMediaType":"application/json","contentSchema":{"type":"integer","minimum":-128,"maximum":127}},"additionalProperties":{"type":"number","format":"float"}}`,
			`"count":{"type":"string","contentMediaType":"application/json","contentSchema":{"type":"integer","minimum":-128,"maximum":127}}`,
			`"any":{}`,
			`"level":{"x-go-type":"gomono.dev/mono/internal/contract_test.Level"}`,
			`"addr":{"x-go-type":"net/netip.Addr","type":"string"}`,
			`"self":{"anyOf":[{"$ref":"#/$defs/contract_test.Big"},{"type":"null"}]}`,
			`"required":["id","lines","at","data","tags","count","any","level","addr","self"]`,
		},
		codec.MessagePack: {
			`"data":{"type":["string","null"],"contentMediaType":"application/octet-stream"}`,
			`"count":{"type":"integer","minimum":-128,"maximum":127}`,
			`"addr":{"x-go-type":"net/netip.Addr","type":"string","contentMediaType":"application/octet-stream"}`,
		},
	} {
		s, err := contract.SchemaOf(c, reflect.TypeFor[Big]())
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), wantJSON[:len(wantJSON)-1]) {
			t.Errorf("%s: got %s", c.ContentType(), text)
		}
		for _, part := range want {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: want %s in %s", c.ContentType(), part, text)
			}
		}
		again, err := contract.SchemaOf(c, reflect.TypeFor[Big]())
		if err != nil || again != s {
			t.Errorf("%s: the schema is not cached: %v", c.ContentType(), err)
		}
	}
}

// A codec that cannot describe types has no schemas, and a type that a codec cannot carry is an
// error.
func TestTypesWithoutASchema(t *testing.T) {
	t.Parallel()
	if s, err := contract.SchemaOf(codec.Raw, reflect.TypeFor[[]byte]()); s != nil || err != nil {
		t.Errorf("got %v, %v", s, err)
	}
	for _, c := range []codec.Codec{codec.JSON, codec.MessagePack} {
		if _, err := contract.SchemaOf(c, reflect.TypeFor[struct{ C chan int }]()); err == nil {
			t.Errorf("%s describes a channel", c.ContentType())
		}
	}
}

// A document is the same whatever the order of the handles, and is read back as it was.
func TestEncodeAndDecode(t *testing.T) {
	t.Parallel()
	a := contract.Handle{Kind: contract.KindQueue, Name: "a", Message: payload(t, codec.JSON, reflect.TypeFor[Big]())}
	b := contract.Handle{Kind: contract.KindEvent, Name: "b", Message: payload(t, codec.MessagePack, reflect.TypeFor[Tree]())}
	first, err := (&contract.Contract{Program: "p", Wire: 1, Generation: 7, Handles: []contract.Handle{a, b}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	second, err := (&contract.Contract{Program: "p", Wire: 1, Generation: 7, Handles: []contract.Handle{b, a}}).Encode()
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two orders, two documents: %v\n%s\n%s", err, first, second)
	}
	c, err := contract.Decode(first)
	if err != nil {
		t.Fatal(err)
	}
	if third, err := c.Encode(); err != nil || !bytes.Equal(first, third) {
		t.Errorf("read back: %v\n%s\n%s", err, first, third)
	}
}

// A newer release may add fields, and a document has a limited size.
func TestDocumentsOfOthers(t *testing.T) {
	t.Parallel()
	c, err := contract.Decode([]byte(`{"program":"p","new":{"x":[1]},"handles":[{"kind":"queue","name":"a","new":true,"message":{"schema":{"type":"string","oneOf":[true]}}}]}`))
	if err != nil || len(c.Handles) != 1 {
		t.Errorf("got %v, %v", c, err)
	}
	large := fmt.Sprintf(`{"program":%q}`, strings.Repeat("x", contract.MaxSize))
	if _, err := contract.Decode([]byte(large)); err == nil || !strings.Contains(err.Error(), "at most 1048576 are allowed") {
		t.Errorf("a document of %d bytes: %v", len(large), err)
	}
	if _, err := (&contract.Contract{Program: large}).Encode(); err == nil {
		t.Error("a document is written that is too large to be read")
	}
	if _, err := contract.Decode([]byte(`{`)); err == nil {
		t.Error("a malformed document is read")
	}
}

// Schemas that refer to each other without end, or have more pairs than can be compared, end.
func TestSchemasOfStrangers(t *testing.T) {
	t.Parallel()
	wide := new(strings.Builder) // 300 definitions, each of which names all
	for i := range 300 {
		fmt.Fprintf(wide, `%q:{"type":"object","properties":{`, fmt.Sprint("d", i))
		for j := range 80 {
			fmt.Fprintf(wide, `"%d":{"$ref":"#/$defs/d%d"},`, j, (i*7+j*j)%300)
		}
		wide.WriteString(`"":{}}},`)
	}
	for _, schema := range []string{
		`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}`,
		`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"},{"type":"null"}]},"b":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}}}`,
		`{"$ref":"nowhere"}`, `{"type":[]}`, `{"type":["string","object"]}`, `{"type":"array"}`, `{"type":"array","prefixItems":[null]}`, `{"type":"object","properties":{"a":null},"x-order":["b"]}`,
		`{"anyOf":[null,null]}`, `{"anyOf":[{"anyOf":[{}]},{"type":"null"}]}`, `{"type":"integer","minimum":1e999999999}`,
		`{"$ref":"#/$defs/d0","$defs":{` + wide.String() + `"z":{}}}`,
	} {
		for _, other := range []string{schema, `{"type":"object","properties":{"a":{"type":"string"}}}`, `{}`} {
			document := func(schema string) *contract.Contract {
				c, err := contract.Decode([]byte(`{"handles":[{"kind":"failure","name":"a","value":{"schema":` + schema + `}}]}`))
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			contract.Compare(document(schema), document(other))
		}
	}
}

// The differences from a document that repeats itself, or has long texts, are few and short.
func TestLargeDocumentsOfStrangers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	many := func(text string) string {
		return "[" + strings.Repeat(text+",", 5_000) + text + "]"
	}
	document := `{"program":"` + long + `","handles":[` + strings.Repeat(`{"kind":"event","name":"a","keyed":true,"declared":"`+long[:1000]+`","consumedBy":["`+long[:1000]+`"],"message":{"type":"T","schema":{"type":"object","properties":{"`+long[:1000]+`":{"type":"string"}}}}},`, 200) +
		`{"kind":"event","name":"b","keyed":true,"consumedBy":` + many(`"m"`) + `,"receivers":` + many(`{"module":"m","group":"g"}`) + `}]}`
	theirs, err := contract.Decode([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	mine := &contract.Contract{Program: "p"}
	for _, name := range []string{"a", "b"} {
		mine.Handles = append(mine.Handles, contract.Handle{
			Kind: contract.KindEvent, Name: name, Produces: []string{"m"}, Message: payload(t, codec.JSON, reflect.TypeFor[any]()),
			Receivers: []contract.Receiver{{Module: "other", Group: "g"}},
		})
	}
	all := contract.Compare(mine, theirs)
	size := 0
	for _, d := range all {
		size += len(d.Text)
	}
	if len(all) < 2 || len(all) > 1000 || size > 3000*len(all) {
		t.Errorf("%d differences with %d bytes", len(all), size)
	}
}

// Decoding and comparing never panic, and a Contract has no difference from itself that breaks,
// unless its schemas contradict themselves.
func FuzzDecode(f *testing.F) {
	h := contract.Handle{Kind: contract.KindQueue, Name: "a", Produces: []string{"m"}, Consumes: []string{"m"}, Message: payload(f, codec.JSON, reflect.TypeFor[Big]())}
	g := contract.Handle{Kind: contract.KindFailure, Name: "b", Value: payload(f, codec.JSON, reflect.TypeFor[Tree]())}
	mine := &contract.Contract{Program: "p", Handles: []contract.Handle{h, g}}
	document, err := mine.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(document)
	f.Add([]byte(`{"handles":[{"kind":"failure","name":"b","value":{"schema":{"$ref":"#/$defs/x","$defs":{"x":{"type":"array","items":{"$ref":"#/$defs/x"},"maxItems":-2}}}}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		theirs, err := contract.Decode(data)
		if err != nil {
			return
		}
		contract.Compare(mine, theirs)
		contract.Compare(theirs, mine)
		contract.Compare(theirs, theirs)
		if again, err := theirs.Encode(); err == nil {
			if _, err := contract.Decode(again); err != nil {
				t.Fatalf("%q became %q: %v", data, again, err)
			}
		}
	})
}
