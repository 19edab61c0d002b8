package mono_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"gomono.dev/mono"
)

// A failure is part of a service's contract. The caller gets its value, also from
// another process.
func ExampleFailure() {
	type stock struct{ Left int }
	reserve := mono.NewService[int, struct{}]("example.reserve")
	outOfStock := mono.NewFailure[stock]("example.out-of-stock", mono.FailedPrecondition)
	app, stop := startExample(mono.NewModule("inventory", func(s *mono.Scope) error {
		reserve.Handle(s, func(_ context.Context, count int) (struct{}, error) {
			return struct{}{}, outOfStock.With(stock{Left: 2})
		})
		return nil
	}))
	defer stop()

	_, err := reserve.Call(context.Background(), app, 3)
	fmt.Println(errors.Is(err, outOfStock))
	if value, ok := outOfStock.Match(err); ok {
		fmt.Println("left:", value.Left)
	}
	// Output:
	// true
	// left: 2
}

// One function maps the failures of all modules to HTTP, without their types. The status is
// that of the code, unless the declaration has another.
func ExampleFailureOf() {
	type decline struct {
		Reason string `json:"reason"`
	}
	charge := mono.NewService[int, struct{}]("example.charge")
	declined := mono.NewFailure[decline]("example.declined", mono.FailedPrecondition, mono.HTTPStatus(http.StatusPaymentRequired))
	app, stop := startExample(mono.NewModule("payments", func(s *mono.Scope) error {
		charge.Handle(s, func(_ context.Context, cents int) (struct{}, error) {
			if cents < 0 {
				return struct{}{}, mono.Errorf(mono.InvalidArgument, "%d cents: want at least 0", cents)
			}
			return struct{}{}, declined.With(decline{Reason: "card expired"})
		})
		return nil
	}))
	defer stop()

	fail := func(w http.ResponseWriter, err error) {
		code := mono.CodeOf(err)
		status, body := code.HTTPStatus(), any(map[string]any{"code": code})
		if failure, ok := mono.FailureOf(err); ok {
			status, body = failure.Status, failure
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // an error means that the client has gone
	}
	for _, cents := range []int{1990, -1} {
		_, err := charge.Call(context.Background(), app, cents)
		w := httptest.NewRecorder()
		fail(w, err)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 402 {"name":"example.declined","code":"failed_precondition","value":{"reason":"card expired"}}
	// 400 {"code":"invalid_argument"}
}

// An error with a code keeps the code on its way to the caller. Its cause stays in the
// process of the handler.
func ExampleErrorf() {
	lookup := mono.NewService[string, string]("example.lookup")
	app, stop := startExample(mono.NewModule("users", func(s *mono.Scope) error {
		lookup.Handle(s, func(_ context.Context, name string) (string, error) {
			return "", mono.Errorf(mono.NotFound, "no user %q", name)
		})
		return nil
	}))
	defer stop()

	_, err := lookup.Call(context.Background(), app, "ada")
	fmt.Println(mono.CodeOf(err), errors.Is(err, mono.ErrNotFound))
	fmt.Println(mono.IsHandlerError(err))
	// Output:
	// not_found true
	// true
}

// The outcome of an error specifies whether the call may have happened.
func ExampleOutcomeOf() {
	ship := mono.NewService[string, string]("example.ship")
	charge := mono.NewService[string, string]("example.charge")
	ctx, giveUp := context.WithCancel(context.Background())
	app := newExample()
	app.Remote(ship) // provided by another process, which does not run
	app.Add(mono.NewModule("bank", func(s *mono.Scope) error {
		charge.Handle(s, func(ctx context.Context, _ string) (string, error) {
			giveUp() // the caller waits no longer
			<-ctx.Done()
			return "", ctx.Err()
		})
		return nil
	}))
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer app.Stop(context.Background())

	_, err := ship.Call(ctx, app, "book")
	fmt.Println(mono.CodeOf(err), mono.OutcomeOf(err) == mono.OutcomeNotDone)
	_, err = charge.Call(ctx, app, "4242")
	fmt.Println(mono.CodeOf(err), mono.OutcomeOf(err) == mono.OutcomeUnknown)
	// Output:
	// unavailable true
	// canceled true
}

// A client has the same type as a handler. So a test replaces it by a function literal,
// without an App.
func ExampleService_Client() {
	charge := mono.NewService[int, string]("example.charge")
	type shop struct{ charge mono.Func[int, string] }
	bind := func(m *shop, s *mono.Scope) { m.charge = charge.Client(s) }
	_ = bind // called by the shop's Bind

	m := &shop{charge: func(_ context.Context, cents int) (string, error) {
		return fmt.Sprintf("receipt for %d", cents), nil
	}}
	fmt.Println(m.charge(context.Background(), 1990))
	// Output: receipt for 1990 <nil>
}

// The handler reads the headers and other properties of a message from its context.
func ExampleCallFrom() {
	greet := mono.NewService[string, string]("example.greet")
	app, stop := startExample(mono.NewModule("greeter", func(s *mono.Scope) error {
		greet.Handle(s, func(ctx context.Context, name string) (string, error) {
			call := mono.CallFrom(ctx)
			fmt.Println(call.Handle().Kind(), call.Handle().Name(), call.Module())
			if call.Header("Language") == "fr" {
				return "Bonjour, " + name, nil
			}
			return "Hello, " + name, nil
		})
		return nil
	}))
	defer stop()

	french := greet.With(mono.Header("Language", "fr"))
	fmt.Println(french.Call(context.Background(), app, "Ada"))
	// Output:
	// service example.greet greeter
	// Bonjour, Ada <nil>
}
