package limit_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/limit"
	"gomono.dev/transport/inproc"
)

var quote = mono.NewService[string, int]("shipping.quote")

// Each tenant may ask twice in an hour, whichever instance answers.
func Example() {
	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(
		limit.Rate(1000, time.Second),
		limit.Window("quotes", 2, time.Hour, limit.By(limit.Header("Tenant")), limit.For(quote)),
	)
	app.Add(mono.NewModule("shipping", func(s *mono.Scope) error {
		quote.Handle(s, func(context.Context, string) (int, error) { return 490, nil })
		return nil
	}))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = app.Stop(ctx) }()

	for _, tenant := range []string{"acme", "acme", "acme", "initech"} {
		_, err := quote.With(mono.Header("Tenant", tenant)).Call(ctx, app, "de")
		fmt.Println(tenant, err)
		if wait, ok := mono.RetryDelay(err); ok {
			fmt.Println("again in about an hour:", wait > 59*time.Minute && wait <= 63*time.Minute)
		}
	}
	// Output:
	// acme <nil>
	// acme <nil>
	// acme resource_exhausted: service shipping.quote: over the limit of 2 in 1h0m0s
	// again in about an hour: true
	// initech <nil>
}

// A call that was not done is repeated. After three failures in a row, callers do not wait for the
// service any more.
func ExampleNewBreaker() {
	breaker := limit.NewBreaker(3, 10*time.Second, limit.OnChange(func(c limit.Change) {
		fmt.Println(c.Handle.Name(), "is", c.To)
	}))
	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(limit.Retry(limit.For(quote), limit.Pause(time.Millisecond, time.Millisecond)), breaker)
	app.Remote(quote) // nobody provides it
	app.Add(mono.NewModule("shop", func(s *mono.Scope) error {
		s.Use(quote)
		return nil
	}))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = app.Stop(ctx) }()

	_, err := quote.Call(ctx, app, "de")
	fmt.Println(mono.CodeOf(err))
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = quote.Call(ctx, app, "de")
	fmt.Println(err)
	// Output:
	// shipping.quote is open
	// unavailable
	// unavailable: service shipping.quote: the circuit is open after 3 failures
}
