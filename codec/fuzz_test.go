package codec_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gomono.dev/codec"
)

// everything has a field of every kind that can be decoded.
type everything struct {
	B   bool
	I8  int8
	I   int
	U8  uint8
	U   uint64
	F32 float32
	F64 float64
	S   string
	Y   []byte
	H   [3]byte
	A   [2]int8
	L   []everything
	M   map[string]int16
	MI  map[int8]string
	MS  map[string]string
	MA  map[string]any
	P   *everything
	PP  **int
	X   any
	T   time.Time
	D   time.Duration
	N   Named
	O   Money
	Raw msgpack.RawMessage `msgpack:"raw" json:"-"`
	Z   struct{}
	*Behind
}

// Money is encoded as text.
type Money struct{ Cents byte }

func (m Money) MarshalText() ([]byte, error) { return []byte{'0' + m.Cents%10}, nil }

func (m *Money) UnmarshalText(b []byte) error {
	if len(b) != 1 || b[0] < '0' || b[0] > '9' {
		return errors.New("not money")
	}
	m.Cents = b[0] - '0'
	return nil
}

func fuzzTargets() []any {
	return []any{new(any), new(everything), new([]everything), new(M), new([]int8), new(string), new([]byte), new(time.Time), new(struct{}), new(map[[2]int8]bool), new(Tree)}
}

// decodes checks a rule for any input: an error names the place, or the decoded value can be
// sent on, and arrives in the same form.
func decodes(t *testing.T, c codec.Codec, data []byte, v any) {
	kept := bytes.Clone(data)
	err := c.Unmarshal(data, v)
	if !bytes.Equal(kept, data) {
		t.Fatal("the input was changed")
	}
	if err != nil {
		e, ok := errors.AsType[*codec.Error](err)
		if !ok || e.Type != reflect.TypeOf(v).Elem() || e.Offset < -1 || e.Offset > int64(len(data)) {
			t.Fatalf("%#v", err)
		}
		return
	}
	first, err := c.Marshal(v)
	if err != nil {
		t.Fatalf("%T cannot be sent on: %v", v, err)
	}
	again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
	if err := c.Unmarshal(first, again); err != nil {
		t.Fatalf("%T did not arrive: %v\n%q", v, err, first)
	}
	second, err := c.Marshal(again)
	if err != nil || len(first) != len(second) {
		t.Fatalf("%T changed on the way: %v\n%q\n%q", v, err, first, second)
	}
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{``, `null`, `1e400`, `{"I8":300}`, `{"P":{"P":{}}}`, `{"T":"2026-01-02T03:04:05Z"}`, `{"Y":"AAAA","L":[{},{}]}`, "\"\xff\"", `[[[[`, `{"M":{"a":1,"a":2}}`, strings.Repeat("[", 20000), `{"N":"x","O":"5"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range fuzzTargets() {
			if _, ok := v.(*map[[2]int8]bool); !ok { // not for JSON
				decodes(t, codec.JSON, data, v)
			}
		}
	})
}

func FuzzMessagePack(f *testing.F) {
	full := everything{L: make([]everything, 2), M: map[string]int16{"a": -300}, X: []any{1, "x", 2.5, []byte("b")}, T: time.Unix(5, 5), Raw: msgpack.RawMessage{0xc0}, MA: M{"k": M{}}}
	seeds := []string{"", "\xc0", "\xc1", "\xd6\xff\x00\x00\x00\x05", "\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xc7\x05\x01\xdf\xff\xff\xff\xff\x00", "\xdd\xff\xff\xff\xff", strings.Repeat("\x91", 2000), strings.Repeat("\x81\xa1P", 1500), pack(f, &full), "\x81\x92\x01\x02\xc3", "\xd4\x80\x00"}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range fuzzTargets() {
			decodes(t, codec.MessagePack, data, v)
		}
	})
}

func FuzzRaw(f *testing.F) {
	for _, seed := range []string{"", "null", "\x00\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got []byte
		if err := codec.Raw.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		again, err := codec.Raw.Marshal(&got)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v: %q became %q", err, data, again)
		}
	})
}
