package copier_test

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/copier"
	"pgregory.net/rapid"
)

var values = flag.Int("copier.values", 4_000, "how many values TestCopy draws for each codec")

// perType is how many values TestCopy draws of each type, and perCheck how many
// types rapid draws by default.
const perType, perCheck = 20, 100

// What a plan makes of a value is what the codec's round trip makes of it.
func TestCopy(t *testing.T) {
	t.Parallel()
	for _, k := range []codec.Codec{codec.JSON, codec.MessagePack, codec.Raw} {
		t.Run(k.ContentType(), func(t *testing.T) {
			t.Parallel()
			for drawn := 0; drawn < *values; drawn += perType * perCheck {
				rapid.Check(t, func(t *rapid.T) {
					of := drawType(t, 4)
					for range perType {
						copies(t, k, of)
					}
				})
			}
		})
	}
}

// Each type of the gallery, whatever the random types are.
func TestGallery(t *testing.T) {
	t.Parallel()
	for _, k := range []codec.Codec{codec.JSON, codec.MessagePack} {
		for _, of := range gallery() {
			t.Run(k.ContentType()+"/"+of.String(), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) { copies(t, k, of) })
			})
		}
	}
}

func FuzzJSON(f *testing.F)        { fuzz(f, codec.JSON) }
func FuzzMessagePack(f *testing.F) { fuzz(f, codec.MessagePack) }

// fuzz draws from a fixed set of types, since caches keep what they know of each.
func fuzz(f *testing.F, k codec.Codec) {
	types := gallery()
	random := rapid.Custom(func(t *rapid.T) reflect.Type { return drawType(t, 4) })
	for seed := range 500 {
		types = append(types, random.Example(seed))
	}
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		copies(t, k, rapid.SampledFrom(types).Draw(t, "type"))
	}))
}

// copies draws a value and compares its copy with the round trip.
func copies(t *rapid.T, k codec.Codec, of reflect.Type) {
	src, got, want := reflect.New(of), reflect.New(of), reflect.New(of)
	drawValue(t, src.Elem())
	if folded(src.Elem()) {
		return
	}
	plan := copier.For(of, k)
	gotErr := plan.Copy(got.Interface(), src.Interface())
	wantErr := roundTrip(k, want.Interface(), src.Interface())
	if holds(of, merges) {
		return // one round trip is not like another
	}
	if gotErr != nil || wantErr != nil {
		exact := k != codec.MessagePack || !holds(of, unordered)
		if got, want := text(gotErr, exact), text(wantErr, exact); got != want {
			t.Fatalf("%v, doubt %v\ngot error  %s\nwant error %s\nvalue %s", of, plan.Doubt(), got, want, show(src))
		}
		return
	}
	if path := different(got.Elem(), want.Elem()); path != "" {
		t.Fatalf("%v, doubt %v: %s is different\ngot   %s\nwant  %s\nvalue %s", of, plan.Doubt(), path, show(got), show(want), show(src))
	}
	if path := shared(src.Elem(), got.Elem()); path != "" && plan.Doubt() == nil {
		t.Fatalf("%v: the copy shares %s", of, path)
	}
}

// merges reports a map whose keys may become one, so that the last in the order
// of the map wins.
func merges(t reflect.Type) bool {
	if t.Kind() != reflect.Map {
		return false
	}
	kind := t.Key().Kind()
	return kind != reflect.String && kind >= reflect.Float32 || t.Key().NumMethod() > 0
}

// unordered reports what MessagePack writes in any order, so that the first error
// is any.
func unordered(t reflect.Type) bool { return t.Kind() == reflect.Map || t.Kind() == reflect.Interface }

// holds reports whether a type holds one that is so.
func holds(t reflect.Type, is func(reflect.Type) bool) bool {
	seen := make(map[reflect.Type]bool)
	var within func(reflect.Type) bool
	within = func(t reflect.Type) bool {
		if seen[t] {
			return false
		}
		if seen[t] = true; is(t) {
			return true
		}
		switch t.Kind() {
		case reflect.Map, reflect.Pointer, reflect.Slice, reflect.Array:
			return within(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				if within(f.Type) {
					return true
				}
			}
		}
		return false
	}
	return within(t)
}

func roundTrip(k codec.Codec, dst, src any) error {
	data, err := k.Marshal(src)
	if err != nil {
		return &copier.EncodeError{Err: err}
	}
	return k.Unmarshal(data, dst)
}

// text is what an error says, or only whose it is: the encoder's or the decoder's.
func text(err error, exact bool) string {
	encode, ok := errors.AsType[*copier.EncodeError](err)
	switch {
	case err == nil:
		return "none"
	case exact:
		return fmt.Sprintf("encoding %v: %v", ok, err)
	case ok:
		return fmt.Sprintf("encoding: %T", encode.Err)
	}
	return fmt.Sprintf("decoding: %T", err)
}

func show(v reflect.Value) string {
	f := folding{room: 2000}
	if !f.visit(v.Elem(), 0) {
		return "that is large, or contains itself"
	}
	return fmt.Sprintf("%#v", v.Elem())
}
