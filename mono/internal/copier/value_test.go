package copier_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/copier"
)

// made returns the copy that a plan makes of a value.
func made[T any](t *testing.T, k codec.Codec, v T) (T, error) {
	t.Helper()
	p := copier.For(reflect.TypeFor[T](), k)
	if p.RoundTripReason() != nil {
		t.Fatalf("%T would always take the round trip: %v", v, p.RoundTripReason())
	}
	var got T
	err := copier.Copy(p, &got, &v)
	return got, err
}

func wantMade[T any](t *testing.T, k codec.Codec, v, want T) {
	t.Helper()
	got, err := made(t, k, v)
	if err != nil {
		t.Errorf("%s: %#v: %v", k.ContentType(), v, err)
		return
	}
	if path := different(reflect.ValueOf(&got).Elem(), reflect.ValueOf(&want).Elem()); path != "" {
		t.Errorf("%s: %#v became %#v, want %#v", k.ContentType(), v, got, want)
	}
}

// The results of these copies depend on the value, not only on its type.
func TestValues(t *testing.T) {
	t.Parallel()
	wantMade(t, codec.JSON, "a\xffb", "a\ufffdb")
	wantMade(t, codec.MessagePack, "a\xffb", "a\xffb")
	wantMade(t, codec.JSON, map[string]int{"\xff": 1}, map[string]int{"\ufffd": 1})
	wantMade(t, codec.MessagePack, math.NaN(), math.NaN())
	wantMade(t, codec.JSON, math.Copysign(0, -1), math.Copysign(0, -1))
	wantMade(t, codec.JSON, OmitsZero{F: math.Copysign(0, -1)}, OmitsZero{})
	wantMade(t, codec.JSON, []string{}, []string{})
	wantMade(t, codec.JSON, []string(nil), nil)
	wantMade(t, codec.JSON, OmitsZero{L: []int{}, N: Names{}, M: map[string]string{}}, OmitsZero{L: []int{}})
	wantMade(t, codec.Raw, []byte(nil), []byte{})
	wantMade(t, codec.Raw, Blob("a"), Blob("a"))
	wantMade(t, codec.JSON, new(*int), nil)
	wantMade[any](t, codec.JSON, []any{1, "a", nil}, []any{1.0, "a", nil})
	wantMade[any](t, codec.MessagePack, []any{1, "a", []byte("b")}, []any{int64(1), "a", []byte("b")})
	wantMade[any](t, codec.MessagePack, uint64(math.MaxUint64), uint64(math.MaxUint64))
	now := time.Now()
	wantMade(t, codec.JSON, now, now.Round(0))
	wantMade(t, codec.MessagePack, now, now.UTC())
	seven := time.FixedZone("Seven", 7*60*60)
	wantMade(t, codec.JSON, time.Unix(1, 2).In(seven), time.Unix(1, 2).In(time.FixedZone("", 7*60*60)))

	for _, err := range []error{
		refused(t, codec.JSON, math.NaN()),
		refused(t, codec.JSON, []float32{float32(math.Inf(1))}),
		refused(t, codec.JSON, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
		refused(t, codec.JSON, list(1, true)),
		refused(t, codec.MessagePack, list(1, true)),
		refused(t, codec.MessagePack, list(codec.MaxDepth+1, false)),
	} {
		if _, ok := errors.AsType[*copier.EncodeError](err); !ok || !strings.Contains(err.Error(), "cannot encode") {
			t.Errorf("got %T: %v", err, err)
		}
	}
	if err := refused(t, codec.JSON, list(10_001, false)); !isDecodeError(err) {
		t.Errorf("got %T: %v", err, err)
	}
	wantMade(t, codec.JSON, list(5000, false), list(5000, false))

	deep := json.RawMessage(strings.Repeat("[", 9_998) + strings.Repeat("]", 9_998))
	wantMade(t, codec.JSON, Deepest{Raw: deep}, Deepest{Raw: deep, Any: nil})
	if err := refused(t, codec.JSON, Deepest{Next: &Deepest{Next: &Deepest{Raw: deep}}}); !isDecodeError(err) {
		t.Errorf("got %T: %v", err, err)
	}
}

func refused[T any](t *testing.T, k codec.Codec, v T) error {
	t.Helper()
	_, err := made(t, k, v)
	if err == nil {
		t.Errorf("%s: %T was copied", k.ContentType(), v)
	}
	return err
}

func isDecodeError(err error) bool {
	_, ok := errors.AsType[*codec.Error](err)
	return ok
}

// list returns a list of n elements. In a ring the last element refers to the first.
func list(n int, ring bool) *List {
	first := &List{}
	last := first
	for range n - 1 {
		last.Next = &List{}
		last = last.Next
	}
	if ring {
		last.Next = first
	}
	return first
}

// A plan uses the round trip for an unknown codec.
func TestOtherCodec(t *testing.T) {
	t.Parallel()
	p := copier.For(reflect.TypeFor[string](), shouting{codec.JSON})
	var got string
	src := "quiet"
	if err := p.Copy(&got, &src); err != nil || got != "QUIET" {
		t.Fatalf("%q, %v", got, err)
	}
	if p.RoundTripReason() == nil {
		t.Error("the plan has no doubt")
	}
}

type shouting struct{ codec.Codec }

func (s shouting) Marshal(v any) ([]byte, error) {
	b, err := s.Codec.Marshal(v)
	return []byte(strings.ToUpper(string(b))), err
}

// Copy allocates only the memory of the copy.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		value any
		want  float64
	}{
		{&Flat{ID: "order-1", Amount: 3}, 0},
		{&[]int{1, 2, 3}, 1},
		{anOrder(), 2},
		{&Pads{A: 1}, 0},
	} {
		for _, k := range []codec.Codec{codec.JSON, codec.MessagePack} {
			p := copier.For(reflect.TypeOf(c.value).Elem(), k)
			to := reflect.New(reflect.TypeOf(c.value).Elem())
			dst := to.Interface()
			got := testing.AllocsPerRun(100, func() {
				to.Elem().SetZero()
				if err := p.Copy(dst, c.value); err != nil {
					t.Fatal(err)
				}
			})
			if got > c.want {
				t.Errorf("%s: %T: %v allocations, want %v", k.ContentType(), c.value, got, c.want)
			}
		}
	}
}
