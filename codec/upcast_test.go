package codec_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/codec"
)

// Three versions of a customer.
type (
	customer1 struct{ Name string }
	customer2 struct{ First, Last string }
	customer3 struct {
		First, Last string
		Visits      int
	}
)

func splitName(c customer1) (customer2, error) {
	first, last, _ := strings.Cut(c.Name, " ")
	return customer2{first, last}, nil
}

func countVisits(c customer2) (customer3, error) { return customer3{c.First, c.Last, 1}, nil }

func mustUpcasts(t testing.TB, steps ...codec.Step) *codec.Upcasts {
	t.Helper()
	u, err := codec.NewUpcasts(steps...)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func customers(t testing.TB) *codec.Upcasts {
	return mustUpcasts(t, codec.Upcast("1", splitName), codec.Upcast("2", countVisits))
}

// Each version arrives as its steps convert it, in every codec and however the content type is
// spelled.
func TestUpcastsConvertEachVersion(t *testing.T) {
	t.Parallel()
	u := customers(t)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z]{1,5} [a-z]{1,5}`).Draw(t, "name")
		one := customer1{name}
		two, _ := splitName(one)
		three, _ := countVisits(two)
		two.First += rapid.StringN(0, 3, -1).Draw(t, "first")
		three.Visits = rapid.Int().Draw(t, "visits")
		from := rapid.IntRange(1, 3).Draw(t, "version")
		written := []any{&one, &two, &three}[from-1]
		want := three
		switch from {
		case 1:
			want.Visits = 1
		case 2:
			want, _ = countVisits(two)
		}
		c := rapid.SampledFrom(textCodecs()).Draw(t, "codec")
		data, err := c.Marshal(written)
		if err != nil {
			t.Fatal(err)
		}
		contentType := drawContentType(t, c.ContentType(), from)
		var got customer3
		if err := u.For(contentType, rapid.SampledFrom([]codec.Codec{c, u.Newest(c)}).Draw(t, "of")).Unmarshal(data, &got); err != nil {
			t.Fatalf("%q: %v", contentType, err)
		}
		if got != want {
			t.Fatalf("%q: got %+v, want %+v", contentType, got, want)
		}
	})
}

// drawContentType returns a content type of a version.
func drawContentType(t *rapid.T, media string, version int) string {
	if version == 1 && rapid.Bool().Draw(t, "plain") {
		return rapid.SampledFrom([]string{"", media, media + ";", media + "; charset=utf-8", media + "; versions=3"}).Draw(t, "spelling")
	}
	return media + fmt.Sprintf(rapid.SampledFrom([]string{
		"; version=%d", ";version=%d", ` ; Version="%d"`, "; charset=utf-8; VERSION = %d ", "; version=%d; broken", ";;version=%d",
	}).Draw(t, "spelling"), version)
}

// No content type and no bytes from outside cause a panic, or a value beside an error.
func TestUpcastsAcceptAnyBytes(t *testing.T) {
	t.Parallel()
	u := customers(t)
	rapid.Check(t, func(t *rapid.T) {
		contentType := rapid.OneOf(rapid.String(), rapid.Map(rapid.String(), func(s string) string { return "a/b; version=" + s })).Draw(t, "content type")
		data := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Just([]byte(`{"Name":"a b"}`))).Draw(t, "data")
		for _, c := range textCodecs() {
			for _, u := range []*codec.Upcasts{u, nil} {
				var got customer3
				err := u.For(contentType, c).Unmarshal(data, &got)
				if _, ok := errors.AsType[*codec.Error](err); err != nil && !ok {
					t.Fatalf("%T: %v", err, err)
				}
			}
		}
	})
}

func TestNewestWritesItsVersion(t *testing.T) {
	t.Parallel()
	u := customers(t)
	for _, c := range textCodecs() {
		newest := u.Newest(c)
		if got, want := newest.ContentType(), c.ContentType()+"; version=3"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		sent := customer3{"Ada", "Lovelace", 3}
		data, err := newest.Marshal(&sent)
		if err != nil {
			t.Fatal(err)
		}
		for _, reads := range []codec.Codec{newest, u.For(newest.ContentType(), c), c} {
			var got customer3
			if err := reads.Unmarshal(data, &got); err != nil || got != sent {
				t.Errorf("%s: got %+v, %v", c.ContentType(), got, err)
			}
		}
		var none *codec.Upcasts
		if none.Newest(c) != c || none.For("", c) != c || none.For("x; version=1", c) != c || none.Check(reflect.TypeFor[int]()) != nil || none.String() != "" {
			t.Error("no Upcasts change the codec")
		}
	}
	if got := u.String(); got != "1 codec_test.customer1, 2 codec_test.customer2" {
		t.Errorf("got %q", got)
	}
}

// A version that is unknown is an error, not another version.
func TestUnknownVersionIsAnError(t *testing.T) {
	t.Parallel()
	late := mustUpcasts(t, codec.Upcast("2", countVisits))
	for _, c := range []struct {
		u           *codec.Upcasts
		contentType string
		want        string
	}{
		{customers(t), "application/json; version=4", "cannot decode application/json; version=4 into codec_test.customer3: version 4 is newer than 3, the newest that this program reads"},
		{late, "application/json; version=4", "version 4 is newer than 3"},
		{late, "application/json", "cannot decode application/json into codec_test.customer3: version 1 is older than 2, the oldest that this program reads: add the upcast from version 1"},
		{nil, "application/json; version=2", "version 2 is newer than 1"},
		{nil, "application/json; version=02", `the version "02" is not a whole number`},
		{nil, "application/json; version=" + strings.Repeat("9", 100), "is not a whole number"},
		{customers(t), "application/json; version=", `the version "" is not a whole number`},
		{customers(t), "application/json; version=0", "is not a whole number"},
		{customers(t), "application/json; version=-1", "is not a whole number"},
	} {
		got := customer3{}
		err := c.u.For(c.contentType, codec.JSON).Unmarshal([]byte(`{"Name":"a b"}`), &got)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 || got != (customer3{}) {
			t.Errorf("%q: got %+v, %v, want %q", c.contentType, got, err, c.want)
		}
	}
}

func TestFailedStep(t *testing.T) {
	t.Parallel()
	for want, step := range map[string]func(customer1) (customer2, error){
		"cannot decode application/json into codec_test.customer2: the upcast from version 1 failed (*errors.errorString)": func(customer1) (customer2, error) { return customer2{}, io.EOF },
		"cannot decode application/json into codec_test.customer2: the upcast from version 1 panicked (string)":            func(customer1) (customer2, error) { panic("a secret") },
	} {
		u := mustUpcasts(t, codec.Upcast("1", step))
		var got customer2
		err := u.For("", codec.JSON).Unmarshal([]byte(`{"Name":"a secret"}`), &got)
		if err == nil || err.Error() != want || got != (customer2{}) {
			t.Errorf("got %v, want %q", err, want)
		}
		if strings.Contains(want, "failed") && !errors.Is(err, io.EOF) {
			t.Errorf("the cause is lost: %v", err)
		}
		if cause := errors.Unwrap(errors.Unwrap(err)); strings.Contains(want, "panicked") && !strings.Contains(fmt.Sprintf("%+v", cause), "upcast_test.go") {
			t.Errorf("no stack: %+v", cause)
		}
	}
	var wrong customer1
	if err := customers(t).For("", codec.JSON).Unmarshal([]byte(`{}`), &wrong); err == nil || !strings.Contains(err.Error(), "make a codec_test.customer3") {
		t.Errorf("another type: %v", err)
	}
	err := customers(t).For("", codec.JSON).Unmarshal([]byte(`{"Name":7}`), new(customer3))
	if err == nil || !strings.HasPrefix(err.Error(), "cannot decode application/json into codec_test.customer1") {
		t.Errorf("an old value that is malformed: %v", err)
	}
}

func TestWrongStepsAreRefused(t *testing.T) {
	t.Parallel()
	one, two := codec.Upcast("1", splitName), codec.Upcast("2", countVisits)
	for _, c := range []struct {
		steps []codec.Step
		want  string
	}{
		{nil, "without a step"},
		{[]codec.Step{{}}, "no function"},
		{[]codec.Step{codec.Upcast[customer1, customer2]("1", nil)}, `from version "1" has no function`},
		{[]codec.Step{codec.Upcast("", splitName)}, `from version "": want a whole number from 1`},
		{[]codec.Step{codec.Upcast("v1", splitName)}, "want a whole number"},
		{[]codec.Step{codec.Upcast("1.0", splitName)}, "want a whole number"},
		{[]codec.Step{codec.Upcast("9999999999", splitName)}, "want a whole number"},
		{[]codec.Step{one, codec.Upcast("3", countVisits)}, "version 3 follows the one from version 1: want each version once, in order and without a gap"},
		{[]codec.Step{one, codec.Upcast("1", countVisits)}, "version 1 follows the one from version 1"},
		{[]codec.Step{two, one}, "version 1 follows the one from version 2"},
		{[]codec.Step{one, codec.Upcast("2", splitName)}, "makes a codec_test.customer2, and the one from version 2 takes a codec_test.customer1"},
	} {
		if u, err := codec.NewUpcasts(c.steps...); err == nil || u != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, %v, want %q", u, err, c.want)
		}
	}
	err := customers(t).Check(reflect.TypeFor[customer2]())
	if err == nil || err.Error() != "the last upcast, from version 2, makes a codec_test.customer3: want a codec_test.customer2" {
		t.Errorf("another type: %v", err)
	}
	if err := customers(t).Check(reflect.TypeFor[customer3]()); err != nil {
		t.Error(err)
	}
}

// The types of older versions are checked, too, and Raw still lends its bytes.
func TestUpcastsKeepTheAbilitiesOfTheCodec(t *testing.T) {
	t.Parallel()
	type old struct{ C chan int }
	u := mustUpcasts(t, codec.Upcast("1", func(old) (customer1, error) { return customer1{}, nil }))
	err := u.Newest(codec.JSON).(codec.TypeChecker).CheckType(reflect.TypeFor[customer1]())
	if err == nil || !strings.Contains(err.Error(), "chan int has no encoding") {
		t.Errorf("got %v", err)
	}
	if err := u.Newest(textCodec{}).(codec.TypeChecker).CheckType(reflect.TypeFor[customer1]()); err != nil {
		t.Error(err)
	}
	u = mustUpcasts(t, codec.Upcast("1", func(b []byte) ([]byte, error) { return append(b, '!'), nil }))
	sent := []byte("bytes")
	lent, err := u.Newest(codec.Raw).(codec.Lender).Lend(&sent)
	if err != nil || &lent[0] != &sent[0] {
		t.Errorf("the bytes were copied: %q, %v", lent, err)
	}
	var got []byte
	if err := u.For("", codec.Raw).(codec.Lender).Take(lent, &got); err != nil || string(got) != "bytes!" {
		t.Errorf("got %q, %v", got, err)
	}
	lent, err = u.Newest(codec.JSON).(codec.Lender).Lend(&sent)
	if err != nil || u.Newest(codec.JSON).(codec.Lender).Take(lent, &got) != nil || string(got) != "bytes" {
		t.Errorf("got %q from %s, %v", got, lent, err)
	}
}
