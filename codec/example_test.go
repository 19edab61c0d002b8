package codec_test

import (
	"fmt"
	"reflect"

	"gomono.dev/codec"
)

func Example() {
	type Item struct {
		SKU      string `json:"sku"`
		Quantity uint8  `json:"quantity"`
	}
	for _, c := range []codec.Codec{codec.JSON, codec.MessagePack} {
		data, err := c.Marshal(&Item{"apple", 3})
		fmt.Printf("%s: %q %v\n", c.ContentType(), data, err)

		var item Item
		err = c.Unmarshal(data, &item)
		fmt.Println(item, err)
	}
	// Output:
	// application/json: "{\"sku\":\"apple\",\"quantity\":3}" <nil>
	// {apple 3} <nil>
	// application/msgpack: "\x82\xa3sku\xa5apple\xa8quantity\x03" <nil>
	// {apple 3} <nil>
}

func ExampleError() {
	type Item struct {
		SKU      string `json:"sku"`
		Quantity uint8  `json:"quantity"`
	}
	err := codec.JSON.Unmarshal([]byte(`{"sku":"apple","quantity":-3}`), new(Item))
	fmt.Println(err)
	// Output:
	// cannot decode application/json into codec_test.Item at byte 28 (field quantity): a number that does not fit uint8
}

func ExampleTypeChecker() {
	type Placed struct {
		Notify chan int
	}
	if checker, ok := codec.JSON.(codec.TypeChecker); ok {
		fmt.Println(checker.CheckType(reflect.TypeFor[Placed]()))
	}
	// Output:
	// application/json cannot carry codec_test.Placed: Placed.Notify: chan int has no encoding: leave the field out with the tag json:"-", or give its type MarshalJSON and UnmarshalJSON
}
