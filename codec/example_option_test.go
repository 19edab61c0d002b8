package codec_test

import (
	"fmt"

	"gomono.dev/codec"
)

// The field zip gets the name postcode. Each of the three releases can run beside the one before it.
func ExampleAliases() {
	type Release1 struct {
		Code string `json:"zip"`
	}
	type Release2 struct {
		Code string `json:"zip"`
	}
	type Release3 struct {
		Code string `json:"postcode"`
	}
	second := codec.NewJSON(codec.Aliases[Release2]("zip", "postcode"))
	third := codec.NewJSON(codec.Aliases[Release3]("postcode", "zip"))

	one, _ := codec.JSON.Marshal(&Release1{"1"})
	two, _ := second.Marshal(&Release2{"2"})
	three, _ := third.Marshal(&Release3{"3"})
	fmt.Printf("%s %s %s\n", one, two, three)

	for _, data := range [][]byte{one, two, three} {
		var r2 Release2
		var r3 Release3
		fmt.Println(second.Unmarshal(data, &r2), r2, third.Unmarshal(data, &r3), r3)
	}
	// Output:
	// {"zip":"1"} {"zip":"2"} {"postcode":"3"}
	// <nil> {1} <nil> {1}
	// <nil> {2} <nil> {2}
	// <nil> {3} <nil> {3}
}

func ExampleDisallowUnknownFields() {
	type Address struct {
		Postcode string `json:"postcode"`
	}
	c := codec.NewJSON(codec.DisallowUnknownFields())
	fmt.Println(c.Unmarshal([]byte(`{"zip":"1"}`), new(Address)))
	// Output:
	// cannot decode application/json into codec_test.Address at byte 1: unknown field "zip": add it to the type, or use codec.Aliases if it was renamed
}

// A type changes in two steps. While the old release may run, the new one writes what both can read.
func ExampleTransition() {
	type PriceV1 struct{ Euros int }
	type Price struct{ Cents int }
	toCents := func(p PriceV1) (Price, error) { return Price{100 * p.Euros}, nil }
	toEuros := func(p Price) (PriceV1, error) { return PriceV1{p.Cents / 100}, nil }

	for _, step := range []codec.Step{codec.Transition("1", toCents, toEuros), codec.Upcast("1", toCents)} {
		upcasts, err := codec.NewUpcasts(step)
		if err != nil {
			panic(err)
		}
		c := upcasts.Newest(codec.JSON)
		data, err := c.Marshal(&Price{1200})
		fmt.Printf("%s: %s %v\n", c.ContentType(), data, err)
	}
	// Output:
	// application/json: {"Euros":12} <nil>
	// application/json; version=2: {"Cents":1200} <nil>
}
