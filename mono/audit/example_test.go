package audit_test

import (
	"context"
	"fmt"
	"log/slog"

	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport/inproc"
)

// A handler records what it does, and somebody with the public key verifies the log.
func Example() {
	ctx := context.Background()
	private, public, err := audit.GenerateKey("example.com/audit/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	cancelOrder := mono.NewService[string, string]("shop.cancel")
	tr := inproc.New(inproc.Options{})
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(audit.New(audit.Options{Key: private, Actor: func(context.Context) string { return "ada" }}))
	app.Add(mono.NewModule("shop", func(s *mono.Scope) error {
		cancelOrder.Handle(s, func(ctx context.Context, id string) (string, error) {
			return "canceled", audit.Record(ctx, "order.canceled", slog.String("order", id))
		})
		return nil
	}))
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = app.Stop(ctx) }()
	if _, err := cancelOrder.Call(ctx, app, "a1"); err != nil {
		fmt.Println(err)
		return
	}

	checkpoint, err := audit.Verify(ctx, tr, audit.ReadOptions{Key: public})
	fmt.Println(checkpoint.Size > 0, err)
	for e, err := range audit.Read(ctx, tr, audit.ReadOptions{Key: public}) {
		if err == nil && e.Event == "order.canceled" {
			fmt.Println(e.Actor, e.Module, e.Handle, string(e.Details))
		}
	}
	// Output:
	// true <nil>
	// ada shop service shop.cancel {"order":"a1"}
}
