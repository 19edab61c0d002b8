// Package hello is the program whose start and size are measured, on each transport.
package hello

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

var greet = mono.NewService[string, string]("hello.greet")

// Run starts an App, makes a call, prints the answer, and stops when standard input ends.
func Run(open func(context.Context) (transport.Transport, error)) {
	ctx := context.Background()
	tr, err := open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	app := mono.New(tr, mono.NoLocalCalls(), mono.Logger(slog.New(slog.DiscardHandler))).Add(mono.NewModule("greeter", func(s *mono.Scope) error {
		greet.Handle(s, func(_ context.Context, name string) (string, error) { return "Hello, " + name + "!", nil })
		return nil
	}))
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	greeting, err := greet.Call(ctx, app, "world")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(greeting)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := app.Stop(ctx); err != nil {
		log.Fatal(err)
	}
}
