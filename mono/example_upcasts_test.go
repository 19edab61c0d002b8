package mono_test

import (
	"context"
	"fmt"
	"strings"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// A stored message outlives the release that wrote it. An upcast reads it in its newest shape.
func ExampleUpcasts() {
	type welcomeV1 struct{ Name string }
	type welcome struct{ First, Last string }

	lastRelease := mono.NewQueue[welcomeV1]("example.welcomes")
	thisRelease := mono.NewQueue[welcome]("example.welcomes", mono.Upcasts(
		codec.Upcast("1", func(old welcomeV1) (welcome, error) {
			first, last, _ := strings.Cut(old.Name, " ")
			return welcome{first, last}, nil
		}),
	))

	received := make(chan welcome)
	b, stop := twoReleases(mono.NewModule("mail", func(s *mono.Scope) error {
		thisRelease.Handle(s, func(_ context.Context, w welcome) error {
			received <- w
			return nil
		})
		return nil
	}))
	defer stop()

	if err := lastRelease.Enqueue(context.Background(), b, welcomeV1{"Ada Lovelace"}); err != nil {
		panic(err)
	}
	fmt.Printf("%+v\n", <-received)
	// Output: {First:Ada Last:Lovelace}
}

// twoReleases starts an App with modules of a new release, and an App of the last release on
// the same backend, which it returns.
func twoReleases(modules ...mono.Module) (*mono.App, func()) {
	backend := inproc.NewBackend(inproc.Options{})
	_, stopNew := startExampleOn(backend.Connect(), modules...)
	old, stopOld := startExampleOn(backend.Connect())
	return old, func() { stopOld(); stopNew() }
}
