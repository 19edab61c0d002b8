package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/codec"
)

// Two releases of a person, whose address and base have renamed fields.
type (
	address1 struct {
		Zip  string `json:"zip"`
		City string `json:"city"`
	}
	address2 struct {
		City     string `json:"city"`
		Postcode string `json:"postcode"`
	}
	base1 struct {
		Number int `json:"nr"`
	}
	base2 struct {
		ID int `json:"id"`
	}
	person1 struct {
		base1
		Home   address1             `json:"home"`
		Others []address1           `json:"others"`
		ByName map[string]*address1 `json:"by_name"`
		Any    any                  `json:"any"`
		Last   *[1]address1         `json:"last"`
		Parent *person1             `json:"parent"`
		Note   string               `json:"note"`
	}
	person2 struct {
		base2
		Home   address2             `json:"home"`
		Others []address2           `json:"others"`
		ByName map[string]*address2 `json:"by_name"`
		Any    any                  `json:"any"`
		Last   *[1]address2         `json:"last"`
		Parent *person2             `json:"parent"`
		Note   string               `json:"note"`
	}
)

func renames() []codec.Option {
	return []codec.Option{codec.Aliases[address2]("postcode", "zip", "PLZ"), codec.Aliases[base2]("id", "nr")}
}

// renamingCodecs are codecs that read person1 as person2, and those that write a person1.
func renamingCodecs(more ...codec.Option) map[codec.Codec]codec.Codec {
	opts := append(renames(), more...)
	return map[codec.Codec]codec.Codec{codec.JSON: codec.NewJSON(opts...), codec.MessagePack: codec.NewMessagePack(opts...)}
}

// people draws a person, and returns it in the shapes of both releases.
func people(t *rapid.T, depth int) (one person1, two person2) {
	address := func() (address1, address2) {
		zip, city := rapid.String().Draw(t, "zip"), rapid.String().Draw(t, "city")
		return address1{zip, city}, address2{city, zip}
	}
	one.Number = rapid.IntRange(-9, 9).Draw(t, "number")
	one.Note = rapid.String().Draw(t, "note")
	one.Any = map[string]any{"zip": "z", "nr": "n"}
	one.ByName, two.ByName = make(map[string]*address1), make(map[string]*address2)
	one.Last, two.Last = new([1]address1), new([1]address2)
	two.ID, two.Note, two.Any = one.Number, one.Note, one.Any
	one.Home, two.Home = address()
	one.Last[0], two.Last[0] = address()
	for _, key := range rapid.SliceOfN(rapid.SampledFrom([]string{"zip", "a", "nr", `"\`}), 0, 3).Draw(t, "keys") {
		a, b := address()
		one.Others, two.Others = append(one.Others, a), append(two.Others, b)
		one.ByName[key], two.ByName[key] = &a, &b
	}
	if depth > 0 && rapid.Bool().Draw(t, "parent") {
		a, b := people(t, depth-1)
		one.Parent, two.Parent = &a, &b
	}
	return one, two
}

// Messages of both releases arrive in the newer shape, wherever the struct is, and nothing else in
// them changes. The options change nothing that is written.
func TestAliases(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		strict := rapid.SampledFrom([][]codec.Option{nil, {codec.DisallowUnknownFields()}}).Draw(t, "strict")
		for plain, reads := range renamingCodecs(strict...) {
			one, two := people(t, 2)
			for _, sent := range []any{&one, &two} {
				data, err := plain.Marshal(sent)
				if err != nil {
					t.Fatal(err)
				}
				if plain == codec.JSON && rapid.Bool().Draw(t, "indent") {
					var v json.RawMessage = data
					data, _ = json.MarshalIndent(v, " ", "\t")
				}
				before := string(data)
				var got person2
				if err := reads.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, two) {
					t.Fatalf("%s: got %+v, %v, want %+v", reads, got, err, two)
				}
				if string(data) != before {
					t.Fatalf("%s: Unmarshal changed its input", reads)
				}
			}
			want, _ := plain.Marshal(&two.Others)
			if data, err := reads.Marshal(&two.Others); err != nil || string(data) != string(want) {
				t.Fatalf("%s: wrote %q, %v", reads, data, err)
			}
		}
	})
}

func TestSpellingsOfAnAlias(t *testing.T) {
	t.Parallel()
	c := codec.NewJSON(renames()...)
	for data, want := range map[string]string{
		`{"zip":"1"}`: "1", `{"ZIP":"1"}`: "1", `{"plz":"1"}`: "1", `{"z\u0069p":"1"}`: "1", `{"postCode":"1"}`: "1",
		`{"zip":"1","postcode":"2"}`: "2", `{"postcode":"2","zip":"1"}`: "1", `{"zip":"1","plz":"3"}`: "3",
		` { "zip" : "1" , "x" : [ { "zip" : "}" } , "\"]" , -1e5 , null ] } `: "1",
		`null`: "", `{}`: "", `{"zips":"1"}`: "", "{\"zip\xff\":\"1\"}": "",
	} {
		var got address2
		if err := c.Unmarshal([]byte(data), &got); err != nil || got.Postcode != want {
			t.Errorf("%s: got %+v, %v", data, got, err)
		}
	}
	m := codec.NewMessagePack(renames()...)
	for name, want := range map[string]string{"zip": "1", "PLZ": "1", "postcode": "1", "Zip": "", "plz": ""} {
		var got address2
		if err := m.Unmarshal([]byte(packed(M{name: "1"})), &got); err != nil || got.Postcode != want {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// A field that is promoted from an embedded struct has the aliases of both structs.
func TestAliasesOfAPromotedField(t *testing.T) {
	t.Parallel()
	opts := []codec.Option{codec.Aliases[base2]("id", "nr"), codec.Aliases[person2]("id", "number"), codec.Aliases[person2]("id", "no")}
	for _, c := range []codec.Codec{codec.NewJSON(opts...), codec.NewMessagePack(opts...)} {
		for _, name := range []string{"id", "nr", "number", "no"} {
			data, _ := codec.WithoutOptions(c).Marshal(&map[string]int{name: 7})
			var person person2
			if err := c.Unmarshal(data, &person); err != nil || person.ID != 7 {
				t.Errorf("%s: %s of a person: %+v, %v", c, name, person, err)
			}
			var base base2
			if err := c.Unmarshal(data, &base); err != nil || (base.ID == 7) != (name == "id" || name == "nr") {
				t.Errorf("%s: %s of a base: %+v, %v", c, name, base, err)
			}
		}
	}
}

func TestUnknownFieldsAreDisallowed(t *testing.T) {
	t.Parallel()
	json, pack := codec.NewJSON(codec.DisallowUnknownFields()), codec.NewMessagePack(codec.DisallowUnknownFields())
	aliases := renamingCodecs(codec.DisallowUnknownFields())
	const remedy = `: add it to the type, or use codec.Aliases if it was renamed`
	for _, c := range []struct {
		codec codec.Codec
		data  string
		want  string // after the name of the type
	}{
		{json, `{"home":{"city":"x"},"id":1,"HOME":{}}`, ""},
		{pack, packed(M{"home": M{"city": "x"}}), ""},
		{json, `{"any":{"x":1},"by_name":{"x":{}}}`, ""},
		{pack, packed(M{"any": M{"x": 1}, "by_name": M{"x": M{}}}), ""},
		{json, `{"id":1, "zip":2}`, ` at byte 9: unknown field "zip"` + remedy},
		{json, `{"others":[{},{"city":"x" ,"zip":2}]}`, ` at byte 27 (field others[1]): unknown field "zip"` + remedy},
		{pack, packed(M{"others": []M{{}, {"zip": "x"}}}), ` at byte 11 (field others[1]): unknown field "zip"` + remedy},
		{json, `{"home":{"\"\u00e4":2}}`, ` at byte 9 (field home): unknown field "\"ä"` + remedy},
		{json, `{"` + strings.Repeat("x", 100) + `":2}`, ` at byte 1: unknown field "` + strings.Repeat("x", 40) + `"` + remedy},
		{pack, packed(M{strings.Repeat("x", 100): 1}), ` at byte 1: unknown field "` + strings.Repeat("x", 40) + `"` + remedy},
		{json, `{"zip":`, ` at byte 6: unexpected end of JSON input`},
		{json, `{} {}`, ` at byte 3: invalid character '{' after top-level value`},
		{json, `{"id":"x","zip":1}`, ` at byte 9 (field base2.id): a JSON string cannot become int`},
		{aliases[codec.JSON], `{"nr":1,"others":[{"zip":"x"},{"city":"x","zup":2}]}`, ` at byte 42 (field others[1]): unknown field "zup"` + remedy},
		{aliases[codec.JSON], `{"others":[{"zip":"x","plz":1}]}`, ` at byte 29 (field others.postcode): a JSON number cannot become string`},
		{aliases[codec.JSON], `{"nr":1,}`, ` at byte 8: invalid character '}' looking for beginning of object key string`},
		{aliases[codec.MessagePack], packed(M{"others": []M{{"zip": "x"}, {"zup": "x"}}}), ` at byte 17 (field others[1]): unknown field "zup"` + remedy},
	} {
		var got person2
		err := c.codec.Unmarshal([]byte(c.data), &got)
		if text := fmt.Sprint(err); c.want == "" && err != nil || c.want != "" && text != "cannot decode "+c.codec.ContentType()+" into codec_test.person2"+c.want {
			t.Errorf("%q: got %s, want %s", c.data, text, c.want)
		}
		if _, ok := errors.AsType[*codec.Error](err); err != nil && !ok {
			t.Errorf("%T is no *codec.Error", err)
		}
	}
}

// embedsTwo has a field with the name of an alias in a struct that it embeds.
type embedsTwo struct {
	base2
	NR int `json:"NR" msgpack:"nr"`
}

type readsItself struct{ X int }

func (*readsItself) UnmarshalJSON([]byte) error    { return nil }
func (*readsItself) UnmarshalMsgpack([]byte) error { return nil }

func TestWrongAliasesPanic(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option codec.Option
		want   string
	}{
		{codec.Aliases[address2]("zip", "plz"), `Aliases[codec_test.address2]("zip", "plz"): codec_test.address2 has no field with the encoded name "zip": use one of ["city" "postcode"]`},
		{codec.Aliases[address2]("Postcode", "plz"), `has no field with the encoded name "Postcode"`},
		{codec.Aliases[address2]("postcode"), "want at least one alias"},
		{codec.Aliases[address2]("postcode", ""), `invalid alias ""`},
		{codec.Aliases[address2]("postcode", "\xff"), "want text in UTF-8"},
		{codec.Aliases[address2]("postcode", "postcode"), `the name "postcode" is given twice`},
		{codec.Aliases[address2]("postcode", "zip", "zip"), `the name "zip" is given twice`},
		{codec.Aliases[address2]("postcode", "city"), `the alias "city" of "postcode" is a name of another field`},
		{codec.Aliases[person2]("note", "id"), `the alias "id" of "note" is a name of another field`},
		{codec.Aliases[embedsTwo]("id", "nr"), `the alias "nr" of "id" is a name of another field`},
		{codec.Aliases[int]("a", "b"), "int is not a struct"},
		{codec.Aliases[*address2]("postcode", "zip"), "*codec_test.address2 is not a struct"},
		{codec.Aliases[readsItself]("X", "Y"), "codec_test.readsItself is decoded by its Unmarshal"},
		{nil, "an option is nil"},
	} {
		for name, declare := range map[string]func(...codec.Option) codec.Codec{"NewJSON": codec.NewJSON, "NewMessagePack": codec.NewMessagePack} {
			if got := panicOf(func() { declare(c.option) }); !strings.HasPrefix(got, "codec."+name+": ") || !strings.Contains(got, c.want) {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
		}
	}
	twice := []codec.Option{codec.Aliases[address2]("postcode", "zip"), codec.Aliases[address2]("city", "zip")}
	if got, want := panicOf(func() { codec.NewJSON(twice...) }), `the alias "zip" of `; !strings.Contains(got, want) {
		t.Errorf("one alias of two fields: %q", got)
	}
	if got, want := panicOf(func() { codec.NewMessagePack(twice...) }), `the alias "zip" of `; !strings.Contains(got, want) {
		t.Errorf("one alias of two fields: %q", got)
	}
	if got := panicOf(func() { codec.NewJSON(codec.Aliases[address2]("postcode", "CITY")) }); !strings.Contains(got, `the alias "CITY" of "postcode" is a name of another field`) {
		t.Errorf("another case: %q", got)
	}
}

func panicOf(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}

// CheckType reports what only the outer struct shows, and no value of such a type is decoded.
func TestAliasThatAnOuterStructHas(t *testing.T) {
	t.Parallel()
	for _, c := range renamingCodecs() {
		type holder struct{ All []*embedsTwo }
		err := c.(codec.TypeChecker).CheckType(reflect.TypeFor[holder]())
		if err == nil || !strings.Contains(err.Error(), `codec_test.embedsTwo: the alias "nr" of "id" is a name of another field`) {
			t.Errorf("%s: got %v", c, err)
		}
		data, _ := c.Marshal(&holder{})
		if err := c.Unmarshal(data, new(holder)); err == nil {
			t.Errorf("%s: such a value was decoded", c)
		}
		for _, of := range []reflect.Type{reflect.TypeFor[person2](), reflect.TypeFor[int]()} {
			if err := c.(codec.TypeChecker).CheckType(of); err != nil {
				t.Errorf("%s: %v", c, err)
			}
		}
		if err := c.(codec.TypeChecker).CheckType(reflect.TypeFor[chan int]()); err == nil {
			t.Errorf("%s carries a chan int", c)
		}
	}
}

// CheckAliases reports aliases that have no effect on any of the types.
func TestCheckAliases(t *testing.T) {
	t.Parallel()
	type holder struct{ M map[string][]*person2 }
	type opaque struct{ R readsItself }
	type away struct {
		Any any
		at  address2
	}
	_ = away{}.at
	person, none := reflect.TypeFor[holder](), []reflect.Type{reflect.TypeFor[opaque](), reflect.TypeFor[away](), reflect.TypeFor[person1]()}
	old := mustUpcasts(t, codec.Upcast("1", func(person2) (person1, error) { return person1{}, nil }))
	for _, c := range renamingCodecs() {
		err := codec.CheckAliases(c, none...)
		if err == nil || !strings.Contains(err.Error(), `Aliases[codec_test.address2]("postcode", "zip", "PLZ")`) || !strings.Contains(err.Error(), "codec_test.opaque") {
			t.Errorf("%s: got %v", c, err)
		}
		if err := codec.CheckAliases(c, append(none, person)...); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		if err := codec.CheckAliases(old.Newest(c), reflect.TypeFor[person1]()); err != nil {
			t.Errorf("%s, an older version: %v", c, err)
		}
	}
	for _, c := range append(allCodecs(), nil, codec.NewJSON(codec.DisallowUnknownFields())) {
		if err := codec.CheckAliases(c, none...); err != nil {
			t.Error(err)
		}
	}
}

func TestCodecsWithOptions(t *testing.T) {
	t.Parallel()
	if codec.NewJSON() != codec.JSON || codec.NewMessagePack() != codec.MessagePack {
		t.Error("a codec without options is another codec")
	}
	for plain, with := range renamingCodecs(codec.DisallowUnknownFields()) {
		if codec.WithoutOptions(with) != plain || codec.WithoutOptions(plain) != plain || with.ContentType() != plain.ContentType() {
			t.Errorf("%s is not %s", with, plain)
		}
		if got, want := fmt.Sprint(with), plain.ContentType()+` with Aliases[codec_test.address2]("postcode", "zip", "PLZ"), Aliases[codec_test.base2]("id", "nr"), DisallowUnknownFields()`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := with.Unmarshal(nil, nil); err == nil {
			t.Error("nil was decoded")
		}
	}
	if c := (textCodec{}); codec.WithoutOptions(c) != codec.Codec(c) {
		t.Error("another codec was changed")
	}
}

// No bytes cause a panic, and the place of an error is in the message.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{`{"nr":1,"others":[{"zip":"x"},{"city":"x","zup":2}]}`, `{"home":{"z\u0069p":{}},"parent":null}`, `{"zip":`, packed(M{"nr": 1, "home": M{"zip": 1}})} {
		f.Add([]byte(seed))
	}
	codecs := renamingCodecs()
	strict := renamingCodecs(codec.DisallowUnknownFields())
	f.Fuzz(func(t *testing.T, data []byte) {
		for plain, c := range codecs {
			var got, strictly person2
			err := c.Unmarshal(data, &got)
			if e, ok := errors.AsType[*codec.Error](err); err != nil && (!ok || e.Offset > int64(len(data))) {
				t.Fatalf("%s: %v", c, err)
			}
			if err == nil && plain.Unmarshal(data, new(person2)) != nil {
				t.Fatalf("%s: a message was decoded that %s refuses", c, plain.ContentType())
			}
			failed := strict[plain].Unmarshal(data, &strictly)
			if e, ok := errors.AsType[*codec.Error](failed); failed != nil && (!ok || e.Offset > int64(len(data))) {
				t.Fatalf("%s: %v", c, failed)
			}
			if failed == nil && (err != nil || !reflect.DeepEqual(got, strictly)) {
				t.Fatalf("%s: %+v, %v, and strictly %+v", c, got, err, strictly)
			}
		}
	})
}
