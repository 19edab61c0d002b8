package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
	"gomono.dev/transport/inproc"
)

// An App that would be open, or that cannot decide, does not start, and its Preflight fails.
func TestRefusedAtStart(t *testing.T) {
	t.Parallel()
	undeclared := mono.NewService[order, order]("orders.undeclared")
	silent := mono.NewQueue[order]("orders.silent", auth.Require())
	unknown := mono.NewService[order, order]("orders.unknown", auth.Require(auth.Check("missing")))
	noRole := mono.NewService[order, order]("orders.norole", auth.Require(auth.Role()))
	noScope := mono.NewService[order, order]("orders.noscope", auth.Require(auth.Scope("")))
	ledger := mono.NewStream[order]("orders.ledger", auth.Require(auth.CarryToken()))
	done := func(context.Context, order) error { return nil }
	serve := func(s mono.Service[order, order]) func(*mono.Scope) {
		return func(sc *mono.Scope) { s.Handle(sc, user) }
	}
	with := func(change func(o *auth.Options)) *auth.Auth {
		o := options()
		change(&o)
		return auth.New(o)
	}
	is := func(*auth.Options) {}
	type middleware = []mono.Middleware
	for _, c := range []struct {
		middleware []mono.Middleware
		propagate  bool
		bind       func(*mono.Scope)
		want       string
	}{
		{middleware{with(is)}, true, serve(place), ""},
		{middleware{with(is)}, true, serve(quote), ""},
		{nil, false, serve(quote), ""},
		{nil, true, serve(place), "module orders: service orders.place: declares auth.Require, and the App has no auth.New among its middleware"},
		{middleware{with(is)}, false, serve(place), "does not pass tokens on: give mono.New auth.Propagate()"},
		{middleware{with(is)}, true, serve(undeclared), "service orders.undeclared: declares neither auth.Require nor auth.Public"},
		{middleware{with(func(o *auth.Options) { o.Closed = []mono.Kind{} })}, true, serve(undeclared), ""},
		{middleware{with(func(o *auth.Options) { o.Open = []string{"orders.undeclared"} })}, true, serve(undeclared), ""},
		{middleware{with(is)}, true, func(s *mono.Scope) { notify.Handle(s, done) }, ""},
		{middleware{with(func(o *auth.Options) { o.Closed = []mono.Kind{mono.KindQueue} })}, true, func(s *mono.Scope) { notify.Handle(s, done) }, "queue orders.notify: declares neither"},
		{middleware{with(is)}, true, func(s *mono.Scope) { silent.Handle(s, done) }, "messages of a queue have no token: add auth.CarryToken"},
		{middleware{with(is)}, true, func(s *mono.Scope) { ship.Handle(s, done) }, ""},
		{middleware{with(is)}, true, func(s *mono.Scope) {
			ledger.HandleBatch(s, func(context.Context, []mono.Message[order]) error { return nil })
		}, "is handled in batches"},
		{middleware{with(is)}, true, serve(unknown), `declares auth.Check("missing"), which auth.Options.Checks does not have`},
		{middleware{with(is)}, true, serve(noRole), "declares auth.Role without a role"},
		{middleware{with(is)}, true, serve(noScope), `with the name ""`},
		{middleware{with(func(o *auth.Options) { o.Issuer = "" })}, true, serve(place), "Issuer is empty"},
	} {
		opts := []mono.AppOption{discard()}
		if c.propagate {
			opts = append(opts, auth.Propagate())
		}
		app := mono.New(inproc.New(inproc.Options{}), opts...)
		app.Use(c.middleware...)
		app.Add(module("orders", c.bind))
		_, preflight := app.Preflight(t.Context())
		err := app.Start(t.Context())
		if fmt.Sprint(preflight) != fmt.Sprint(err) {
			t.Errorf("Preflight returned %v, Start %v", preflight, err)
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if err == nil {
			end(t, app)
		}
	}
}

// A start reports mistakes in the options.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	static := func(id string, key any) auth.Keys { return auth.StaticKeys(map[string]any{id: key}) }
	for want, change := range map[string]func(o *auth.Options){
		"Algorithms is empty":         func(o *auth.Options) { o.Algorithms = nil },
		`Algorithms has "none"`:       func(o *auth.Options) { o.Algorithms = append(o.Algorithms, "none") },
		`Algorithms has "rs256"`:      func(o *auth.Options) { o.Algorithms = []string{"rs256"} },
		"Audience is empty":           func(o *auth.Options) { o.Audience = "" },
		"Issuer is empty":             func(o *auth.Options) { o.Issuer = "" },
		"CacheSize is 1":              func(o *auth.Options) { o.CacheSize = 1 },
		"Leeway is 1h0m0s":            func(o *auth.Options) { o.Leeway = time.Hour },
		"MaxToken is -1":              func(o *auth.Options) { o.MaxToken = -1 },
		`Checks["x"] is nil`:          func(o *auth.Options) { o.Checks["x"] = nil },
		"Keys: is nil":                func(o *auth.Options) { o.Keys = nil },
		"no key is given":             func(o *auth.Options) { o.Keys = auth.StaticKeys(nil) },
		`no algorithm in`:             func(o *auth.Options) { o.Keys = allKeys },
		`no key fits the algorithm`:   func(o *auth.Options) { o.Keys = static("rsa", &rsaKey.PublicKey) },
		`the RSA key has 1024 bits`:   func(o *auth.Options) { o.Keys = static("x", &must(rsa.GenerateKey(rand.Reader, 1024)).PublicKey) },
		`the secret has 3 bytes`:      func(o *auth.Options) { o.Keys = static("x", []byte("abc")) },
		`a text in PEM`:               func(o *auth.Options) { o.Keys = static("x", []byte("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq")) },
		`its type is *rsa.PrivateKey`: func(o *auth.Options) { o.Keys = static("x", rsaKey) },
		`want https, or http`:         func(o *auth.Options) { o.Keys = auth.JWKS("http://id.example.com/keys") },
		`the scheme "file"`:           func(o *auth.Options) { o.Keys = auth.JWKS("file:///etc/keys") },
		"is not a URL":                func(o *auth.Options) { o.Keys = auth.JWKS("https://%zz") },
		`has no secrets: remove the alg`: func(o *auth.Options) {
			o.Algorithms, o.Keys = []string{"HS256"}, auth.JWKS("https://id.example.com/keys")
		},
		"RefreshEvery(1s)": func(o *auth.Options) {
			o.Keys = auth.JWKS("https://id.example.com/keys", auth.RefreshEvery(time.Second))
		},
		"HTTPClient: want a client": func(o *auth.Options) { o.Keys = auth.JWKS("https://id.example.com/keys", auth.HTTPClient(nil)) },
	} {
		o := options()
		o.Checks = map[string]func(context.Context, *mono.Call, *auth.Claims) bool{}
		change(&o)
		app := mono.New(inproc.New(inproc.Options{}), discard(), auth.Propagate())
		app.Use(auth.New(o))
		if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Describe shows what a handle requires.
func TestDescribe(t *testing.T) {
	t.Parallel()
	app := paths[0].app(t, options())
	app.Add(module("orders", func(s *mono.Scope) {
		place.Handle(s, user)
		audited.Handle(s, user)
		quote.Handle(s, user)
		ship.Handle(s, func(context.Context, order) error { return nil })
	}))
	begin(t, app)
	got := make(map[string]string)
	for _, h := range app.Describe().Handles {
		got[h.Name] = h.Annotations["gomono.dev/mono/auth.Require"]
	}
	want := map[string]string{
		"orders.place": "token, scope orders:write", "orders.audited": "token, role auditor or admin, audience other, check tenant",
		"orders.quote": "public", "orders.ship": "token, scope orders:write, carried",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v", got)
	}
}
