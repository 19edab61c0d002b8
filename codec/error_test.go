package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gomono.dev/codec"
)

type PlaceRequest struct {
	Account string    `json:"account"`
	Lines   []Line    `json:"lines"`
	At      time.Time `json:"at"`
	Rude    Rude      `json:"rude"`
	Count   uint8     `json:"count"`
}

// Rude panics, and quotes its input.
type Rude string

func (r *Rude) UnmarshalText(b []byte) error {
	if string(b) == "panic" {
		panic("hunter2")
	}
	return fmt.Errorf("I refuse %s", b)
}
func (r Rude) MarshalText() ([]byte, error) { return []byte(r), nil }

type M = map[string]any

func TestErrorsNameTypeAndPlace(t *testing.T) {
	t.Parallel()
	const into = " into codec_test.PlaceRequest"
	cases := []struct {
		name  string
		codec codec.Codec
		data  string
		want  string
	}{
		{"json empty", codec.JSON, ``, into + `: the message is empty`},
		{"json cut", codec.JSON, `{"account":"hunter2"`, into + ` at byte 19: unexpected end of JSON input`},
		{"json malformed", codec.JSON, `{"account":x`, into + ` at byte 11: invalid character 'x' looking for beginning of value`},
		{"json trailing", codec.JSON, `{} {}`, into + ` at byte 3: invalid character '{' after top-level value`},
		{"json kind", codec.JSON, `{"lines":[{"quantity":"hunter2"}]}`, into + ` at byte 31 (field lines.quantity): a JSON string cannot become int8`},
		{"json range", codec.JSON, `{"lines":[{"quantity":4111}]}`, into + ` at byte 26 (field lines.quantity): a number that does not fit int8`},
		{"json fraction", codec.JSON, `{"count":1.5}`, into + ` at byte 12 (field count): a number that does not fit uint8`},
		{"json negative", codec.JSON, `{"count":-1}`, into + ` at byte 11 (field count): a number that does not fit uint8`},
		{"json time", codec.JSON, `{"at":"hunter2"}`, into + ` at byte 6 (field at): not a time: want RFC 3339`},
		{"json own error", codec.JSON, `{"rude":"hunter2"}`, into + ` at byte 8 (field rude): a value was refused (*errors.errorString)`},
		{"json own panic", codec.JSON, `{"rude":"panic"}`, into + ` at byte 8 (field rude): a method of the type panicked (string)`},

		{"msgpack empty", codec.MessagePack, "", into + ` at byte 0: the message is empty`},
		{"msgpack cut", codec.MessagePack, "\x81\xa7account", into + ` at byte 9: the message ends early`},
		{"msgpack cut string", codec.MessagePack, "\x81\xa7account\xa9hunter2", into + ` at byte 9: a string is declared longer than the message`},
		{"msgpack trailing", codec.MessagePack, "\x80\x80", into + ` at byte 1: there are more bytes after the value`},
		{"msgpack unused code", codec.MessagePack, "\xc1", into + ` at byte 0: 0xc1 is not a code of MessagePack`},
		{"msgpack declared array", codec.MessagePack, "\xdd\xff\xff\xff\xff", into + ` at byte 0: an array is declared longer than the message`},
		{"msgpack declared map", codec.MessagePack, "\xdf\xff\xff\xff\xff\x00\x00", into + ` at byte 0: a map is declared longer than the message`},
		{"msgpack declared ext", codec.MessagePack, "\xc9\xff\xff\xff\xff\x01", into + ` at byte 0: an extension type is declared longer than the message`},
		{"msgpack too deep", codec.MessagePack, strings.Repeat("\x91", 1001) + "\x00", into + ` at byte 1000: nested more than 1000 deep`},
		{"msgpack not a struct", codec.MessagePack, "\x05", into + ` at byte 0: an integer cannot become codec_test.PlaceRequest`},
		{"msgpack kind", codec.MessagePack, packed(M{"lines": []M{{}, {"quantity": "hunter2"}}}), into + ` at byte 19 (field lines[1].quantity): a string cannot become int8`},
		{"msgpack range", codec.MessagePack, packed(M{"lines": []M{{"quantity": 4111}}}), into + ` at byte 18 (field lines[0].quantity): an integer that does not fit int8`},
		{"msgpack fraction", codec.MessagePack, packed(M{"count": 1.5}), into + ` at byte 7 (field count): a float that does not fit uint8`},
		{"msgpack whole float", codec.MessagePack, packed(M{"count": 1.0}), into + ` at byte 7 (field count): a float that does not fit uint8`},
		{"msgpack negative", codec.MessagePack, packed(M{"count": -1}), into + ` at byte 7 (field count): a negative integer that does not fit uint8`},
		{"msgpack time", codec.MessagePack, packed(M{"at": "hunter2"}), into + ` at byte 4 (field at): not a time: want RFC 3339`},
		{"msgpack nsec", codec.MessagePack, "\x81\xa2at\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", into + ` at byte 4 (field at): a malformed timestamp`},
		{"msgpack own error", codec.MessagePack, packed(M{"rude": "hunter2"}), into + ` at byte 6 (field rude): a value was refused (*errors.errorString)`},
		{"msgpack own panic", codec.MessagePack, packed(M{"rude": "panic"}), into + ` at byte 6 (field rude): a method of the type panicked (string)`},
		{"msgpack ext into map", codec.MessagePack, "\x81\xa2at\xc7\x05\x01\xdf\xff\xff\xff\xff", into + ` at byte 4 (field at): an extension type cannot become time.Time: want a timestamp`},
		{"msgpack short tuple", codec.MessagePack, "\x91\x00", into + ` at byte 0: an array of 1, and codec_test.PlaceRequest has 5 fields`},
		{"msgpack field name", codec.MessagePack, "\x81\x01\x02", into + ` at byte 1: the name of a field of codec_test.PlaceRequest is an integer: want a string`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var v PlaceRequest
			err := tc.codec.Unmarshal([]byte(tc.data), &v)
			e, ok := errors.AsType[*codec.Error](err)
			if !ok {
				t.Fatalf("got %v: want a *codec.Error", err)
			}
			if want := "cannot decode " + tc.codec.ContentType() + tc.want; e.Error() != want {
				t.Errorf("got  %s\nwant %s", e, want)
			}
			if e.Type != reflect.TypeFor[PlaceRequest]() || e.ContentType != tc.codec.ContentType() || e.Err == nil {
				t.Errorf("incomplete: %#v", e)
			}
			if strings.Contains(e.Error(), "hunter2") || strings.Contains(e.Error(), "4111") {
				t.Errorf("quotes the payload: %s", e)
			}
		})
	}
}

// A value that a method of a type refuses is found wherever it is.
func TestJSONPlaces(t *testing.T) {
	t.Parallel()
	type Since struct{ Since time.Time }
	type deep struct {
		Since
		More   []*deep `json:"more"`
		ByName map[string]deep
		Blob   []byte `json:"blob"`
		Any    any
		N      int `json:"n"`
		Own    Rude
	}
	for data, want := range map[string]string{
		`{"Since":"x"}`: ` at byte 9 (field Since): not a time`,
		`{ "n" : 1, "more": [null, {}, {"MORE" : [ {"since": "x"} ] }]}`:           ` at byte 52 (field more[2].MORE[0].since): not a time`,
		`{"ByName":{"k":{"blob":"?"}}}`:                                            ` at byte 23 (field ByName.blob): illegal base64`,
		`{"Any":{"Since":"x"},"unknown":[{"Since":"x"}],"more":[{"Own":"panic"}]}`: ` at byte 62 (field more[0].Own): a method of the type panicked`,
		`{"more":null,"Own":"hunter2","Since":"x"}`:                                ` at byte 19 (field Own): a value was refused`,
	} {
		err := codec.JSON.Unmarshal([]byte(data), new(deep))
		if err == nil || !strings.Contains(err.Error(), "codec_test.deep"+want) {
			t.Errorf("%s: got %v, want %s", data, err, want)
		}
	}
}

func packed(v any) string {
	b, err := msgpack.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestErrorKeepsItsCause(t *testing.T) {
	t.Parallel()
	for _, c := range textCodecs() {
		data := []byte(`{"at":"soon"}`)
		if c == codec.MessagePack {
			data = []byte(packed(M{"at": "soon"}))
		}
		err := c.Unmarshal(data, new(PlaceRequest))
		if _, ok := errors.AsType[*time.ParseError](err); !ok {
			t.Errorf("%s: no *time.ParseError in %v", c.ContentType(), err)
		}
	}
}

func TestPanicsKeepTheirStack(t *testing.T) {
	t.Parallel()
	err := codec.JSON.Unmarshal([]byte(`{"rude":"panic"}`), new(PlaceRequest))
	if text := fmt.Sprintf("%+v", errors.Unwrap(err)); !strings.Contains(text, "hunter2") || !strings.Contains(text, "UnmarshalText") {
		t.Errorf("got %s", text)
	}
}

// Broken cannot be encoded.
type Broken struct{}

func (Broken) MarshalText() ([]byte, error) { panic("broken") }
func (*Broken) UnmarshalText([]byte) error  { return nil }

func TestMarshalErrorsNameTheType(t *testing.T) {
	t.Parallel()
	for _, c := range textCodecs() {
		_, err := c.Marshal(new(Broken))
		want := "cannot encode codec_test.Broken into " + c.ContentType() + ": a method of the type panicked (string)"
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	if _, err := codec.JSON.Marshal(&[]float64{math.NaN()}); err == nil || !strings.Contains(err.Error(), "[]float64") {
		t.Errorf("NaN in JSON: %v", err)
	}
	var unsupported *json.UnsupportedValueError
	if _, err := codec.JSON.Marshal(&[]float64{math.NaN()}); !errors.As(err, &unsupported) {
		t.Errorf("the cause is lost: %v", err)
	}
}
