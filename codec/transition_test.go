package codec_test

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"gomono.dev/codec"
)

func joinName(c customer2) (customer1, error) {
	if c.First == "" {
		return customer1{}, io.EOF
	}
	return customer1{c.First + " " + c.Last}, nil
}

// What a Transition writes is read by the release before it and by the release after it, and it reads
// what both of them write.
func TestTransition(t *testing.T) {
	t.Parallel()
	during := mustUpcasts(t, codec.Transition("1", splitName, joinName))
	after := mustUpcasts(t, codec.Upcast("1", splitName))
	sent := customer2{"Ada", "Lovelace"}
	for _, c := range textCodecs() {
		writes := during.Newest(c)
		data, err := writes.Marshal(&sent)
		if err != nil || writes.ContentType() != c.ContentType() {
			t.Fatalf("%s: wrote %s, %v", c.ContentType(), writes.ContentType(), err)
		}
		var old customer1
		if err := c.Unmarshal(data, &old); err != nil || old.Name != "Ada Lovelace" {
			t.Errorf("%s: the release before it reads %+v, %v", c.ContentType(), old, err)
		}
		newer, err := after.Newest(c).Marshal(&sent)
		if err != nil {
			t.Fatal(err)
		}
		for contentType, data := range map[string][]byte{"": data, c.ContentType() + "; version=2": newer} {
			for _, u := range []*codec.Upcasts{during, after} {
				var got customer2
				if err := u.For(contentType, c).Unmarshal(data, &got); err != nil || got != sent {
					t.Errorf("%s: got %+v, %v", contentType, got, err)
				}
			}
		}
	}
	if got := during.String(); got != "1 codec_test.customer1 (written)" {
		t.Errorf("got %q", got)
	}
}

// In a longer chain a Transition writes the version before the newest one.
func TestTransitionAtTheEndOfAChain(t *testing.T) {
	t.Parallel()
	u := mustUpcasts(t, codec.Upcast("1", splitName), codec.Transition("2", countVisits, func(c customer3) (customer2, error) { return customer2{c.First, c.Last}, nil }))
	c := u.Newest(codec.JSON)
	data, err := c.Marshal(&customer3{"Ada", "Lovelace", 7})
	if err != nil || string(data) != `{"First":"Ada","Last":"Lovelace"}` || c.ContentType() != "application/json; version=2" {
		t.Errorf("got %s as %s, %v", data, c.ContentType(), err)
	}
	if err := u.Check(reflect.TypeFor[customer3]()); err != nil {
		t.Error(err)
	}
	raw := mustUpcasts(t, codec.Transition("1", func(b []byte) ([]byte, error) { return append(b, '!'), nil }, func(b []byte) ([]byte, error) { return b[:len(b)-1], nil }))
	sent := []byte("bytes!")
	if lent, err := raw.Newest(codec.Raw).(codec.Lender).Lend(&sent); err != nil || string(lent) != "bytes" {
		t.Errorf("lent %q, %v", lent, err)
	}
}

func TestWrongTransitions(t *testing.T) {
	t.Parallel()
	for want, steps := range map[string][]codec.Step{
		"the Transition from version 1 is not the last step: replace it by codec.Upcast": {codec.Transition("1", splitName, joinName), codec.Upcast("2", countVisits)},
		`the upcast from version "1" has no function`:                                    {codec.Transition("1", splitName, nil)},
		`the upcast from version "2" has no function`:                                    {codec.Transition("2", nil, joinName)},
		`an upcast from version "x"`:                                                     {codec.Transition("x", splitName, joinName)},
	} {
		if u, err := codec.NewUpcasts(steps...); err == nil || u != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v, want %q", u, err, want)
		}
	}
	c := mustUpcasts(t, codec.Transition("1", splitName, joinName)).Newest(codec.JSON)
	_, err := c.Marshal(&customer2{"", "a secret"})
	if err == nil || !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "the way back to version 1 failed (*errors.errorString)") {
		t.Errorf("got %v", err)
	}
	for _, v := range []any{nil, customer2{}, &customer3{}} {
		if _, err := c.Marshal(v); err == nil {
			t.Errorf("%T was encoded", v)
		}
	}
	c = mustUpcasts(t, codec.Transition("1", splitName, func(customer2) (customer1, error) { panic("a secret") })).Newest(codec.JSON)
	if _, err := c.Marshal(&customer2{}); err == nil || !strings.HasSuffix(err.Error(), "the way back to version 1 panicked (string)") {
		t.Errorf("got %v", err)
	}
}
