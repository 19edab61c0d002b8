package mono_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

type (
	chargeRequest struct{ Card string }
	chargeReply   struct{ Receipt string }
	decline       struct{ Reason string }
)

var (
	charge   = mono.NewService[chargeRequest, chargeReply]("payments.charge")
	charged  = mono.NewEvent[chargeReply]("payments.charged")
	declined = mono.NewFailure[decline]("payments.declined", mono.FailedPrecondition)
)

// payments is a module that provides a service and publishes an event.
type payments struct {
	charged mono.Sink[chargeReply]
}

func (p *payments) Name() string { return "payments" }

func (p *payments) Bind(s *mono.Scope) error {
	p.charged = charged.Publisher(s)
	charge.Handle(s, p.charge)
	return nil
}

func (p *payments) charge(ctx context.Context, r chargeRequest) (chargeReply, error) {
	if r.Card == "" {
		return chargeReply{}, declined.With(decline{Reason: "no card"})
	}
	reply := chargeReply{Receipt: "R-1"}
	return reply, p.charged(ctx, reply)
}

// startExample starts an App in memory. The returned function stops it.
func startExample(modules ...mono.Module) (*mono.App, func()) {
	app := mono.New(inproc.New(nil), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Add(modules...)
	if err := app.Start(context.Background()); err != nil {
		panic(err)
	}
	return app, func() {
		if err := app.Stop(context.Background()); err != nil {
			panic(err)
		}
	}
}

// A call returns a reply or an error. A failure carries a typed value.
func Example() {
	app, stop := startExample(&payments{})
	defer stop()
	ctx := context.Background()

	reply, err := charge.Call(ctx, app, chargeRequest{Card: "4242"})
	fmt.Println(reply.Receipt, err)

	_, err = charge.Call(ctx, app, chargeRequest{})
	fmt.Println(errors.Is(err, declined), mono.CodeOf(err))
	if d, ok := declined.Match(err); ok {
		fmt.Println(d.Reason)
	}
	// Output:
	// R-1 <nil>
	// true failed_precondition
	// no card
}

// Any number of modules can subscribe to an event.
func ExampleEvent() {
	received := make(chan string, 1)
	app, stop := startExample(&payments{}, mono.NewModule("mail", func(s *mono.Scope) error {
		charged.Handle(s, func(_ context.Context, r chargeReply) error {
			received <- r.Receipt
			return nil
		})
		return nil
	}))
	defer stop()
	if _, err := charge.Call(context.Background(), app, chargeRequest{Card: "4242"}); err != nil {
		panic(err)
	}
	fmt.Println(<-received)
	// Output: R-1
}

// Start reports all mistakes in the declarations of an App at once.
func ExampleApp_Start() {
	app := mono.New(inproc.New(nil))
	app.Add(mono.NewModule("orders", func(s *mono.Scope) error {
		charge.Client(s)
		return nil
	}))
	fmt.Println(app.Start(context.Background()))
	_ = app.Stop(context.Background())
	// Output:
	// mono: the App cannot start, 1 problem(s):
	//   - module orders: service payments.charge: no module provides it: add the module that does, or declare app.Remote(…) if another process does
}

// A middleware runs around every message, on both sides.
func ExampleMiddlewareFunc() {
	app := mono.New(inproc.New(nil), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
		return func(ctx context.Context, c *mono.Call) error {
			err := next(ctx, c)
			if c.Handle().Kind() == mono.KindService {
				fmt.Println(c.Side(), c.Handle().Name(), mono.CodeOf(err))
			}
			return err
		}
	}))
	app.Add(&payments{})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	_, _ = charge.Call(ctx, app, chargeRequest{})
	_ = app.Stop(ctx)
	// Output:
	// receiving payments.charge failed_precondition
	// sending payments.charge failed_precondition
}
