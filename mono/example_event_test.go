package mono_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// A durable event is stored, and delivered again if its handler fails.
func ExampleDurable() {
	placed := mono.NewEvent[string]("example.placed",
		mono.Durable(), mono.Backoff(mono.Constant(time.Millisecond)))
	done := make(chan bool)
	app, stop := startExample(mono.NewModule("shipping", func(s *mono.Scope) error {
		placed.Handle(s, func(ctx context.Context, order string) error {
			attempt := mono.CallFrom(ctx).Attempt()
			fmt.Println(order, "attempt", attempt)
			if attempt == 1 {
				return errors.New("the printer has no paper")
			}
			close(done)
			return nil
		})
		return nil
	}))
	defer stop()

	if err := placed.Publish(context.Background(), app, "order 1"); err != nil {
		panic(err)
	}
	<-done
	// Output:
	// order 1 attempt 1
	// order 1 attempt 2
}

// An event reaches one instance of a module. With Broadcast it reaches every instance.
func ExampleBroadcast() {
	changed := mono.NewEvent[string]("example.changed", mono.Broadcast())
	received := make(chan string, 2)
	cache := mono.NewModule("cache", func(s *mono.Scope) error {
		changed.Handle(s, func(_ context.Context, key string) error {
			received <- "forget " + key
			return nil
		})
		return nil
	})
	backend := inproc.NewBackend(inproc.Options{})
	app, stop := startExampleOn(backend.Connect(), cache)
	defer stop()
	_, stopSecond := startExampleOn(backend.Connect(), cache)
	defer stopSecond()

	if err := changed.Publish(context.Background(), app, "prices"); err != nil {
		panic(err)
	}
	fmt.Println(<-received)
	fmt.Println(<-received)
	// Output:
	// forget prices
	// forget prices
}

// A subscriber of a keyed event selects the keys whose events it receives.
func ExampleKeys() {
	type alarm struct{ Room, Text string }
	alarms := mono.NewEvent[alarm]("example.alarms").KeyedBy(func(a alarm) string { return a.Room })
	received := make(chan string)
	app, stop := startExample(mono.NewModule("guard", func(s *mono.Scope) error {
		alarms.Handle(s, func(_ context.Context, a alarm) error {
			received <- a.Room + ": " + a.Text
			return nil
		}, mono.Keys("vault"))
		return nil
	}))
	defer stop()

	for _, a := range []alarm{{"kitchen", "smoke"}, {"vault", "open"}, {"kitchen", "fire"}} {
		if err := alarms.Publish(context.Background(), app, a); err != nil {
			panic(err)
		}
	}
	fmt.Println(<-received)
	// Output: vault: open
}
