package auth_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
	"gomono.dev/transport/inproc"
)

var (
	cancelOrder = mono.NewService[string, string]("shop.cancel", auth.Require(auth.Scope("orders:write")))
	opening     = mono.NewService[string, string]("shop.opening", auth.Public())
)

// A request's token reaches the service, which knows the user. Without a token, or with one that has
// other scopes, the call is refused.
func Example() {
	public, private, _ := ed25519.GenerateKey(nil)
	users := auth.New(auth.Options{
		Algorithms: []string{"EdDSA"},
		Audience:   "shop",
		Issuer:     "https://id.example.com",
		Keys:       auth.StaticKeys(map[string]any{"2026": public}), // or auth.JWKS("https://id.example.com/keys")
	})
	app := mono.New(inproc.New(inproc.Options{}), auth.Propagate(), discard())
	app.Use(users)
	app.Add(mono.NewModule("shop", func(s *mono.Scope) error {
		cancelOrder.Handle(s, func(ctx context.Context, id string) (string, error) {
			return id + " canceled by " + auth.From(ctx).Subject, nil
		})
		opening.Handle(s, func(context.Context, string) (string, error) { return "9 to 5", nil })
		return nil
	}))
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer app.Stop(context.Background())

	site := users.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hours, _ := opening.Call(r.Context(), app, "")
		result, err := cancelOrder.Call(r.Context(), app, "a1")
		fmt.Fprintln(w, "open", hours, "|", result, err)
	}))
	get := func(token string) {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		site.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	issue := func(scope string, life time.Duration) string {
		t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"sub": "ada", "iss": "https://id.example.com", "aud": "shop", "scope": scope, "exp": time.Now().Add(life).Unix(),
		})
		t.Header["kid"] = "2026"
		signed, _ := t.SignedString(private)
		return signed
	}
	get(issue("orders:read orders:write", time.Hour))
	get(issue("orders:read", time.Hour))
	get("")
	get(issue("orders:write", -time.Hour))
	// Output:
	// 200 open 9 to 5 | a1 canceled by ada <nil>
	// 200 open 9 to 5 |  permission_denied: service shop.cancel: the token lacks the scope "orders:write"
	// 200 open 9 to 5 |  unauthenticated: service shop.cancel: it requires a token, and the message has none
	// 401 the token has expired
}

// An App without the middleware, or with a service that declares nothing, does not start.
func ExampleRequire() {
	undeclared := mono.NewService[string, string]("shop.refund")
	shop := mono.NewModule("shop", func(s *mono.Scope) error {
		cancelOrder.Handle(s, func(context.Context, string) (string, error) { return "", nil })
		undeclared.Handle(s, func(context.Context, string) (string, error) { return "", nil })
		return nil
	})
	fmt.Println(mono.New(inproc.New(inproc.Options{}), discard()).Add(shop).Start(context.Background()))

	app := mono.New(inproc.New(inproc.Options{}), discard(), auth.Propagate())
	app.Use(auth.New(options()))
	fmt.Println(app.Add(shop).Start(context.Background()))
	// Output:
	// mono: the App cannot start, 1 problem(s):
	//   - module shop: service shop.cancel: declares auth.Require, and the App has no auth.New among its middleware: add it with App.Use, or it would be open
	// mono: the App cannot start, 1 problem(s):
	//   - module shop: service shop.refund: declares neither auth.Require nor auth.Public: add one, or list it in auth.Options.Open
}
