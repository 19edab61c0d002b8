package kv_test

import (
	"context"
	"fmt"
	"strings"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/transport/inproc"
)

// The values of a bucket outlive the type that wrote them. An upcast reads the old ones.
func ExampleUpcasts() {
	type profileV1 struct{ Name string }
	type profile struct{ First, Last string }

	lastRelease := kv.NewBucket[profileV1]("profiles")
	thisRelease := kv.NewBucket[profile]("profiles", kv.Upcasts(
		codec.Upcast("1", func(old profileV1) (profile, error) {
			first, last, _ := strings.Cut(old.Name, " ")
			return profile{first, last}, nil
		}),
	))

	ctx, tr := context.Background(), inproc.New(inproc.Options{})
	defer tr.Close(ctx)
	before, err := kv.Connect(ctx, tr, lastRelease)
	if err != nil {
		panic(err)
	}
	now, err := kv.Connect(ctx, tr, thisRelease)
	if err != nil {
		panic(err)
	}

	before.Put(ctx, "ada", profileV1{"Ada Lovelace"})
	e, err := now.Get(ctx, "ada")
	fmt.Printf("%+v %v\n", e.Value, err)

	now.Put(ctx, "ada", e.Value) // from now on it has version 2
	_, err = before.Get(ctx, "ada")
	fmt.Println(err)
	// Output:
	// {First:Ada Last:Lovelace} <nil>
	// data_loss: bucket "profiles": key "ada": revision 2 (application/json; version=2) cannot be decoded: cannot decode application/json; version=2 into kv_test.profileV1: version 2 is newer than 1, the newest that this program reads: use the release that wrote it, or a later one; it can write the older version with codec.Transition; read it with Raw
}
