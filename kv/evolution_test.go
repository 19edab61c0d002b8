package kv_test

import (
	"fmt"
	"strings"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/transport"
)

// Two shapes of a place, with a renamed field.
type (
	zipOf struct {
		Code string `json:"zip"`
	}
	postcodeOf struct {
		Code string `json:"postcode"`
	}
)

var (
	readsPostcode = codec.Aliases[zipOf]("zip", "postcode")
	readsZip      = codec.Aliases[postcodeOf]("postcode", "zip")
)

// exchange puts a value with each of two releases, and changes it with the other one. None of them
// loses a field.
func exchange[A, B any](t *testing.T, tr transport.Transport, older kv.Bucket[A], newer kv.Bucket[B], of func(string) A, as func(string) B) {
	t.Helper()
	ctx := t.Context()
	one, two := connect(t, tr, older), connect(t, tr, newer)
	_, err := one.Put(ctx, "a", of("1"))
	code(t, err, "")
	_, err = two.Put(ctx, "b", as("2"))
	code(t, err, "")
	for _, key := range []string{"a", "b"} {
		if _, err := two.Modify(ctx, key, func(v B) (B, error) { return v, nil }); err != nil {
			t.Error(err)
		}
		if _, err := one.Modify(ctx, key, func(v A) (A, error) { return v, nil }); err != nil {
			t.Error(err)
		}
		want := map[string]string{"a": "1", "b": "2"}[key]
		a, errA := one.Get(ctx, key)
		b, errB := two.Get(ctx, key)
		if errA != nil || errB != nil || fmt.Sprint(a.Value, b.Value) != fmt.Sprint(of(want), as(want)) {
			t.Errorf("%s: got %v, %v and %v, %v", key, a.Value, errA, b.Value, errB)
		}
	}
}

// A field of a value is renamed as one of a message is: each release reads and changes what the one
// beside it has written.
func TestRenameAFieldOfAValue(t *testing.T) {
	for _, of := range []func(...codec.Option) codec.Codec{codec.NewJSON, codec.NewMessagePack} {
		onServers(t, func(t *testing.T, tr transport.Transport) {
			strict := codec.DisallowUnknownFields()
			zips := func(opts ...codec.Option) kv.Bucket[zipOf] {
				return kv.NewBucket[zipOf]("places", kv.Codec(of(append(opts, strict)...)))
			}
			postcodes := func(opts ...codec.Option) kv.Bucket[postcodeOf] {
				return kv.NewBucket[postcodeOf]("places", kv.Codec(of(append(opts, strict)...)))
			}
			zip, postcode := func(s string) zipOf { return zipOf{s} }, func(s string) postcodeOf { return postcodeOf{s} }
			exchange(t, tr, zips(), zips(readsPostcode), zip, zip)
			exchange(t, tr, zips(readsPostcode), postcodes(readsZip), zip, postcode)
			_, err := connect(t, tr, postcodes(readsZip)).Put(t.Context(), "c", postcode("3"))
			code(t, err, "")
			_, err = connect(t, tr, zips()).Get(t.Context(), "c")
			if code(t, err, transport.DataLoss); !strings.Contains(fmt.Sprint(err), `unknown field "postcode": add it to the type, or use codec.Aliases`) {
				t.Errorf("the first release reads what the third has written: %v", err)
			}
		})
	}
}

// The type of a value changes as that of a message does.
func TestTransitionOfValues(t *testing.T) {
	toItem := func(c cart2) (cart1, error) { return cart1{strings.Join(c.Items, "")}, nil }
	during := kv.NewBucket[cart2]("carts", kv.Upcasts(codec.Transition("1", toList, toItem)))
	onServers(t, func(t *testing.T, tr transport.Transport) {
		item, list := func(s string) cart1 { return cart1{s} }, func(s string) cart2 { return cart2{[]string{s}} }
		exchange(t, tr, kv.NewBucket[cart1]("carts"), during, item, list)
		if got := contentType(t, tr, "a"); got != "" {
			t.Errorf("the content type is %q during the transition", got)
		}
		exchange(t, tr, during, kv.NewBucket[cart2]("carts", kv.Upcasts(codec.Upcast("1", toList))), list, list)
	})
}

func TestWrongAliasesOfABucketPanic(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, `kv.NewBucket("places")`) || !strings.Contains(got, "contains none of these structs") {
			t.Errorf("got %q", got)
		}
	}()
	kv.NewBucket[zipOf]("places", kv.Codec(codec.NewJSON(readsZip)))
}
