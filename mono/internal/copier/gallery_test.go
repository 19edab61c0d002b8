package copier_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
)

// The types of the gallery are types that reflect.StructOf cannot make, and types that a
// plan might copy incorrectly.
type (
	Name  string
	Level int8
	Blob  []byte
	Octet byte
	Names []Name
	Index map[Name]Level
	Rate  float32

	Tree struct {
		Label    string
		Children []Tree
	}
	List struct {
		Value int
		Next  *List
	}
	Graph struct {
		Edges map[string]*Graph `json:",omitempty"`
		Peer  *Graph
	}
	Self []Self
	Nest map[string]Nest

	Base struct {
		ID      uint64
		Created time.Time
	}
	lower struct {
		Inner string
		_     string
	}
	Embeds struct {
		Base
		lower
		Level
		Extra []string
	}
	EmbedsPointer struct {
		*Base
		Extra string
	}
	EmbedsHidden struct {
		*lower
		Extra string
	}
	EmbedsNamed struct {
		Base  `json:"base"`
		lower `json:"lower"`
	}
	EmbedsTagged struct {
		Base `json:",omitempty"`
		X    int `msgpack:"x,omitempty"`
	}
	EmbedsInline struct {
		Base `msgpack:",inline"`
		ID   string
	}
	EmbedsNotInline struct {
		Base `msgpack:",noinline"`
		X    int
	}
	EmbedsTime struct {
		time.Time
		Label string
	}
	EmbedsTwo struct {
		time.Time
		big.Int
		Label string
	}
	EmbedsSelf struct {
		*EmbedsSelf
		X int
	}
	Shadows struct {
		Base
		ID string
	}
	Ambiguous struct {
		Base
		Twin
	}
	Twin struct {
		ID   int
		Only string
	}
	TaggedWins struct {
		X int
		B string `json:"X"`
	}
	Folded struct {
		Key string `json:"key"`
		KEY string
		Kéy int `json:"kéy"`
		K   int `json:"K"` // the sign of Kelvin
	}
	OmitsZero struct {
		T  time.Time         `json:",omitzero"`
		F  float64           `json:",omitzero"`
		G  float32           `json:",omitempty"`
		A  [2]float64        `json:",omitzero"`
		S  struct{ F Rate }  `json:",omitzero"`
		B  Base              `json:",omitzero"`
		L  []int             `json:",omitzero"`
		M  map[string]string `json:",omitempty"`
		E  []byte            `json:",omitempty"`
		N  Names             `json:",omitempty"`
		T2 time.Time         `json:",omitempty"`
	}
	OmitsOwn struct {
		E Emptiable  `json:",omitempty"`
		Z Emptiable  `json:",omitzero"`
		P *Emptiable `json:",omitempty"`
		Q *Emptiable `json:",omitzero"`
	}
	EmbedsForeign struct {
		guests
		Local Picky
	}
	guests struct {
		Addr netip.Addr      `msgpack:"addr"`
		Raw  json.RawMessage `json:"raw,omitempty" msgpack:"raw"`
		Odd  Picky           `json:",omitzero"`
	}
	Parts struct {
		Deep   *ByPointer
		Deeper **Picky
		Own    ByPointer `json:",omitempty" msgpack:"own"`
		Any    any       `json:"any,omitempty" msgpack:"any"`
		Error  *any
	}
	Quotes struct {
		S Shout       `json:",string"`
		N json.Number `json:",omitempty"`
		T *time.Time
	}
	Quiets struct {
		Q Quiet
		P *Quiet
		R **Quiet
		L Loud `json:",omitzero"`
	}
	Mixes struct {
		A int32
		M Mixed
		P *Mixed
		L []Mixed
	}
	Ragged struct {
		A int32
		B EmbedsInline
		C int8
		E []netip.Addr
		F EmbedsPointer
		G []byte
	}
	SomeFail struct {
		A, B int8
		C    EmbedsPointer
		D    int8
		_    int8
		F    []Shout `json:",omitempty" msgpack:"f"`
	}
	Recurses struct {
		Next *Recurses
		List []netip.Addr
		Addr netip.Addr
	}
	Deepest struct {
		Next *Deepest
		Any  any
		Raw  json.RawMessage
	}
	OmitsTime struct {
		P *time.Time  `json:",omitempty"`
		Q *time.Time  `json:",omitzero"`
		R **time.Time `json:",omitempty,omitzero"`
	}
	Pads struct {
		A int8
		_ int8
		C int64
		D int8
		_ int64
		F int16
		_ int16
		G int32
		H bool
	}
	Hollow struct {
		A **int
		B *[]string
		C *map[string]int
		D ***string
		E *[]byte
		F **[]int `json:",omitempty"`
	}
	Holds struct {
		Any   any
		Anys  []any
		ByKey map[string]any
	}
	Fails struct {
		Err error
	}
	Numbers struct {
		N json.Number
		Q json.Number `json:",string"`
		P *json.Number
	}
	Foreign struct {
		Addr   netip.Addr
		Number *big.Int
		Raw    json.RawMessage
		Wait   time.Duration
		Month  time.Month
	}
	Packed struct {
		Raw msgpack.RawMessage
	}
	Octets struct {
		A []Octet
		B [3]Octet
		C map[string]*[2]Octet
		D []Shout
		E [2]byte
	}
	OctetsByValue map[string][2]Octet
	Stamped       struct{ time.Time }
	Stamps        struct {
		A Stamped `json:",omitempty"`
		B *struct{ time.Time }
		C map[string]Stamped
	}
	Nameless struct {
		A struct{ Doubles }
		B *struct{ Doubles }
	}
	Beside struct {
		Base
		Rival
	}
	Rival struct{ Base, Other int }
	Keys  struct {
		A map[int8]string
		B map[uint64]bool
		C map[Name]Name
		D map[Upper]int
		E map[netip.Addr]int
	}
	OddKeys struct {
		A map[bool]int
		B map[float64]int
		C map[[2]int8]int
		D map[time.Time]int
		E map[struct{ X string }]int
		F map[*int]int
		G map[any]int
	}
	Unsendable struct {
		C chan int
	}
	Skips struct {
		C chan int `json:"-"`
		F func()   `json:"-"`
		X int
	}
	None struct{}
	Big  struct {
		Flat  [40]int32
		Inner struct {
			A, B [3]Line
			M    map[string][]map[int]*Line
		}
	}
)

// field returns a struct field that linters would reject in source code.
func field[T any](name, tag string) reflect.StructField {
	f := reflect.StructField{Name: name, Type: reflect.TypeFor[T](), Tag: reflect.StructTag(tag)}
	if r, _ := utf8.DecodeRuneInString(name); !unicode.IsUpper(r) {
		f.PkgPath = "gomono.dev/mono/internal/copier_test"
	}
	return f
}

func structOf(fields ...reflect.StructField) reflect.Type { return reflect.StructOf(fields) }

var (
	sameName = structOf(field[int]("A", `json:"x"`), field[string]("B", `json:"x"`), field[bool]("C", ""))
	hidden   = structOf(field[int]("x", ""))
	oddTags  = structOf(
		field[int]("A", `json:"a b"`), field[int]("B", `json:"\"quoted\""`), field[[]string]("C", `json:" ,omitempty"`),
		field[int]("D", `json:"-,"`), field[string]("E", `json:"<e>&"`), field[[]int]("F", `json:"f,omitempty" msgpack:"g"`),
		field[*int]("G", `msgpack:"-"`), field[int]("H", `json:"-"`), field[float64]("I", `json:"i,string"`),
		field[*int64]("J", `json:",string"`), field[string]("K", `json:"k,string"`), field[[]string]("L", `json:"l,string,omitempty"`),
		field[time.Time]("M", `json:"m,omitzero"`), field[bool]("N", `json:"n,string"`), field[**uint8]("O", `json:"o,string"`),
	)
	asArray  = structOf(field[struct{}]("_msgpack", `msgpack:",as_array"`), field[[]int]("A", `msgpack:",omitempty"`), field[string]("B", ""))
	omitsAll = structOf(field[struct{}]("_msgpack", `msgpack:",omitempty"`), field[[]int]("A", ""), field[map[string]int]("B", ""))
)

// Emptiable is a type with an IsZero method.
type Emptiable struct{ Text string }

func (e Emptiable) IsZero() bool { return e.Text != "" }

// Shout is a byte that is encoded as text.
type Shout byte

func (s Shout) MarshalText() ([]byte, error) { return []byte{'0' + byte(s)%10}, nil }

func (s *Shout) UnmarshalText(b []byte) error {
	if len(b) != 1 {
		return errors.New("not a shout")
	}
	*s = Shout(b[0])
	return nil
}

// Upper is a string that is decoded in capitals.
type Upper string

func (u Upper) MarshalText() ([]byte, error) { return []byte(u), nil }

func (u *Upper) UnmarshalText(b []byte) error {
	*u = Upper(strings.ToUpper(string(b)))
	return nil
}

// Picky rejects some of its values, when encoding and when decoding.
type Picky struct{ N int8 }

func (p Picky) MarshalJSON() ([]byte, error) {
	if p.N < 0 {
		return nil, errors.New("negative")
	}
	return json.Marshal(p.N)
}

func (p *Picky) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &p.N); err != nil || p.N > 100 {
		return errors.New("too much")
	}
	return nil
}

func (p Picky) MarshalMsgpack() ([]byte, error) {
	if p.N < 0 {
		return nil, errors.New("negative")
	}
	return msgpack.Marshal(p.N)
}

func (p *Picky) UnmarshalMsgpack(b []byte) error {
	if err := msgpack.Unmarshal(b, &p.N); err != nil || p.N > 100 {
		return errors.New("too much")
	}
	return nil
}

// Quiet is encoded as null if it is zero.
type Quiet struct{ X int }

func (q Quiet) MarshalJSON() ([]byte, error) {
	if q.X == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(q.X)
}

func (q *Quiet) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		q.X = 17
		return nil
	}
	return json.Unmarshal(b, &q.X)
}

// Loud is a float that is encoded as text.
type Loud float64

func (l Loud) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatFloat(float64(l), 'g', -1, 64)), nil
}

func (l *Loud) UnmarshalText(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	*l = Loud(f)
	return err
}

// Mixed is encoded as text by value and differently by pointer.
type Mixed struct{ X int8 }

func (m Mixed) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(int(m.X))), nil }

func (m *Mixed) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeString("17") }

func (m *Mixed) UnmarshalText(b []byte) error {
	i, err := strconv.Atoi(string(b))
	m.X = int8(i)
	return err
}

func (m *Mixed) DecodeMsgpack(d *msgpack.Decoder) error {
	b, err := d.DecodeBytes()
	if err != nil {
		return err
	}
	return m.UnmarshalText(b)
}

// Doubles decodes twice the number that it encodes.
type Doubles struct{ N int }

func (d *Doubles) UnmarshalJSON(b []byte) error {
	type plain Doubles
	err := json.Unmarshal(b, (*plain)(d))
	d.N *= 2
	return err
}

// ByPointer has methods only on its pointer.
type ByPointer struct{ X int }

func (p *ByPointer) MarshalJSON() ([]byte, error)           { return json.Marshal(p.X + 1) }
func (p *ByPointer) UnmarshalJSON(b []byte) error           { return json.Unmarshal(b, &p.X) }
func (p *ByPointer) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeInt(int64(p.X)) }
func (p *ByPointer) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	p.X, err = d.DecodeInt()
	return err
}

func gallery() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[Flat](), reflect.TypeFor[Order](), reflect.TypeFor[*Order](), reflect.TypeFor[[]Line](),
		reflect.TypeFor[Blob](), reflect.TypeFor[Names](), reflect.TypeFor[Index](),
		reflect.TypeFor[Tree](), reflect.TypeFor[List](), reflect.TypeFor[*List](), reflect.TypeFor[Graph](), reflect.TypeFor[Self](), reflect.TypeFor[Nest](),
		reflect.TypeFor[Embeds](), reflect.TypeFor[EmbedsPointer](), reflect.TypeFor[EmbedsHidden](), reflect.TypeFor[EmbedsNamed](),
		reflect.TypeFor[EmbedsTagged](), reflect.TypeFor[EmbedsInline](), reflect.TypeFor[EmbedsNotInline](), reflect.TypeFor[EmbedsTime](),
		reflect.TypeFor[EmbedsTwo](), reflect.TypeFor[EmbedsSelf](), reflect.TypeFor[Shadows](), reflect.TypeFor[Ambiguous](),
		sameName, reflect.TypeFor[TaggedWins](), reflect.TypeFor[Folded](), oddTags,
		reflect.TypeFor[OmitsZero](), reflect.TypeFor[OmitsOwn](), reflect.TypeFor[OmitsTime](), reflect.TypeFor[EmbedsForeign](), reflect.TypeFor[Quotes](), reflect.TypeFor[Quiets](), reflect.TypeFor[Deepest](), reflect.TypeFor[Mixes](), reflect.TypeFor[Ragged](), reflect.TypeFor[Parts](), reflect.TypeFor[SomeFail](), reflect.TypeFor[Recurses](), reflect.TypeFor[*any](), reflect.TypeFor[map[string]any](),
		asArray, omitsAll,
		reflect.TypeFor[Pads](), reflect.TypeFor[[]Pads](), reflect.TypeFor[Hollow](), reflect.TypeFor[Holds](), reflect.TypeFor[Fails](),
		reflect.TypeFor[Numbers](), reflect.TypeFor[Foreign](), reflect.TypeFor[Packed](), reflect.TypeFor[Octets](), reflect.TypeFor[OctetsByValue](), reflect.TypeFor[Stamps](), reflect.TypeFor[Nameless](), reflect.TypeFor[Beside](),
		reflect.TypeFor[Keys](), reflect.TypeFor[OddKeys](), reflect.TypeFor[Unsendable](), reflect.TypeFor[Skips](), reflect.TypeFor[[]Skips](),
		hidden, reflect.TypeFor[None](), reflect.TypeFor[[]None](), reflect.TypeFor[Big](),
		reflect.TypeFor[Picky](), reflect.TypeFor[ByPointer](), reflect.TypeFor[map[string]ByPointer](), reflect.TypeFor[[]Picky](),
	}
}
