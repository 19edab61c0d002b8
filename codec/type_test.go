package codec_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5"

	"gomono.dev/codec"
)

type (
	Self      *Self
	Tree      struct{ Children []Tree }
	List      struct{ Next *List }
	Graph     struct{ Edges map[string]Graph }
	Stamp     time.Time
	hidden    struct{ X int }
	hiddenInt int
	Embedded  struct {
		hidden
		Y int
	}
	EmbeddedPointer struct{ *hidden }
	SelfEmbedded    struct {
		*SelfEmbedded
		X int
	}
	Shadowed struct {
		Base
		ID string `json:"id"`
	}
)

// WriteOnly has MarshalText only.
type WriteOnly int

func (WriteOnly) MarshalText() ([]byte, error) { return []byte("x"), nil }

// WriteOnlyName is a string with MarshalText only.
type WriteOnlyName string

func (WriteOnlyName) MarshalText() ([]byte, error) { return []byte("x"), nil }

// Holder has methods for encoding, so its contents are not checked.
type Holder struct{ F func() }

func (Holder) MarshalJSON() ([]byte, error)     { return []byte("1"), nil }
func (*Holder) UnmarshalJSON([]byte) error      { return nil }
func (Holder) MarshalMsgpack() ([]byte, error)  { return []byte{1}, nil }
func (*Holder) UnmarshalMsgpack(b []byte) error { return nil }

// Reader reads its contents, but leaves writing them to the codec.
type Reader struct{ S fmt.Stringer }

func (*Reader) UnmarshalJSON([]byte) error              { return nil }
func (*Reader) DecodeMsgpack(d *msgpack.Decoder) error  { return d.Skip() }
func (r Reader) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeNil() }

const both = "both"

func TestCheckType(t *testing.T) {
	t.Parallel()
	cases := []struct {
		t    reflect.Type
		json string // a part of the error, "" for no error
		mp   string // the same, or both
	}{
		{reflect.TypeFor[Order](), "", both},
		{reflect.TypeFor[*Order](), "", both},
		{reflect.TypeFor[struct{}](), "", both},
		{reflect.TypeFor[struct{ _ int }](), "", both},
		{reflect.TypeFor[any](), "", both},
		{reflect.TypeFor[M](), "", both},
		{reflect.TypeFor[Tree](), "", both},
		{reflect.TypeFor[List](), "", both},
		{reflect.TypeFor[Graph](), "", both},
		{reflect.TypeFor[Embedded](), "", both},
		{reflect.TypeFor[Holder](), "", both},
		{reflect.TypeFor[Reader](), "", both},
		{reflect.TypeFor[WriteOnlyName](), "", both},
		{reflect.TypeFor[time.Time](), "", both},
		{reflect.TypeFor[netip.AddrPort](), "", both},
		{reflect.TypeFor[json.RawMessage](), "", both},
		{reflect.TypeFor[msgpack.RawMessage](), "", both},
		{reflect.TypeFor[map[netip.Addr]int](), "", both},
		{reflect.TypeFor[struct {
			C chan int `json:"-"`
			X int
		}](), "", both},
		{reflect.TypeFor[struct {
			C chan int `json:"-"`
		}](), "", both},
		{reflect.TypeFor[struct {
			sync.Mutex
			X int
		}](), "", both},

		{nil, "the type is nil", both},
		{reflect.TypeFor[chan int](), "chan int: chan int has no encoding", both},
		{reflect.TypeFor[struct{ F func() }](), "F: func() has no encoding", both},
		{reflect.TypeFor[struct{ C complex128 }](), "C: complex128 has no encoding", both},
		{reflect.TypeFor[struct{ P unsafe.Pointer }](), "P: unsafe.Pointer has no encoding", both},
		{reflect.TypeFor[struct{ P uintptr }](), "", "P: uintptr has no encoding"},
		{reflect.TypeFor[struct {
			A []map[string]*struct{ Notify chan int }
		}](), "A[][].Notify: chan int", both},
		{reflect.TypeFor[struct{ S fmt.Stringer }](), "S: fmt.Stringer cannot be decoded", both},
		{reflect.TypeFor[struct{ E error }](), "E: error cannot be decoded", ""},
		{reflect.TypeFor[struct{ M map[[2]int]int }](), "M: [2]int cannot be the key", ""},
		{reflect.TypeFor[struct{ M map[float64]int }](), "M: float64 cannot be the key", ""},
		{reflect.TypeFor[struct{ M map[any]int }](), "M: interface {} cannot be the key", ""},
		{reflect.TypeFor[struct{ S Stamp }](), "S: codec_test.Stamp has no exported fields", both},
		{reflect.TypeFor[struct{ M sync.Mutex }](), "M: sync.Mutex has no exported fields", both},
		{reflect.TypeFor[Self](), "pointer to itself", both},
		{reflect.TypeFor[EmbeddedPointer](), "EmbeddedPointer.hidden: a decoder cannot set", both},
		{reflect.TypeFor[struct{ L WriteOnly }](), "L: codec_test.WriteOnly has MarshalText but", "L: codec_test.WriteOnly is encoded by MarshalText or"},
		{reflect.TypeFor[SelfEmbedded](), "SelfEmbedded.SelfEmbedded: codec_test.SelfEmbedded embeds itself", both},
		{reflect.TypeFor[Shadowed](), `Shadowed.ID: two fields are named "id"`, both},
		{reflect.TypeFor[map[string]big.Int](), "big.Int has MarshalJSON on its pointer", "big.Int is encoded by a method of its pointer"},
		{reflect.TypeFor[map[string]struct{ X big.Int }](), "X: big.Int has MarshalJSON on its pointer", "X: big.Int is encoded by a method of its pointer"},
		{reflect.TypeFor[map[string]*big.Int](), "", both},
		{reflect.TypeFor[*url.URL](), "URL.User: url.Userinfo has no exported fields", ""},
		{reflect.TypeFor[struct {
			*Behind `msgpack:",inline"`
		}](), "", "Behind: the library fails to inline"},
		{reflect.TypeFor[struct {
			Base `msgpack:",inline"`
		}](), "", both},
		{reflect.TypeFor[struct{ time.Month }](), "", both},
		{reflect.TypeFor[struct {
			hiddenInt
			X int
		}](), "", "hiddenInt: it would be sent but cannot be set"},
		{reflect.TypeFor[struct {
			S string `msgpack:"s,intern"`
		}](), "", "S: interned strings"},
		{reflect.TypeFor[struct {
			S string `json:"xml:lang"`
		}](), "", "S: the library reads the tag"},
	}
	for _, tc := range cases {
		if tc.mp == both {
			tc.mp = tc.json
		}
		checkType(t, codec.JSON, tc.t, tc.json)
		checkType(t, codec.MessagePack, tc.t, tc.mp)
	}
}

func checkType(t *testing.T, c codec.Codec, typ reflect.Type, want string) {
	t.Helper()
	err := c.(codec.TypeChecker).CheckType(typ)
	switch {
	case want == "" && err != nil:
		t.Errorf("%s refuses %v: %v", c.ContentType(), typ, err)
	case want != "" && err == nil:
		t.Errorf("%s accepts %v: want %q", c.ContentType(), typ, want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("%s about %v: %v\nwant %q", c.ContentType(), typ, err, want)
	}
}

type OrderPlaced struct{ Notify chan int }

func TestCheckTypeSaysWhatToDo(t *testing.T) {
	t.Parallel()
	cases := []struct {
		c    codec.Codec
		t    reflect.Type
		want string
	}{
		{codec.JSON, reflect.TypeFor[OrderPlaced](), `application/json cannot carry codec_test.OrderPlaced: OrderPlaced.Notify: chan int has no encoding: leave the field out with the tag json:"-", or give its type MarshalJSON and UnmarshalJSON`},
		{codec.JSON, reflect.TypeFor[StampedNote](), "application/json cannot carry codec_test.StampedNote: StampedNote.Note: codec_test.StampedNote has MarshalJSON from the embedded time.Time, which leaves this field out: make time.Time a named field, or give codec_test.StampedNote its own MarshalJSON and UnmarshalJSON"},
		{codec.MessagePack, reflect.TypeFor[StampedNote](), "application/msgpack cannot carry codec_test.StampedNote: StampedNote.Note: codec_test.StampedNote has MarshalBinary from the embedded time.Time, which leaves this field out: make time.Time a named field, or give codec_test.StampedNote its own MarshalMsgpack and UnmarshalMsgpack"},
		{codec.JSON, reflect.TypeFor[map[string]big.Int](), "application/json cannot carry map[string]big.Int: map[string]big.Int[]: big.Int has MarshalJSON on its pointer, which a value held by a map does not have: hold *big.Int, or declare MarshalJSON on the value"},
	}
	for _, tc := range cases {
		if err := tc.c.(codec.TypeChecker).CheckType(tc.t); err == nil || err.Error() != tc.want {
			t.Errorf("got  %v\nwant %s", err, tc.want)
		}
	}
}

func TestRawCarriesBytesOnly(t *testing.T) {
	t.Parallel()
	type Image []byte
	type octet byte
	checkType(t, codec.Raw, reflect.TypeFor[[]byte](), "")
	checkType(t, codec.Raw, reflect.TypeFor[Image](), "")
	checkType(t, codec.Raw, reflect.TypeFor[json.RawMessage](), "")
	for _, typ := range []reflect.Type{nil, reflect.TypeFor[string](), reflect.TypeFor[[4]byte](), reflect.TypeFor[[]octet](), reflect.TypeFor[*[]byte]()} {
		checkType(t, codec.Raw, typ, "[]byte")
	}
	if _, err := codec.Raw.Marshal(new(string)); err == nil {
		t.Error("Marshal of a string succeeded")
	}
	if err := codec.Raw.Unmarshal(nil, new(string)); err == nil {
		t.Error("Unmarshal into a string succeeded")
	}
}
