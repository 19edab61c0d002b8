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

var values = flag.Int("copier.values", 4_000, "number of values that TestCopy draws for each codec")

// perType is the number of values that TestCopy draws of each type, and perCheck the number
// of types that rapid draws by default.
const perType, perCheck = 20, 100

// encoders are the codecs that encode values, without and with options.
func encoders() []codec.Codec {
	opts := []codec.Option{codec.DisallowUnknownFields(), codec.Aliases[Flat]("customer", "client")}
	return []codec.Codec{codec.JSON, codec.MessagePack, codec.NewJSON(opts...), codec.NewMessagePack(opts...)}
}

func nameOf(k codec.Codec) string {
	if k != codec.WithoutOptions(k) {
		return k.ContentType() + "/options"
	}
	return k.ContentType()
}

// A plan copies a value to the same result as the round trip of the codec.
func TestCopy(t *testing.T) {
	t.Parallel()
	for _, k := range append(encoders(), codec.Raw) {
		t.Run(nameOf(k), func(t *testing.T) {
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

// TestGallery copies each type of the gallery, in addition to the random types of TestCopy.
func TestGallery(t *testing.T) {
	t.Parallel()
	for _, k := range encoders() {
		for _, of := range gallery() {
			t.Run(nameOf(k)+"/"+of.String(), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) { copies(t, k, of) })
			})
		}
	}
}

func FuzzJSON(f *testing.F)        { fuzz(f, codec.JSON) }
func FuzzMessagePack(f *testing.F) { fuzz(f, codec.MessagePack) }

// fuzz draws from a fixed set of types, since each new type stays in the caches.
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
		return // round trips can differ
	}
	if gotErr != nil || wantErr != nil {
		exact := codec.WithoutOptions(k) != codec.MessagePack || !holds(of, unordered)
		if got, want := text(gotErr, exact), text(wantErr, exact); got != want {
			t.Fatalf("%v, doubt %v\ngot error  %s\nwant error %s\nvalue %s", of, plan.RoundTripReason(), got, want, show(src))
		}
		return
	}
	if path := different(got.Elem(), want.Elem()); path != "" {
		t.Fatalf("%v, doubt %v: %s is different\ngot   %s\nwant  %s\nvalue %s", of, plan.RoundTripReason(), path, show(got), show(want), show(src))
	}
	if path := shared(src.Elem(), got.Elem()); path != "" && plan.RoundTripReason() == nil {
		t.Fatalf("%v: the copy shares %s", of, path)
	}
}

// merges reports whether keys of a map may become equal, so the last key in map order wins.
func merges(t reflect.Type) bool {
	if t.Kind() != reflect.Map {
		return false
	}
	kind := t.Key().Kind()
	return kind != reflect.String && kind >= reflect.Float32 || t.Key().NumMethod() > 0
}

// unordered reports whether MessagePack writes a type in any order, so the first error varies.
func unordered(t reflect.Type) bool { return t.Kind() == reflect.Map || t.Kind() == reflect.Interface }

// holds reports whether t or a type within it satisfies is.
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

// text returns the text of an error if exact is set, or else only its type. It distinguishes
// errors of the encoder and the decoder.
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
		return "a value that is large or contains itself"
	}
	return fmt.Sprintf("%#v", v.Elem())
}
