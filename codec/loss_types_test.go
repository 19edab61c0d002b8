package codec_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Structs with methods of embedded types.
type (
	Stamped       struct{ time.Time }
	StampedHidden struct {
		time.Time
		note string
	}
	StampedSkipped struct {
		time.Time
		Note string `json:"-"`
	}
	StampedNote struct {
		time.Time
		Note string
	}
	StampedTagged struct {
		time.Time `json:"at"`
		Note      string
	}
	StampedPointer struct{ *time.Time }
	StampedDeep    struct {
		Stamped
		Note string
	}
	StampedWithin struct{ StampedNote }
	StampedBase   struct {
		time.Time
		Inner
	}
	StampedAddr struct {
		time.Time
		netip.Addr
	}
	StampedName struct { // the name of the field hides the embedded one, not its methods
		Stamped
		Time string
	}
	StampedGeneric[T any] struct {
		time.Time
		Note T
	}
	Levelled struct {
		Level
		Note string
	}
	RawNoted struct {
		json.RawMessage
		Note string
	}
	ByInterface struct {
		Codes
		Note string
	}
	BothTimes struct {
		time.Time
		Zeit
		Note string
	}
	InlinedTimes struct {
		time.Time `msgpack:",inline"`
		Zeit      `msgpack:",inline"`
		Note      string
	}
	BothPlain struct {
		PlainA
		PlainB
	}
	hiddenZeit  struct{ Zeit }
	hiddenUhr   struct{ Zeit }
	HiddenTimes struct {
		hiddenZeit `json:"zeit" msgpack:"-"`
		hiddenUhr  `json:"uhr" msgpack:"-"`
		Note       string
	}
	Unnamed        struct{ Field struct{ Stamped } }
	UnnamedPointed struct{ Field *struct{ Stamped } }
)

// Codes is an interface with methods for encoding.
type Codes interface {
	json.Marshaler
	json.Unmarshaler
	msgpack.Marshaler
	msgpack.Unmarshaler
}

// Zeit has the methods of time.Time under other fields.
type Zeit struct{ at time.Time }

func (z Zeit) MarshalJSON() ([]byte, error)    { return z.at.MarshalJSON() }
func (z *Zeit) UnmarshalJSON(b []byte) error   { return z.at.UnmarshalJSON(b) }
func (z Zeit) MarshalText() ([]byte, error)    { return z.at.MarshalText() }
func (z *Zeit) UnmarshalText(b []byte) error   { return z.at.UnmarshalText(b) }
func (z Zeit) MarshalBinary() ([]byte, error)  { return z.at.MarshalBinary() }
func (z *Zeit) UnmarshalBinary(b []byte) error { return z.at.UnmarshalBinary(b) }

// PlainA and PlainB write the same as without their methods, as generated code does.
type (
	PlainA struct{ A int }
	PlainB struct{ B int }
)

func (p PlainA) MarshalJSON() ([]byte, error)  { return json.Marshal(map[string]int{"A": p.A}) }
func (p *PlainA) UnmarshalJSON(b []byte) error { type t PlainA; return json.Unmarshal(b, (*t)(p)) }
func (p PlainB) MarshalJSON() ([]byte, error)  { return json.Marshal(map[string]int{"B": p.B}) }
func (p *PlainB) UnmarshalJSON(b []byte) error { type t PlainB; return json.Unmarshal(b, (*t)(p)) }

// Level is a number that is text.
type Level int

func (l Level) MarshalText() ([]byte, error) { return []byte("L" + strconv.Itoa(int(l))), nil }

func (l *Level) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "L")
	if !ok {
		return errors.New("no level")
	}
	i, err := strconv.Atoi(digits)
	*l = Level(i)
	return err
}

// Own embeds time.Time and has its own methods.
type Own struct {
	time.Time
	Note string
}

func (o Own) MarshalJSON() ([]byte, error)     { return joined(o.Time, o.Note) }
func (o *Own) UnmarshalJSON(b []byte) error    { return split(b, &o.Time, &o.Note) }
func (o Own) MarshalMsgpack() ([]byte, error)  { return quoted(joined(o.Time, o.Note)) }
func (o *Own) UnmarshalMsgpack(b []byte) error { return unquoted(b, &o.Time, &o.Note) }

// OwnZero has its own IsZero too.
type OwnZero struct{ Own }

func (o OwnZero) IsZero() bool { return o.Time.IsZero() && o.Note == "" }

// OwnOnPointer has its own methods on the pointer.
type OwnOnPointer struct {
	time.Time
	Note string
}

func (o *OwnOnPointer) MarshalJSON() ([]byte, error)    { return joined(o.Time, o.Note) }
func (o *OwnOnPointer) UnmarshalJSON(b []byte) error    { return split(b, &o.Time, &o.Note) }
func (o *OwnOnPointer) MarshalMsgpack() ([]byte, error) { return quoted(joined(o.Time, o.Note)) }
func (o *OwnOnPointer) UnmarshalMsgpack(b []byte) error { return unquoted(b, &o.Time, &o.Note) }

// OwnGeneric is a generic struct with its own methods.
type OwnGeneric[T any] struct {
	time.Time
	Note T
}

func (o OwnGeneric[T]) MarshalJSON() ([]byte, error)     { return joined(o.Time, o.Note) }
func (o *OwnGeneric[T]) UnmarshalJSON(b []byte) error    { return split(b, &o.Time, &o.Note) }
func (o OwnGeneric[T]) MarshalMsgpack() ([]byte, error)  { return quoted(joined(o.Time, o.Note)) }
func (o *OwnGeneric[T]) UnmarshalMsgpack(b []byte) error { return unquoted(b, &o.Time, &o.Note) }

// WritesAll has its own methods for writing, and time.Time has its methods for
// reading.
type WritesAll struct {
	time.Time
	Note string
}

func (w WritesAll) MarshalJSON() ([]byte, error)    { return w.Time.MarshalJSON() }
func (w WritesAll) MarshalMsgpack() ([]byte, error) { return quoted(w.Time.MarshalBinary()) }

// ReadsAll has its own methods for reading, and time.Time has its methods for
// writing.
type ReadsAll struct {
	time.Time
	Note string
}

func (r *ReadsAll) UnmarshalJSON(b []byte) error    { return r.Time.UnmarshalJSON(b) }
func (r *ReadsAll) UnmarshalMsgpack(b []byte) error { return msgpack.Unmarshal(b, &r.Note) }

// joined, split, quoted and unquoted write values as a list in JSON, and that list as a string
// of MessagePack.
func joined(values ...any) ([]byte, error) { return json.Marshal(values) }
func split(b []byte, values ...any) error  { return json.Unmarshal(b, &values) }
func quoted(b []byte, e error) ([]byte, error) {
	if e != nil {
		return nil, e
	}
	return msgpack.Marshal(b)
}

func unquoted(b []byte, values ...any) error {
	var text []byte
	if err := msgpack.Unmarshal(b, &text); err != nil {
		return err
	}
	return json.Unmarshal(text, &values)
}

// OnPointer has all its methods on the pointer.
type OnPointer struct{ x int }

func (p *OnPointer) MarshalJSON() ([]byte, error)           { return json.Marshal(p.x) }
func (p *OnPointer) UnmarshalJSON(b []byte) error           { return json.Unmarshal(b, &p.x) }
func (p *OnPointer) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeInt(int64(p.x)) }
func (p *OnPointer) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	p.x, err = d.DecodeInt()
	return err
}

// HasOnPointer is to be embedded.
type HasOnPointer struct{ P OnPointer }

// BesidePointer embeds it by a pointer, beside a field that is not behind one.
type BesidePointer struct {
	*HasOnPointer
	Q OnPointer
}

// TextOnPointer is text by methods of its pointer.
type TextOnPointer int

func (p *TextOnPointer) MarshalText() ([]byte, error) { return Level(*p).MarshalText() }
func (p *TextOnPointer) UnmarshalText(b []byte) error { return (*Level)(p).UnmarshalText(b) }

// Halves has MarshalText on its values and the other methods on its pointer.
type Halves struct{ n Level }

func (h Halves) MarshalText() ([]byte, error)            { return h.n.MarshalText() }
func (h *Halves) UnmarshalText(b []byte) error           { return h.n.UnmarshalText(b) }
func (h *Halves) MarshalJSON() ([]byte, error)           { return json.Marshal(int(h.n)) }
func (h *Halves) UnmarshalJSON(b []byte) error           { return json.Unmarshal(b, (*int)(&h.n)) }
func (h *Halves) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeInt(int64(h.n)) }
func (h *Halves) DecodeMsgpack(d *msgpack.Decoder) error {
	i, err := d.DecodeInt()
	h.n = Level(i)
	return err
}

// ReadsCopy has its methods for reading on the value.
type ReadsCopy struct{ N int }

func (r ReadsCopy) MarshalText() ([]byte, error) { return Level(r.N).MarshalText() }
func (r ReadsCopy) UnmarshalText(b []byte) error { return (*Level)(&r.N).UnmarshalText(b) }

// ReadsNothing has nothing to fill.
type ReadsNothing struct{}

func (ReadsNothing) MarshalText() ([]byte, error) { return []byte("nothing"), nil }
func (ReadsNothing) UnmarshalText([]byte) error   { return nil }

// Structs with names that meet.
type (
	HasID    struct{ ID int }
	HasIDToo struct{ ID int }
	TwoIDs   struct {
		HasID
		HasIDToo
	}
	ShadowAfter struct {
		ID string
		HasID
	}
	ShadowInlined struct {
		ID    string
		HasID `msgpack:",inline"`
	}
	ShadowNamed struct {
		ID    string
		HasID `json:"has_id" msgpack:",noinline"`
	}
	ShadowSkipped struct {
		ID    string
		HasID `json:"-"`
	}
	Left    struct{ HasID }
	Right   struct{ HasID }
	Diamond struct {
		Left
		Right
	}
	Deeper struct {
		HasID
		Left
	}
	TagWins struct {
		ID int
		X  string `json:"ID"`
	}
	CaseOnly struct {
		Key, KEY string
		Kéy      string `json:"key"`
	}
	HasHasID struct{ HasID, N int }
	Taken    struct { // the name of HasID is taken, so HasHasID is not inlined
		HasID
		HasHasID
	}
	TakenInlined struct {
		HasID
		HasHasID `msgpack:",inline"`
	}
)

// Structs that embed pointers to unexported structs.
type (
	exported   struct{ X int }
	unexported struct{ _ int }
	PointsToX  struct{ *exported }
	NamesX     struct {
		exported `json:"x"`
	}
	PointsTox struct {
		*unexported
		Y int
	}
	PointsNamed struct {
		*unexported `json:"named" msgpack:"-"`
		Y           int
	}
)

// Octet is a byte with a name.
type Octet byte

// ByAddrAndName is a key whose MarshalText leaves out the name.
type ByAddrAndName struct {
	netip.Addr
	Name string
}

// ByAddr is a key whose MarshalText is complete.
type ByAddr struct{ netip.Addr }

// Lang is a string that checks itself.
type Lang string

func (l Lang) MarshalText() ([]byte, error) { return []byte(l), nil }

func (l *Lang) UnmarshalText(b []byte) error {
	*l = Lang(b)
	return nil
}

// TextKey and ReadKey are text in one direction.
type (
	TextKey int
	ReadKey int
)

func (k TextKey) MarshalText() ([]byte, error)  { return Level(k).MarshalText() }
func (k *ReadKey) UnmarshalText(b []byte) error { return (*Level)(k).UnmarshalText(b) }

// AllOmitted has the option omitempty for all its fields, and NoneOmitted has it
// without effect, since it is encoded as an array.
type (
	AllOmitted struct {
		//lint:ignore U1000 the codec reads its tag
		_msgpack struct{} `msgpack:",omitempty"`
		Any      any
	}
	NoneOmitted struct {
		//lint:ignore U1000 the codec reads its tag
		_msgpack struct{} `msgpack:",omitempty,as_array"`
		Any      any
	}
)

// Gone is an error without fields.
type Gone struct{}

func (Gone) Error() string { return "gone" }
