package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gomono.dev/codec"
)

// trial is a value of a type that a codec refuses or accepts.
type trial struct {
	value any    // a pointer to it
	json  string // a part of the error of CheckType, "" for no error
	mp    string // the same for MessagePack
}

// arrives marks a type that a codec accepts.
const arrives = ""

func of[T any](value T, json, mp string) trial { return trial{&value, json, mp} }

// ofField makes a struct of one field, with a tag that linters would refuse.
func ofField[T any](tag string, value T, json, mp string) trial {
	v := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "F", Type: reflect.TypeFor[T](), Tag: reflect.StructTag(tag)}}))
	v.Elem().Field(0).Set(reflect.ValueOf(value))
	return trial{v.Interface(), json, mp}
}

var (
	noon = time.Date(2026, 1, 2, 12, 0, 0, 6, time.UTC)
	addr = netip.MustParseAddr("192.0.2.1")
)

// lossy has the types that lose a part of their values, by the reason, each group beside
// similar types that lose nothing.
var lossy = map[string][]trial{
	"methods of an embedded type": {
		of(StampedNote{noon, "n"}, "StampedNote.Note: codec_test.StampedNote has MarshalJSON from the embedded time.Time", "StampedNote.Note: codec_test.StampedNote has MarshalBinary from the embedded time.Time"),
		of(StampedTagged{noon, "n"}, "has MarshalJSON from", "has MarshalBinary from"),
		of(StampedDeep{Stamped{noon}, "n"}, "StampedDeep.Note: codec_test.StampedDeep has MarshalJSON from the embedded codec_test.Stamped", "StampedDeep.Note"),
		of(StampedWithin{StampedNote{noon, "n"}}, "StampedWithin.StampedNote.Note: codec_test.StampedNote has MarshalJSON from", "StampedWithin.StampedNote.Note"),
		of(StampedBase{noon, Inner{1}}, "StampedBase.Inner", "StampedBase.Inner"),
		of(StampedAddr{noon, addr}, "StampedAddr.Addr", arrives),
		of(StampedName{Stamped{noon}, "n"}, "StampedName.Time", "StampedName.Time"),
		of(StampedGeneric[int]{noon, 1}, "[int].Note", "[int].Note"),
		of(struct {
			time.Time
			X int
		}{noon, 1}, "X: struct { time.Time; X int } has MarshalJSON", "has MarshalBinary"),
		of([]map[string]StampedNote{{"k": {noon, "n"}}}, "[][].Note", "[][].Note"),
		of(Levelled{1, "n"}, "Levelled.Note: codec_test.Levelled has MarshalText", "has MarshalText"),
		of(RawNoted{json.RawMessage("1"), "n"}, "RawNoted.Note", arrives),
		of(WritesAll{noon, "n"}, "WritesAll.Note: codec_test.WritesAll has UnmarshalJSON from", "has UnmarshalBinary from"),
		of(ReadsAll{noon, "n"}, "ReadsAll.Note: codec_test.ReadsAll has MarshalJSON from", "has MarshalBinary from"),
		of(ByInterface{&Own{noon, "a"}, "n"}, "has MarshalJSON from the embedded codec_test.Codes", "has MarshalMsgpack from"),
		of(struct{ Codes }{&Own{noon, "a"}}, "has UnmarshalJSON from this embedded codec_test.Codes, which is nil", "which is nil"),
		of(StampedPointer{&noon}, "StampedPointer.Time: codec_test.StampedPointer has UnmarshalJSON from this embedded *time.Time, which is nil", "which is nil"),
		of(BothTimes{noon, Zeit{noon}, "n"}, "BothTimes.Time: time.Time is embedded and its methods are not used", arrives),
		of(InlinedTimes{noon, Zeit{noon}, "n"}, "InlinedTimes.Time", "InlinedTimes.Time: time.Time is inlined"),
		of(HiddenTimes{Note: "n"}, "HiddenTimes.hiddenZeit: encoding/json cannot call the methods", arrives),
		of(Unnamed{struct{ Stamped }{Stamped{noon}}}, "Unnamed.Field: struct { codec_test.Stamped } is written by the methods of the embedded", arrives),
		of([]struct{ time.Time }{{noon}}, "read without them, since it has no name", arrives),

		of(Stamped{noon}, arrives, arrives),
		of(StampedHidden{noon, ""}, arrives, arrives),
		of(StampedSkipped{Time: noon}, arrives, arrives),
		of(Own{noon, "n"}, arrives, arrives),
		of(struct{ L struct{ Level } }{struct{ Level }{1}}, "L: struct { codec_test.Level } is written by the methods", arrives),
		of(OwnGeneric[string]{noon, "n"}, arrives, arrives),
		of(BothPlain{PlainA{1}, PlainB{2}}, arrives, arrives),
		of(UnnamedPointed{&struct{ Stamped }{Stamped{noon}}}, arrives, arrives),
		of(struct{ time.Time }{noon}, arrives, arrives),
	},
	"methods of a pointer": {
		of(map[string]OnPointer{"k": {1}}, "map[string]codec_test.OnPointer[]: codec_test.OnPointer has MarshalJSON on its pointer", "a method of its pointer"),
		of(map[string]big.Int{"k": *big.NewInt(1)}, "big.Int has MarshalJSON on its pointer", "a method of its pointer"),
		of(map[string]TextOnPointer{"k": 1}, "has MarshalText on its pointer", "a method of its pointer"),
		of(map[string][2]OnPointer{"k": {{1}, {2}}}, "[][]: codec_test.OnPointer", "[][]: codec_test.OnPointer"),
		of(map[string]struct{ P OnPointer }{"k": {OnPointer{1}}}, "[].P: codec_test.OnPointer", "[].P: codec_test.OnPointer"),
		of(map[string]OwnOnPointer{"k": {noon, "n"}}, "OwnOnPointer has MarshalJSON on its pointer", "has MarshalBinary on its values and MarshalMsgpack on its pointer"),
		of(struct{ O OwnOnPointer }{OwnOnPointer{noon, "n"}}, arrives, "O: codec_test.OwnOnPointer has MarshalBinary on its values and MarshalMsgpack on its pointer"),
		of(map[string]Halves{"k": {1}}, "Halves has MarshalJSON on its pointer", "has MarshalText on its values and EncodeMsgpack on its pointer"),
		of(struct{ H Halves }{Halves{1}}, arrives, "H: codec_test.Halves has MarshalText on its values and EncodeMsgpack on its pointer"),
		of(map[string][2]Octet{"k": {1, 2}}, arrives, "[]: the library cannot write [2]codec_test.Octet"),
		of(map[[2]Octet]int{{1, 2}: 1}, "cannot be the key", "[key]: the library cannot write"),
		of(map[string]struct{ *HasOnPointer }{"k": {&HasOnPointer{OnPointer{1}}}}, arrives, arrives),
		of(map[string]struct{ HasOnPointer }{"k": {HasOnPointer{OnPointer{1}}}}, "P: codec_test.OnPointer", "P: codec_test.OnPointer"),
		of(map[string]BesidePointer{"k": {&HasOnPointer{OnPointer{1}}, OnPointer{2}}}, "[].Q: codec_test.OnPointer", "[].Q: codec_test.OnPointer"),

		of(OnPointer{1}, arrives, arrives),
		of([]OnPointer{{1}}, arrives, arrives),
		of([2]OnPointer{{1}, {2}}, arrives, arrives),
		of(struct{ A [2]OnPointer }{[2]OnPointer{{1}, {2}}}, arrives, arrives),
		of(map[string]*OnPointer{"k": {1}}, arrives, arrives),
		of(map[string][]OnPointer{"k": {{1}}}, arrives, arrives),
		of(map[string]Level{"k": 1}, arrives, arrives),
		of([2]Octet{1, 2}, arrives, arrives),
		of(map[string][]Octet{"k": {1, 2}}, arrives, arrives),
		of(map[string][2]byte{"k": {1, 2}}, arrives, arrives),
	},
	"methods that fill a copy": {
		of(ReadsCopy{1}, "ReadsCopy: codec_test.ReadsCopy has UnmarshalText on its values", "has UnmarshalText on its values"),
		of(struct{ ReadsCopy }{ReadsCopy{1}}, "ReadsCopy: codec_test.ReadsCopy has UnmarshalText on its values", "has UnmarshalText on its values"),
		of(ReadsNothing{}, arrives, arrives),
	},
	"names that meet": {
		of(TwoIDs{HasID{1}, HasIDToo{2}}, `TwoIDs.HasIDToo.ID: two fields are named "ID"`, arrives),
		of(Shadowed{Base{1, noon}, "x"}, `Shadowed.ID: two fields are named "id"`, `Shadowed.ID: two fields are named "id"`),
		of(ShadowAfter{"x", HasID{1}}, `ShadowAfter.HasID.ID: two fields are`, arrives),
		of(ShadowInlined{"x", HasID{1}}, `two fields are named "ID"`, `two fields are named "ID"`),
		of(Diamond{Left{HasID{1}}, Right{HasID{2}}}, "Diamond.Right.HasID.ID", arrives),
		of(Deeper{HasID{1}, Left{HasID{2}}}, "Deeper.Left.HasID.ID", arrives),
		of(TagWins{1, "x"}, `TagWins.X: two fields are named "ID"`, "TagWins.X"),
		of(TakenInlined{HasID{1}, HasHasID{2, 3}}, arrives, `two fields are named "HasID"`),
		ofField(`json:"-,"`, 1, arrives, `F: the library leaves out a field with the tag "-,"`),

		of(ShadowNamed{"x", HasID{1}}, arrives, arrives),
		of(ShadowSkipped{"x", HasID{}}, arrives, arrives),
		of(CaseOnly{"a", "b", "c"}, arrives, arrives),
		of(Taken{HasID{1}, HasHasID{2, 3}}, arrives, arrives),
	},
	"embedded pointers": {
		of(PointsToX{&exported{1}}, "PointsToX.exported: a decoder cannot set *codec_test.exported", "a decoder cannot set"),
		of(PointsNamed{nil, 1}, "PointsNamed.unexported: a decoder cannot set", arrives),
		of(PointsTox{nil, 1}, arrives, arrives),
		of(NamesX{exported{1}}, arrives, arrives),
		of(struct{ exported }{exported{1}}, arrives, arrives),
		of(struct{ *HasID }{&HasID{1}}, arrives, arrives),
	},
	"keys of maps": {
		of(map[ByAddrAndName]int{{addr, "a"}: 1, {addr, "b"}: 2}, "[key].Name: codec_test.ByAddrAndName has MarshalText from", "[key].Name: codec_test.ByAddrAndName has MarshalBinary from"),
		of(map[TextKey]int{1: 1}, "TextKey cannot be the key", "TextKey is encoded by MarshalText"),
		of(map[ReadKey]int{1: 1}, "ReadKey cannot be the key", "ReadKey is encoded by no method"),
		of(map[TextOnPointer]int{1: 1}, "TextOnPointer cannot be the key", "a method of its pointer"),

		of(map[ByAddr]int{{addr}: 1}, arrives, arrives),
		of(map[Level]int{1: 1}, arrives, arrives),
		of(map[Lang]int{"de": 1}, arrives, arrives),
		of(map[int8]int{-1: 1}, arrives, arrives),
	},
	"options": {
		of(struct {
			L Level `json:",string"`
		}{1}, "L: the option string cannot be read back, since codec_test.Level has MarshalText", arrives),
		of(struct {
			O Own `json:",omitzero"`
		}{Own{Note: "n"}}, "O.Note: codec_test.Own has IsZero from the embedded time.Time", arrives),
		of(struct {
			O *Own `json:",omitzero"`
		}{&Own{Note: "n"}}, "O.Note: codec_test.Own has IsZero", arrives),
		of(struct {
			O Own `json:",omitempty"`
		}{Own{Note: "n"}}, arrives, "O.Note: codec_test.Own has IsZero"),
		of(struct {
			A netip.Addr `json:",omitempty"`
		}{addr}, arrives, "A: omitempty drops every netip.Addr"),
		of(struct {
			A any `json:",omitempty"`
		}{false}, arrives, "A: omitempty drops false"),
		of(AllOmitted{Any: false}, arrives, "AllOmitted.Any: omitempty drops false"),
		of(NoneOmitted{Any: false}, arrives, arrives),
		of(struct {
			E error `msgpack:",omitempty"`
		}{Gone{}}, "error cannot be decoded", "E: omitempty drops false"),

		of(struct {
			S string        `json:",string"`
			D time.Duration `json:",string"`
		}{"5", 5}, arrives, arrives),
		ofField(`json:",string"`, Own{noon, "n"}, arrives, arrives),
		of(struct {
			O OwnZero `json:",omitempty,omitzero"`
		}{OwnZero{Own{Note: "n"}}}, arrives, arrives),
		of(struct {
			T time.Time       `json:",omitempty"`
			S struct{ X int } `json:",omitempty,omitzero"`
			N int             `json:",omitempty"`
			P *netip.Addr     `json:",omitempty"`
			A netip.Addr      `json:",omitzero"`
		}{noon, struct{ X int }{}, 0, &addr, addr}, arrives, arrives),
	},
}

// A type is refused if, and only if, it loses a part of its values, or fails on
// all of them.
func TestTypesThatLose(t *testing.T) {
	t.Parallel()
	for kind, trials := range lossy {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, tr := range trials {
				tr.run(t, codec.JSON, tr.json)
				tr.run(t, codec.MessagePack, tr.mp)
			}
		})
	}
}

// run checks that a type is refused if and only if its value does not arrive.
func (tr trial) run(t *testing.T, c codec.Codec, want string) {
	t.Helper()
	checkType(t, c, reflect.TypeOf(tr.value).Elem(), want)
	marshal, unmarshal := roundTripOf(c, want != arrives)
	wrong := roundTrip(marshal, unmarshal, tr.value)
	if (wrong == "") != (want == arrives) {
		t.Errorf("%s, %T: want the error %q of CheckType, and got from a round trip: %s", c.ContentType(), tr.value, want, wrong)
	}
}

// roundTripOf returns the functions for a type that the codec accepts or refuses. MessagePack
// does not encode a type that it refuses, so the library has to show the loss.
func roundTripOf(c codec.Codec, refused bool) (func(any) ([]byte, error), func([]byte, any) error) {
	if refused && c == codec.MessagePack {
		return libraryEncode, libraryDecode
	}
	return c.Marshal, c.Unmarshal
}

// roundTrip returns the fault of a round trip, or "".
func roundTrip(marshal func(any) ([]byte, error), unmarshal func([]byte, any) error, value any) (wrong string) {
	defer func() {
		if p := recover(); p != nil {
			wrong = fmt.Sprint("panic: ", p)
		}
	}()
	data, err := marshal(value)
	if err != nil {
		return err.Error()
	}
	got := reflect.New(reflect.TypeOf(value).Elem()).Interface()
	if err := unmarshal(data, got); err != nil {
		return err.Error()
	}
	if !reflect.DeepEqual(got, value) {
		return fmt.Sprintf("sent %+v as %q, got %+v", value, data, got)
	}
	return ""
}

func libraryEncode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.SetCustomStructTag("json")
	err := e.Encode(v)
	return b.Bytes(), err
}

func libraryDecode(data []byte, v any) error {
	d := msgpack.NewDecoder(bytes.NewReader(data))
	d.SetCustomStructTag("json")
	return d.Decode(v)
}
