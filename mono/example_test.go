package mono_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
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
	charged mono.Publisher[chargeReply]
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
	return startExampleOn(inproc.New(inproc.Options{}), modules...)
}

// startExampleOn starts an App over a transport. The returned function stops it.
func startExampleOn(tr transport.Transport, modules ...mono.Module) (*mono.App, func()) {
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler))).Add(modules...)
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

// Timeout bounds each attempt at a job. An attempt that exceeds it has failed.
func ExampleTimeout() {
	receipts := mono.NewQueue[string]("receipts", mono.Timeout(10*time.Millisecond), mono.Backoff(mono.Constant(0)))
	printed := make(chan int, 1)
	app, stop := startExample(mono.NewModule("printer", func(s *mono.Scope) error {
		receipts.Handle(s, func(ctx context.Context, _ string) error {
			attempt := mono.CallFrom(ctx).Attempt()
			if attempt == 1 {
				<-ctx.Done() // the printer does not answer
				return ctx.Err()
			}
			printed <- attempt
			return nil
		})
		return nil
	}))
	defer stop()
	if err := receipts.Enqueue(context.Background(), app, "R-1"); err != nil {
		panic(err)
	}
	fmt.Println("attempt", <-printed)
	// Output: attempt 2
}

// A CallInfo carries headers of one call: those of the request, and those of the reply.
func ExampleNewCallInfo() {
	app, stop := startExample(mono.NewModule("payments", func(s *mono.Scope) error {
		charge.Handle(s, func(ctx context.Context, _ chargeRequest) (chargeReply, error) {
			c := mono.CallFrom(ctx)
			c.SetReplyHeader("Quota-Left", "7")
			return chargeReply{Receipt: "R-1 of " + c.Header("Tenant")}, nil
		})
		return nil
	}))
	defer stop()
	ctx, info := mono.NewCallInfo(context.Background())
	info.SetHeader("Tenant", "acme")
	reply, err := charge.Call(ctx, app, chargeRequest{Card: "4242"})
	fmt.Println(reply.Receipt, err)
	fmt.Println("left:", info.ReplyHeader().Get("Quota-Left"))
	// Output:
	// R-1 of acme <nil>
	// left: 7
}

// EnqueueAll sends many jobs at once, and returns one error for each that failed.
func ExampleQueue_EnqueueAll() {
	receipts := mono.NewQueue[string]("receipts", mono.MaxPending(2))
	app, stop := startExample()
	defer stop()
	errs := receipts.EnqueueAll(context.Background(), app, "R-1", "R-2", "R-3")
	for i, err := range errs {
		if err != nil {
			fmt.Println("receipt", i, "failed:", mono.CodeOf(err))
		}
	}
	// Output: receipt 2 failed: resource_exhausted
}

// Start reports all mistakes in the declarations of an App at once.
func ExampleApp_Start() {
	app := mono.New(inproc.New(inproc.Options{})).Add(mono.NewModule("orders", func(s *mono.Scope) error {
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
	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
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

// A bound sender accepts options for one message. With a DedupID a job is stored once,
// even if its sender tries again.
func ExampleQueue_Enqueuer() {
	receipts := mono.NewQueue[chargeReply]("payments.receipts")
	sent := make(chan string, 2)
	var enqueue mono.Enqueuer[chargeReply]
	_, stop := startExample(mono.NewModule("mail", func(s *mono.Scope) error {
		enqueue = receipts.Enqueuer(s)
		receipts.Handle(s, func(_ context.Context, r chargeReply) error {
			sent <- r.Receipt
			return nil
		})
		return nil
	}))
	ctx := context.Background()
	for range 2 {
		if err := enqueue(ctx, chargeReply{Receipt: "R-1"}, mono.DedupID("R-1")); err != nil {
			panic(err)
		}
	}
	fmt.Println(<-sent)
	stop()
	fmt.Println(len(sent), "more")
	// Output:
	// R-1
	// 0 more
}

// A unit test of a module replaces its senders by functions.
func ExampleAsPublisher() {
	p := &payments{charged: mono.AsPublisher(func(_ context.Context, r chargeReply) error {
		fmt.Println("published", r.Receipt)
		return nil
	})}
	reply, err := p.charge(context.Background(), chargeRequest{Card: "4242"})
	fmt.Println(reply.Receipt, err)
	// Output:
	// published R-1
	// R-1 <nil>
}
