package redact_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"gomono.dev/mono"
	"gomono.dev/mono/redact"
	"gomono.dev/transport/inproc"
)

// newLog returns a handler that prints lines without times.
func newLog() slog.Handler {
	return slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}})
}

// One line switches redaction on, for the modules of an App and for mono itself.
func ExampleHandler() {
	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(redact.Handler(newLog()))))
	app.Add(mono.NewModule("shop", func(s *mono.Scope) error {
		type database struct{ Host, User, Password string }
		s.Logger().Info("configured", "database", database{"db", "shop", "hunter2"}, "api_key", "a1b2")
		return nil
	}))
	ctx := context.Background()
	fmt.Println(errors.Join(app.Start(ctx), app.Stop(ctx)))
	// Output:
	// level=INFO msg=configured module=shop database="{Host:db User:shop Password:[REDACTED]}" api_key=[REDACTED]
	// level=INFO msg="mono: started" modules=1 transport=inproc
	// level=INFO msg="mono: stopped"
	// <nil>
}

// Tags decide about fields, and options add names and types.
func ExampleNames() {
	type customer struct {
		Name  string
		Card  string `redact:"last4"`
		IBAN  string
		Token string `redact:"public"`
	}
	log := slog.New(redact.Handler(newLog(), redact.Names("IBAN", "account number")))
	log.Info("paid", "customer", customer{"Ada", "4242424242424242", "DE02120300000000202051", "t-7"}, "accountNumber", 202051)
	// Output:
	// level=INFO msg=paid customer="{Name:Ada Card:[REDACTED]4242 IBAN:[REDACTED] Token:t-7}" accountNumber=[REDACTED]
}

// Value returns a copy without the secrets, which prints like the value.
func ExampleValue() {
	request := map[string]any{"user": "ada", "password": "hunter2", "url": "https://ada:hunter2@example.com/?token=a1&page=2"}
	fmt.Println(redact.Value(request))
	fmt.Println(request["password"])
	// Output:
	// map[password:[REDACTED] url:https://ada:[REDACTED]@example.com/?token=[REDACTED]&page=2 user:ada]
	// hunter2
}
