// Hello is the smallest mono program: one module, and a caller.
package main

import (
	"context"
	"fmt"
	"log"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

var Greet = mono.NewService[string, string]("hello.greet")

func main() {
	ctx := context.Background()
	app := mono.New(inproc.New(inproc.Options{})).Add(mono.NewModule("greeter", func(s *mono.Scope) error {
		Greet.Handle(s, func(_ context.Context, name string) (string, error) { return "Hello, " + name + "!", nil })
		return nil
	}))
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer app.Stop(ctx)
	greeting, err := Greet.Call(ctx, app, "world")
	fmt.Println(greeting, err)
}
