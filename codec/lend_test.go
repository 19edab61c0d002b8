package codec_test

import (
	"bytes"
	"testing"

	"gomono.dev/codec"
)

// Bytes that Raw lends are the value, and bytes that it takes become the value; Marshal and
// Unmarshal copy.
func TestRawLends(t *testing.T) {
	t.Parallel()
	lender := codec.Raw.(codec.Lender)
	type named []byte
	value, other := []byte("abc"), named("abc")
	for _, v := range []any{&value, &other} {
		lent, err := lender.Lend(v)
		if err != nil || string(lent) != "abc" {
			t.Fatalf("%q, %v", lent, err)
		}
		copied, _ := codec.Raw.Marshal(v)
		lent[0] = 'x'
		if string(copied) != "abc" {
			t.Errorf("the result of Marshal changed to %q", copied)
		}
	}
	if string(value) != "xbc" || string(other) != "xbc" {
		t.Errorf("lent bytes are a copy: %q, %q", value, other)
	}
	data := []byte("abc")
	var taken, copied []byte
	if err := lender.Take(data, &taken); err != nil {
		t.Fatal(err)
	}
	if err := codec.Raw.Unmarshal(data, &copied); err != nil {
		t.Fatal(err)
	}
	data[0] = 'x'
	if string(taken) != "xbc" || !bytes.Equal(copied, []byte("abc")) {
		t.Errorf("taken %q, copied %q", taken, copied)
	}
	if err := lender.Take(nil, &taken); err != nil || taken == nil || len(taken) != 0 {
		t.Errorf("nil became %#v, %v", taken, err)
	}
	if _, err := lender.Lend(new(string)); err == nil {
		t.Error("a string was lent")
	}
}
