package contract_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/contract"
)

type (
	Order struct {
		ID    int64
		Total int64
	}
	Wide    struct{ ID, Total, Note int64 }
	Renamed struct {
		ID  int64
		Sum int64
	}
	Tree struct {
		Value int64
		Left  *Tree
		Kids  []Tree
	}
	NarrowTree struct {
		Value int8
		Left  *NarrowTree
		Kids  []NarrowTree
	}
	BigTree struct {
		Value int64
		Left  *BigTree
		Kids  []BigTree
		Name  string
	}
	Chain      struct{ Next *Chain }
	Positional struct {
		//lint:ignore U1000 the codec reads its tag
		_msgpack struct{} `msgpack:",as_array"`
		A, B     int64
	}
	Positional3 struct {
		//lint:ignore U1000 the codec reads its tag
		_msgpack struct{} `msgpack:",as_array"`
		A, B, C  int64
	}
	Named struct{ A, B int64 }
)

func one[T any]() reflect.Type { return reflect.TypeFor[struct{ F T }]() }

// seeded are pairs of types, with the result in each direction, in JSON and in MessagePack.
var seeded = map[string]struct {
	old, new      reflect.Type
	json, msgpack [2]contract.Severity // from old to new, and back
	text          string               // a part of the first text in JSON
}{
	"same":          {one[Order](), one[Order](), both(works), both(works), ""},
	"field added":   {reflect.TypeFor[Order](), reflect.TypeFor[Wide](), ways(warning, works), ways(warning, works), "message field Note"},
	"field renamed": {reflect.TypeFor[Order](), reflect.TypeFor[Renamed](), both(warning), both(warning), "only the sender has Total, of the same type: renamed?"},
	"case of a name": {reflect.TypeFor[struct{ ID int }](), reflect.TypeFor[struct {
		ID int `json:"Id"`
	}](), both(works), both(warning), ""},
	"made required": {reflect.TypeFor[struct {
		F int `json:",omitempty"`
	}](), one[int](), both(works), both(works), ""},
	"optional pointer": {reflect.TypeFor[struct {
		F *int `json:",omitempty"`
	}](), one[int](), ways(warning, works), ways(warning, works), "nil may be sent"},
	"narrowed":             {one[int64](), one[int8](), ways(broken, works), ways(broken, works), "an int64 is sent, and an int8 is read"},
	"unsigned":             {one[int32](), one[uint32](), both(broken), both(broken), ""},
	"number to integer":    {one[float64](), one[int16](), ways(broken, works), ways(broken, works), "a float64 is sent"},
	"large integer":        {one[int64](), one[float64](), ways(warning, broken), ways(warning, broken), "loses digits"},
	"narrowed float":       {one[float64](), one[float32](), ways(broken, works), ways(broken, works), ""},
	"retyped":              {one[string](), one[int](), both(broken), both(broken), "a string is sent, and an int64 is read"},
	"retyped bool":         {one[bool](), one[string](), both(broken), both(broken), ""},
	"nested":               {one[Order](), one[Wide](), ways(warning, works), ways(warning, works), "message field F.Note"},
	"in a list":            {one[[]int64](), one[[]int16](), ways(broken, works), ways(broken, works), "message field F[]:"},
	"in a list of structs": {one[[]Order](), one[[]Renamed](), both(warning), both(warning), "F[].Sum"},
	"in a map":             {one[map[string]int64](), one[map[string]uint8](), ways(broken, works), ways(broken, works), "F[]"},
	"keys of a map":        {one[map[string]int](), one[map[int]int](), ways(broken, works), both(broken), "F[key]"},
	"narrower keys":        {one[map[int64]int](), one[map[int8]int](), ways(broken, works), ways(broken, works), "F[key]"},
	"struct and map":       {one[Order](), one[map[string]int64](), ways(works, warning), ways(works, warning), ""},
	"recursive, narrowed":  {reflect.TypeFor[Tree](), reflect.TypeFor[NarrowTree](), ways(broken, works), ways(broken, works), "message field Value"},
	"recursive, added":     {reflect.TypeFor[Tree](), reflect.TypeFor[BigTree](), ways(warning, works), ways(warning, works), "message field Name"},
	"recursive, equal":     {reflect.TypeFor[Chain](), reflect.TypeFor[struct{ Next *Chain }](), both(works), both(works), ""},
	"pointer and value":    {one[*int](), one[int](), ways(warning, works), ways(warning, works), "nil may be sent"},
	"pointer to a struct":  {one[*Order](), one[Order](), ways(warning, works), ways(warning, works), "nil may be sent"},
	"time and string":      {one[time.Time](), one[string](), ways(works, broken), both(broken), ""},
	"bytes and string":     {one[[]byte](), one[string](), ways(warning, broken), ways(warning, works), "base64"},
	"bytes and numbers":    {one[[]byte](), one[[]uint16](), both(broken), both(broken), ""},
	"array of bytes":       {one[[2]byte](), one[[]byte](), ways(works, broken), ways(works, broken), ""},
	"list and array":       {one[[]int](), one[[2]int](), ways(warning, works), ways(broken, works), "missing ones are zero"},
	"longer array":         {one[[2]int](), one[[3]int](), both(warning), ways(warning, broken), ""},
	"embedded": {reflect.TypeFor[struct {
		Base
		N int
	}](), reflect.TypeFor[struct {
		ID int32
		N  int
	}](), both(works), both(works), ""},
	"embedded and named": {reflect.TypeFor[struct {
		Base
		N int
	}](), reflect.TypeFor[struct {
		Base Base
		N    int
	}](), both(warning), both(warning), "message field Base"},
	"embedded, widened": {reflect.TypeFor[struct{ Base }](), reflect.TypeFor[struct{ Wider }](), ways(works, broken), ways(works, broken), ""},
	"in a string": {reflect.TypeFor[struct {
		F int `json:",string"`
	}](), one[int](), both(broken), both(works), "a quoted value"},
	"any":                   {one[int32](), one[any](), ways(works, broken), ways(works, broken), ""},
	"any of large integers": {one[int64](), one[any](), ways(warning, broken), ways(works, broken), "becomes a float64 in an any"},
	"raw JSON":              {one[int64](), one[json.RawMessage](), ways(works, broken), both(broken), ""},
	"array of fields":       {reflect.TypeFor[Positional](), reflect.TypeFor[Positional3](), ways(warning, works), both(broken), ""},
	"fields in order":       {reflect.TypeFor[Positional](), reflect.TypeFor[Named](), both(works), both(works), ""},
}

const (
	works   = contract.Works
	warning = contract.Warning
	broken  = contract.Broken
)

func both(s contract.Severity) [2]contract.Severity { return [2]contract.Severity{s, s} }
func ways(there, back contract.Severity) [2]contract.Severity {
	return [2]contract.Severity{there, back}
}

// Each seeded difference is classified as the codec behaves, in both directions.
func TestSeededTypes(t *testing.T) {
	t.Parallel()
	for name, s := range seeded {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for c, want := range map[codec.Codec][2]contract.Severity{codec.JSON: s.json, codec.MessagePack: s.msgpack} {
				for i, pair := range [][2]reflect.Type{{s.old, s.new}, {s.new, s.old}} {
					is, _, texts := classify(t, c, pair[0], pair[1])
					if is != want[i] {
						t.Errorf("%s: %v into %v is %v %q: want %v", c.ContentType(), pair[0], pair[1], is, texts, want[i])
					}
					if really, why := reality(t, c, pair[0], pair[1]); really != want[i] {
						t.Errorf("%s: %v into %v is really %v (%s): want %v", c.ContentType(), pair[0], pair[1], really, why, want[i])
					}
					if i == 0 && c == codec.JSON && s.text != "" && !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, s.text) }) {
						t.Errorf("no text contains %q: %q", s.text, texts)
					}
				}
			}
		})
	}
}

// JSON ignores case, so a reader may take one of two fields for the other.
func TestNamesThatJSONTakesForOne(t *testing.T) {
	t.Parallel()
	type sent struct{ Key, KEY int }
	type read struct{ Key int }
	var got read
	data, err := codec.JSON.Marshal(&sent{1, 2})
	if err != nil || codec.JSON.Unmarshal(data, &got) != nil || got.Key != 2 {
		t.Fatalf("got %v of %s", got, data)
	}
	for c, want := range map[codec.Codec]contract.Severity{codec.JSON: warning, codec.MessagePack: works} {
		if is, _, texts := classify(t, c, reflect.TypeFor[sent](), reflect.TypeFor[read]()); is != want {
			t.Errorf("%s: got %v %q: want %v", c.ContentType(), is, texts, want)
		}
	}
}

// Types with methods of their own are compared by their names.
func TestTypesWithMethodsCompareByName(t *testing.T) {
	t.Parallel()
	for _, c := range []codec.Codec{codec.JSON, codec.MessagePack} {
		same, unknown, texts := classify(t, c, one[netip.Addr](), one[netip.Addr]())
		if same != works || unknown {
			t.Errorf("%s: %v %q", c.ContentType(), same, texts)
		}
		other, unknown, texts := classify(t, c, one[netip.Addr](), one[netip.Prefix]())
		if other != warning || !unknown {
			t.Errorf("%s: %v %q", c.ContentType(), other, texts)
		}
	}
}

// use sets the use of a handle: "p" produces, "c" consumes, "n" needs, and so on.
func use(h *contract.Handle, as string) {
	for _, letter := range as {
		list := map[rune]*[]string{'p': &h.Produces, 'c': &h.Consumes, 'r': &h.Reads, 'n': &h.Needs, 's': &h.Provides}[letter]
		*list = append(*list, map[rune]string{'p': "shop", 'c': "mail", 'r': "audit", 'n': "shop", 's': "mail"}[letter])
	}
}

func typed(name string, schema *contract.Schema) *contract.Payload {
	return &contract.Payload{Type: name, Schema: schema}
}

func object(field *contract.Schema, required ...string) *contract.Schema {
	return &contract.Schema{Type: contract.Types{"object"}, Properties: map[string]*contract.Schema{"f": field}, Required: required}
}

func texts(values ...any) *contract.Schema {
	return &contract.Schema{Type: contract.Types{"string"}, Enum: values}
}

// Each seeded difference of options is classified right in both directions: [0] for what this
// process sends, [1] for what it reads, and both for options.
func TestSeededDeclarations(t *testing.T) {
	t.Parallel()
	strict := object(texts(), "f")
	strict.AdditionalProperties = &contract.Schema{Not: &contract.Schema{}}
	two := object(texts(), "f")
	two.Properties["g"] = texts()
	mail := func(group string, keys ...string) []contract.Receiver {
		return []contract.Receiver{{Module: "mail", Group: group, Keys: keys}}
	}
	for name, s := range map[string]struct {
		kind         string
		mine, theirs func(h *contract.Handle) // both change the same declaration
		want         [2]contract.Severity
		text         string
	}{
		"key of an event":        {"event", nil, func(h *contract.Handle) { h.Keyed = true }, both(broken), "a key there, and not here"},
		"key of a stored event":  {"event", func(h *contract.Handle) { h.Stored = true }, func(h *contract.Handle) { h.Stored, h.Keyed = true, true }, both(warning), "mono.Keys leaves out"},
		"key of a stream":        {"stream", func(h *contract.Handle) { h.Stored = true }, func(h *contract.Handle) { h.Stored, h.Keyed, h.Partitions = true, true, 16 }, both(broken), "a key there"},
		"partitions":             {"stream", func(h *contract.Handle) { h.Stored, h.Keyed, h.Partitions = true, true, 8 }, func(h *contract.Handle) { h.Stored, h.Keyed, h.Partitions = true, true, 16 }, both(broken), "mono.Partitions(8) here, and 16 there"},
		"unordered":              {"stream", func(h *contract.Handle) { h.Stored, h.Keyed, h.Partitions = true, true, 16 }, func(h *contract.Handle) { h.Stored, h.Keyed, h.Unordered = true, true, true }, both(broken), "unordered there"},
		"unordered without keys": {"stream", func(h *contract.Handle) { h.Stored = true }, func(h *contract.Handle) { h.Stored, h.Unordered = true, true }, both(warning), "unordered there"},
		"stored queue":           {"queue", func(h *contract.Handle) { h.Stored = true }, nil, both(broken), "mono.NonPersistent"},
		"durable event":          {"event", func(h *contract.Handle) { h.Stored = true }, nil, both(warning), "mono.Durable"},
		"groups of a queue":      {"queue", func(h *contract.Handle) { h.Stored, h.Groups = true, []string{"a"} }, func(h *contract.Handle) { h.Stored, h.Groups = true, []string{"a", "b"} }, both(warning), "jobs for b wait"},
		"groups without a store": {"queue", func(h *contract.Handle) { h.Groups = []string{"a"} }, func(h *contract.Handle) { h.Groups, h.Receivers = []string{"a", "b"}, mail("b") }, both(broken), "jobs for b"},
		"one group, other keys":  {"event", func(h *contract.Handle) { h.Receivers = mail("mail", "eu") }, func(h *contract.Handle) { h.Receivers = mail("mail", "us") }, both(broken), "mono.Keys(eu) here, and (us) there"},
		"one group, two modules": {"event", func(h *contract.Handle) { h.Receivers = mail("g") }, func(h *contract.Handle) { h.Receivers = []contract.Receiver{{Module: "audit", Group: "g"}} }, both(broken), "share the group g"},
		"one group, the same":    {"event", func(h *contract.Handle) { h.Receivers = mail("g", "b", "a") }, func(h *contract.Handle) { h.Receivers = mail("g", "a", "b") }, both(works), ""},
		"option of a group": {"queue", func(h *contract.Handle) {
			h.Receivers = []contract.Receiver{{Module: "mail", Group: "g", Options: map[string]string{"MaxAttempts": "2"}}}
		}, func(h *contract.Handle) { h.Receivers = mail("g") }, both(warning), "mono.MaxAttempts(2) here, and no mono.MaxAttempts there"},
		"option of a log":       {"stream", func(h *contract.Handle) { h.Options = map[string]string{"MaxAge": "1h0m0s"} }, func(h *contract.Handle) { h.Options = map[string]string{"MaxAge": "2h0m0s"} }, both(warning), "mono.MaxAge(1h0m0s)"},
		"option of one process": {"queue", func(h *contract.Handle) { h.Options = map[string]string{"Concurrency": "4", "Doc": "x"} }, nil, both(works), ""},
		"version":               {"queue", func(h *contract.Handle) { h.Version = "1.2.0" }, func(h *contract.Handle) { h.Version = "1.9.0" }, both(works), ""},
		"incompatible version":  {"queue", func(h *contract.Handle) { h.Version = "1.2.0" }, func(h *contract.Handle) { h.Version = "2.0.0" }, both(warning), "mono.Version(1.2.0)"},
		"unknown codec":         {"queue", func(h *contract.Handle) { h.Codec = "application/cbor" }, func(h *contract.Handle) { h.Decodes = nil }, ways(broken, warning), "application/cbor is sent, and application/json is read"},
		"known codec":           {"queue", func(h *contract.Handle) { h.Codec = "application/cbor" }, func(h *contract.Handle) { h.Decodes = []string{"application/cbor"} }, both(warning), "types are not compared"},
		"raw and JSON":          {"queue", func(h *contract.Handle) { h.Codec = "application/octet-stream" }, func(h *contract.Handle) { h.Decodes = []string{"application/octet-stream"} }, ways(broken, warning), "octet-stream is sent"},
		"raw, other type":       {"queue", func(h *contract.Handle) { h.Codec, h.Message = "application/octet-stream", typed("shop.Image", nil) }, func(h *contract.Handle) { h.Codec, h.Message = "application/octet-stream", typed("shop.Picture", nil) }, both(warning), "compared by their names"},
		"custom, same type":     {"queue", func(h *contract.Handle) { h.Codec, h.Message = "application/cbor", typed("shop.Order", nil) }, func(h *contract.Handle) { h.Codec, h.Message = "application/cbor", typed("shop.Order", nil) }, both(works), ""},
		"custom, other type":    {"queue", func(h *contract.Handle) { h.Codec, h.Message = "application/cbor", typed("shop.Order", nil) }, func(h *contract.Handle) { h.Codec, h.Message = "application/cbor", typed("shop.Order2", nil) }, both(warning), "shop.Order is sent"},
		"newer payload": {"event", func(h *contract.Handle) {
			h.Message = &contract.Payload{Type: "T2", Version: 2, Schema: two, Older: []contract.Payload{{Type: "T", Schema: object(texts(), "f")}}}
		},
			func(h *contract.Handle) { h.Message = typed("T", object(texts(), "f")) }, ways(broken, works), "version 2 of the payload is sent, and the reader knows 1"},
		"narrowed enum":   {"event", func(h *contract.Handle) { h.Message = typed("T", object(texts("a", "b"))) }, func(h *contract.Handle) { h.Message = typed("T", object(texts("a"))) }, ways(broken, works), `the value "b" may be sent`},
		"strict decoding": {"event", func(h *contract.Handle) { h.Message = typed("T", two) }, func(h *contract.Handle) { h.Message = typed("T", strict) }, ways(broken, warning), "refuses unknown fields"},
		"demanded field": {"event", func(h *contract.Handle) { h.Message = typed("T", object(texts(), "f")) }, func(h *contract.Handle) {
			h.Message = typed("T", two)
			h.Message.Schema.Required, h.Message.Demands = []string{"f", "g"}, true
		}, ways(broken, works), "the reader demands it"},
		"made required": {"event", func(h *contract.Handle) { h.Message = typed("T", object(texts())) }, func(h *contract.Handle) {
			h.Message = typed("T", object(texts(), "f"))
			h.Message.Demands = true
		}, ways(broken, works), "it may be left out"},
	} {
		t.Run(name, func(t *testing.T) {
			declare := func(change func(*contract.Handle)) *contract.Contract {
				h := contract.Handle{Kind: s.kind, Name: "orders", Declared: "orders.go:12"}
				if h.Message = typed("T", nil); change != nil {
					change(&h)
				}
				use(&h, "pc")
				return &contract.Contract{Program: "p", Handles: []contract.Handle{h}}
			}
			for turned := range 2 {
				mine, theirs := declare(s.mine), declare(s.theirs)
				if turned == 1 {
					mine, theirs = theirs, mine
				}
				var got [2]contract.Severity
				var all []string
				for _, d := range contract.Compare(mine, theirs) {
					all = append(all, d.Text)
					if d.Direction != contract.Incoming {
						got[turned] = max(got[turned], d.Severity)
					}
					if d.Direction != contract.Outgoing {
						got[1-turned] = max(got[1-turned], d.Severity)
					}
				}
				if got != s.want {
					t.Errorf("turned %d: got %v: want %v: %q", turned, got, s.want, all)
				}
				if turned == 0 && !strings.Contains(strings.Join(all, "\n"), s.text) {
					t.Errorf("no text contains %q: %q", s.text, all)
				}
			}
		})
	}
}

// The request of a service goes to its provider, and the reply to its callers.
func TestDirectionsOfAService(t *testing.T) {
	t.Parallel()
	declare := func(as string, reply reflect.Type) *contract.Contract {
		h := contract.Handle{Kind: contract.KindService, Name: "orders.place", Version: "1.2.0", Declared: as + ".go:1", Request: payload(t, codec.JSON, one[int]()), Reply: payload(t, codec.JSON, reply)}
		use(&h, as)
		return &contract.Contract{Program: "program-" + as, Modules: []contract.Module{{Name: "mail", Version: "1.0.0"}}, Handles: []contract.Handle{h}}
	}
	found := contract.Compare(declare("n", one[int8]()), declare("s", one[int64]()))
	if len(found) != 1 {
		t.Fatalf("got %v: want one difference", found)
	}
	d := found[0]
	if d.Direction != contract.Incoming || d.Part != "reply" || d.Path != "F" || d.Severity != broken || d.Handle != "service orders.place" {
		t.Errorf("got %+v", d)
	}
	const want = "service orders.place, reply field F: the other program sends and this one reads: an int64 is sent, and an int8 is read: let the reader accept the larger type first; " +
		"declared here at n.go:1 (program program-n, module shop, version 1.2.0), and there at s.go:1 (program program-s, module mail 1.0.0, version 1.2.0)"
	if d.Text != want {
		t.Errorf("got  %s\nwant %s", d.Text, want)
	}
	if found := contract.Compare(declare("s", one[int8]()), declare("n", one[int64]())); len(found) != 0 {
		t.Errorf("a reply that the caller reads is reported: %v", found)
	}
	if found := contract.Compare(declare("n", one[int8]()), declare("n", one[int64]())); len(found) != 0 {
		t.Errorf("two callers are compared: %v", found)
	}
}

// A failure is sent and read by every process that declares it.
func TestFailures(t *testing.T) {
	t.Parallel()
	declare := func(value reflect.Type) *contract.Contract {
		return &contract.Contract{Handles: []contract.Handle{{Kind: contract.KindFailure, Name: "orders.gone", Value: payload(t, codec.JSON, value)}}}
	}
	found := contract.Compare(declare(one[int8]()), declare(one[int64]()))
	if len(found) != 1 || found[0].Direction != contract.Incoming || found[0].Severity != broken {
		t.Errorf("got %v: want one that is incoming and broken", found)
	}
}

// Programs with different wire versions are not compared any further.
func TestWireVersions(t *testing.T) {
	t.Parallel()
	found := contract.Compare(&contract.Contract{Wire: 1}, &contract.Contract{Program: "shop", Wire: 2})
	if len(found) != 1 || found[0].Severity != broken || !strings.Contains(found[0].Text, "program shop has version 2") {
		t.Errorf("got %v", found)
	}
}
