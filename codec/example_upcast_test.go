package codec_test

import (
	"fmt"
	"strings"

	"gomono.dev/codec"
)

// An upcast reads values of an older shape as the type of today. Buckets and handles use it with
// kv.Upcasts and mono.Upcasts.
func ExampleUpcast() {
	type CustomerV1 struct{ Name string }
	type Customer struct{ First, Last string }

	upcasts, err := codec.NewUpcasts(codec.Upcast("1", func(old CustomerV1) (Customer, error) {
		first, last, _ := strings.Cut(old.Name, " ")
		return Customer{first, last}, nil
	}))
	if err != nil {
		panic(err)
	}
	fmt.Println("written:", upcasts.Newest(codec.JSON).ContentType())

	for _, value := range []struct{ contentType, data string }{
		{"application/json", `{"Name":"Ada Lovelace"}`},
		{"application/json; version=2", `{"First":"Grace","Last":"Hopper"}`},
		{"application/json; version=3", `{"Names":["Alan","Turing"]}`},
	} {
		var c Customer
		err := upcasts.For(value.contentType, codec.JSON).Unmarshal([]byte(value.data), &c)
		fmt.Println(c, err)
	}
	// Output:
	// written: application/json; version=2
	// {Ada Lovelace} <nil>
	// {Grace Hopper} <nil>
	// { } cannot decode application/json; version=3 into codec_test.Customer: version 3 is newer than 2, the newest that this program reads: use the release that wrote it, or a later one; it can write the older version with codec.Transition
}
