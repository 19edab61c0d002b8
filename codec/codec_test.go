package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/codec"
	"pgregory.net/rapid"
)

type Line struct {
	SKU      string `json:"sku"`
	Quantity int8   `json:"quantity,omitempty"`
}

type Base struct {
	ID      uint64    `json:"id"`
	Created time.Time `json:"created"`
}

type Order struct {
	Base
	Lines    []Line           `json:"lines"`
	ByName   map[string]*Line `json:"by_name"`
	Blob     []byte           `json:"blob"`
	Hash     [4]byte          `json:"hash"`
	Price    float64          `json:"price"`
	Rate     float32          `json:"rate"`
	Paid     bool             `json:"paid"`
	Addr     netip.Addr       `json:"addr"`
	Total    *big.Int         `json:"total"`
	Wait     time.Duration    `json:"wait"`
	ByNumber map[int16]string `json:"by_number"`
	Parent   *Order           `json:"parent"`
	Local    string           `json:"-"`
	secret   string
}

func textCodecs() []codec.Codec { return []codec.Codec{codec.JSON, codec.MessagePack} }

func allCodecs() []codec.Codec { return append(textCodecs(), codec.Raw) }

func lines() *rapid.Generator[Line] {
	return rapid.Custom(func(t *rapid.T) Line {
		return Line{rapid.String().Draw(t, "sku"), rapid.Int8().Draw(t, "quantity")}
	})
}

func orders(depth int) *rapid.Generator[Order] {
	return rapid.Custom(func(t *rapid.T) Order {
		o := Order{
			Base: Base{
				ID:      rapid.Uint64().Draw(t, "id"),
				Created: time.Unix(rapid.Int64Range(-60000000000, 250000000000).Draw(t, "sec"), rapid.Int64Range(0, 999999999).Draw(t, "nsec")).UTC(),
			},
			Lines:    rapid.SliceOf(lines()).Draw(t, "lines"),
			ByName:   rapid.MapOf(rapid.String(), rapid.Ptr(lines(), true)).Draw(t, "by name"),
			Blob:     rapid.SliceOf(rapid.Byte()).Draw(t, "blob"),
			Price:    rapid.Float64().Draw(t, "price"),
			Rate:     rapid.Float32().Draw(t, "rate"),
			Paid:     rapid.Bool().Draw(t, "paid"),
			Addr:     netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr"))),
			Total:    big.NewInt(rapid.Int64().Draw(t, "total")),
			Wait:     time.Duration(rapid.Int64().Draw(t, "wait")),
			ByNumber: rapid.MapOf(rapid.Int16(), rapid.String()).Draw(t, "by number"),
		}
		copy(o.Hash[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "hash"))
		if depth > 0 && rapid.Bool().Draw(t, "parent") {
			parent := orders(depth-1).Draw(t, "the parent")
			o.Parent = &parent
		}
		return o
	})
}

func TestWhatIsSentArrives(t *testing.T) {
	t.Parallel()
	for _, c := range textCodecs() {
		t.Run(c.ContentType(), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				sent := orders(2).Draw(t, "order")
				data, err := c.Marshal(&sent)
				if err != nil {
					t.Fatal(err)
				}
				var got Order
				if err := c.Unmarshal(data, &got); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(normal(&sent), normal(&got)) {
					t.Fatalf("sent %+v\ngot  %+v", sent, got)
				}
			})
		})
	}
}

// normal replaces big integers, whose zero has two forms.
func normal(o *Order) *Order {
	if o == nil {
		return nil
	}
	o.Total = new(big.Int).SetBytes(o.Total.Bytes())
	normal(o.Parent)
	return o
}

func TestWhatIsNotSentDoesNotArrive(t *testing.T) {
	t.Parallel()
	for _, c := range textCodecs() {
		data, err := c.Marshal(&Order{Local: "local", secret: "secret", Total: new(big.Int)})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("local")) || bytes.Contains(data, []byte("secret")) {
			t.Errorf("%s sent a field that it should not: %q", c.ContentType(), data)
		}
	}
}

func TestMarshalTakesPointers(t *testing.T) {
	t.Parallel()
	for _, c := range allCodecs() {
		for _, v := range []any{nil, 5, "x", []byte("x"), (*int)(nil), (*[]byte)(nil)} {
			if _, err := c.Marshal(v); err == nil {
				t.Errorf("%s: Marshal(%#v) succeeded", c.ContentType(), v)
			}
			err := c.Unmarshal([]byte("1"), v)
			if e, ok := errors.AsType[*codec.Error](err); !ok || !strings.Contains(e.Error(), "non-nil pointer") {
				t.Errorf("%s: Unmarshal into %#v: %v", c.ContentType(), v, err)
			}
		}
	}
}

// shared is a payload with every kind of memory that could be shared.
type shared struct {
	S string
	B []byte
	A any
	L []string
	M map[string][]byte
	N Named
}

// Named keeps the argument of its method, which it should not.
type Named struct{ text []byte }

func (n *Named) UnmarshalBinary(b []byte) error { n.text = b; return nil }
func (n Named) MarshalBinary() ([]byte, error)  { return n.text, nil }
func (n *Named) UnmarshalText(b []byte) error   { n.text = bytes.Clone(b); return nil }
func (n Named) MarshalText() ([]byte, error)    { return n.text, nil }

func TestNothingIsSharedWithTheInput(t *testing.T) {
	t.Parallel()
	sent := shared{"string", []byte("bytes"), "any", []string{"list"}, map[string][]byte{"key": []byte("value")}, Named{[]byte("named")}}
	for _, c := range textCodecs() {
		data, err := c.Marshal(&sent)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := c.Marshal(&sent)
		before := bytes.Clone(data)
		var got shared
		if err := c.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%s: Unmarshal changed its input", c.ContentType())
		}
		scribble(data)
		if !reflect.DeepEqual(got, sent) {
			t.Errorf("%s: the value changed with the input: %+v", c.ContentType(), got)
		}
		if !bytes.Equal(again, before) {
			t.Errorf("%s: two results of Marshal share memory", c.ContentType())
		}
	}
}

func TestRawCopiesBothWays(t *testing.T) {
	t.Parallel()
	type Image []byte
	sent := Image("pixels")
	data, err := codec.Raw.Marshal(&sent)
	if err != nil {
		t.Fatal(err)
	}
	scribble(sent)
	var got Image
	if err := codec.Raw.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	scribble(data)
	if string(got) != "pixels" {
		t.Errorf("got %q", got)
	}
	var none Image
	if err := codec.Raw.Unmarshal(nil, &none); err != nil || none == nil {
		t.Errorf("no bytes: %v, %#v: want an empty slice", err, none)
	}
}

func scribble(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

func TestMarshalIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	m := map[string]any{}
	for i := range 50 {
		m[fmt.Sprint(i)] = i
	}
	for _, c := range textCodecs() {
		first, err := c.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if next, _ := c.Marshal(&m); !bytes.Equal(first, next) {
				t.Fatalf("%s: another order of keys", c.ContentType())
			}
		}
	}
}

func TestCodecsAreUsedConcurrently(t *testing.T) {
	t.Parallel()
	type fresh struct { // a type that no other test has shown the codecs
		Order *Order
		Any   any
	}
	for _, c := range textCodecs() {
		done := make(chan error)
		for i := range 16 {
			go func() {
				sent := fresh{&Order{Base: Base{ID: uint64(i)}, Total: new(big.Int)}, "x"}
				data, err := c.Marshal(&sent)
				var got fresh
				if err == nil {
					err = c.Unmarshal(data, &got)
				}
				if err == nil && (got.Order.ID != uint64(i) || got.Any != "x") {
					err = fmt.Errorf("sent %d, got %+v", i, got.Order)
				}
				done <- err
			}()
		}
		for range 16 {
			if err := <-done; err != nil {
				t.Error(c.ContentType(), err)
			}
		}
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	var got []string
	for _, c := range allCodecs() {
		got = append(got, c.ContentType())
	}
	if want := []string{"application/json", "application/msgpack", "application/octet-stream"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
