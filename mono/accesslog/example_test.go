package accesslog_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/requestid"
	"gomono.dev/transport/inproc"
)

var charge = mono.NewService[int, int]("payments.charge")

func Example() {
	log := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	app := mono.New(inproc.New(inproc.Options{}), requestid.Propagate(), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(accesslog.New(log, accesslog.Fields(
		accesslog.Module, accesslog.Handle, accesslog.RequestID, accesslog.Sender, accesslog.Outcome, accesslog.Code, accesslog.Error)))
	app.Add(mono.NewModule("payments", func(s *mono.Scope) error {
		charge.Handle(s, func(_ context.Context, cents int) (int, error) {
			if cents < 0 {
				return 0, mono.Errorf(mono.InvalidArgument, "%d cents", cents)
			}
			return cents, nil
		})
		return nil
	}))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	_, _ = charge.Call(requestid.With(ctx, "7f3a"), app, 1990)
	_, _ = charge.Call(requestid.With(ctx, "7f3b"), app, -1)
	if err := app.Stop(ctx); err != nil { // it writes the rest of the log
		fmt.Println(err)
	}
	// Output:
	// level=INFO msg=handled mono.module=payments rpc.method=payments.charge request_id=7f3a mono.outcome=success
	// level=INFO msg=handled mono.module=payments rpc.method=payments.charge request_id=7f3b mono.outcome=error error.type=invalid_argument error.message="invalid_argument: -1 cents"
}
