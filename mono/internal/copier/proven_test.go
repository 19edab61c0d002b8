package copier_test

import (
	"encoding/json"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono/internal/copier"
)

// Doubt returns nil for types that a plan copies, and the reason for types that it leaves to
// the codec.
func TestRoundTripReason(t *testing.T) {
	t.Parallel()
	const none = ""
	cases := []struct {
		t       reflect.Type
		json    string // part of the doubt
		msgpack string
	}{
		{reflect.TypeFor[Flat](), none, none},
		{reflect.TypeFor[*Order](), none, none},
		{reflect.TypeFor[[]byte](), none, none},
		{reflect.TypeFor[struct{}](), none, none},
		{reflect.TypeFor[time.Time](), none, none},
		{reflect.TypeFor[[]*time.Time](), none, none},
		{reflect.TypeFor[Tree](), none, none},
		{reflect.TypeFor[map[Name][]Line](), none, none},
		{reflect.TypeFor[any](), none, none},
		{reflect.TypeFor[[]map[string]any](), none, none},
		{reflect.TypeFor[Embeds](), none, none},
		{reflect.TypeFor[Foreign](), none, none},
		{oddTags, none, "tag"},

		{reflect.TypeFor[[]netip.Addr](), "encoding methods", "encoding methods"},
		{reflect.TypeFor[big.Int](), "encoding methods", "encoding methods"},
		{reflect.TypeFor[json.Number](), "encoding methods", none},
		{reflect.TypeFor[EmbedsPointer](), "embedded pointer", "embedded pointer"},
		{reflect.TypeFor[Shadows](), "two fields", "two fields"},
		{reflect.TypeFor[map[bool]int](), "key", none},
		{reflect.TypeFor[map[float64]int](), "key", "key"},
		{reflect.TypeFor[chan int](), "chan int", "chan int"},
	}
	for _, c := range cases {
		for i, k := range encoders() {
			want := []string{c.json, c.msgpack}[i%2]
			doubt := copier.For(c.t, k).RoundTripReason()
			if (doubt == nil) != (want == none) || doubt != nil && !strings.Contains(doubt.Error(), want) {
				t.Errorf("%v, %s: got doubt %v, want %q", c.t, k.ContentType(), doubt, want)
			}
		}
	}
}
