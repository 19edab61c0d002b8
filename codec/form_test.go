package codec_test

import (
	"reflect"
	"slices"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/internal/typeform"
)

// The form of a struct has the options of its codec.
func TestFormsWithOptions(t *testing.T) {
	t.Parallel()
	type Outer struct {
		Line
		Note string
	}
	for _, of := range []func(...codec.Option) codec.Codec{codec.NewJSON, codec.NewMessagePack} {
		for _, plain := range []bool{true, false} {
			c := of(codec.Aliases[Line]("sku", "article"), codec.DisallowUnknownFields())
			if plain {
				c = codec.WithoutOptions(c)
			}
			f, err := c.(typeform.Describer).Form(reflect.TypeFor[Outer]())
			if err != nil || f.Kind != typeform.Struct {
				t.Fatalf("%v: %+v, %v", c, f, err)
			}
			var aliases []string
			for _, field := range f.Fields {
				aliases = append(aliases, field.Aliases...)
			}
			if f.Strict == plain || slices.Contains(aliases, "article") == plain {
				t.Errorf("%v: strict %v, aliases %q", c, f.Strict, aliases)
			}
			if list, err := c.(typeform.Describer).Form(reflect.TypeFor[[]Outer]()); err != nil || list.Strict || list.Kind != typeform.Slice {
				t.Errorf("%v: %+v, %v", c, list, err)
			}
		}
	}
}

// Versions lists the types that are read, and the version that is written.
func TestVersions(t *testing.T) {
	t.Parallel()
	back := func(c customer3) (customer2, error) { return customer2{c.First, c.Last}, nil }
	for want, u := range map[int]*codec.Upcasts{
		3: customers(t),
		2: mustUpcasts(t, codec.Upcast("1", splitName), codec.Transition("2", countVisits, back)),
	} {
		types, written := u.Versions()
		if written != want || len(types) != 3 || types[1] != reflect.TypeFor[customer1]() || types[3] != reflect.TypeFor[customer3]() {
			t.Errorf("got %v, written %d, want %d", types, written, want)
		}
	}
	if types, written := (*codec.Upcasts)(nil).Versions(); len(types) != 0 || written != 1 {
		t.Errorf("without upcasts: %v, %d", types, written)
	}
}
