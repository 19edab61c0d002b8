package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

const issuer, audience = "https://id.example.com", "orders"

var (
	rsaKey         = must(rsa.GenerateKey(rand.Reader, 2048))
	otherRSAKey    = must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey          = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, edKey, _    = ed25519.GenerateKey(rand.Reader)
	secret         = bytes.Repeat([]byte("s"), 32)
	allKeys        = auth.StaticKeys(map[string]any{"rsa": &rsaKey.PublicKey, "ec": &ecKey.PublicKey, "ed": edKey.Public(), "hs": secret})
	publicKeys     = auth.StaticKeys(map[string]any{"rsa": &rsaKey.PublicKey, "ec": &ecKey.PublicKey, "ed": edKey.Public()})
	publicOnly     = []string{"RS256", "ES256", "EdDSA"}
	standardChecks = map[string]func(context.Context, *mono.Call, *auth.Claims) bool{"tenant": func(_ context.Context, c *mono.Call, claims *auth.Claims) bool {
		o, ok := c.Payload().(order)
		return ok && o.Tenant == claims.Text("tenant")
	}}
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func options() auth.Options {
	return auth.Options{Algorithms: publicOnly, Audience: audience, Issuer: issuer, Keys: publicKeys, Checks: standardChecks}
}

// claims are the claims of a valid token, with changes. A change to nil removes one.
func claims(changes ...jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"sub": "ada-lovelace-1815", "iss": issuer, "aud": []string{"other", audience}, "scope": "orders:read orders:write", "roles": []string{"clerk"},
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "tenant": "acme",
	}
	for _, change := range changes {
		maps.Copy(c, change)
	}
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign returns a token.
func sign(method jwt.SigningMethod, kid string, key any, c jwt.MapClaims, header ...map[string]any) string {
	t := jwt.NewWithClaims(method, c)
	if kid != "" {
		t.Header["kid"] = kid
	}
	for _, h := range header {
		maps.Copy(t.Header, h)
	}
	return must(t.SignedString(key))
}

// token returns a valid token, with changes of its claims.
func token(changes ...jwt.MapClaims) string {
	return sign(jwt.SigningMethodEdDSA, "ed", edKey, claims(changes...))
}

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// set is a JWKS with keys, by their ids.
func set(keys map[string]crypto.PublicKey, more ...map[string]any) []byte {
	b64 := base64.RawURLEncoding.EncodeToString
	list := more
	for id, key := range keys {
		switch key := key.(type) {
		case *rsa.PublicKey:
			list = append(list, map[string]any{"kty": "RSA", "kid": id, "use": "sig", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())})
		case ed25519.PublicKey:
			list = append(list, map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": id, "x": b64(key)})
		}
	}
	return must(json.Marshal(map[string]any{"keys": list}))
}

type order struct {
	ID     string
	Tenant string
	User   string `json:",omitempty"`
}

var (
	place   = mono.NewService[order, order]("orders.place", auth.Require(auth.Scope("orders:write")))
	audited = mono.NewService[order, order]("orders.audited", auth.Require(auth.Role("auditor", "admin"), auth.Audience("other"), auth.Check("tenant")))
	quote   = mono.NewService[order, order]("orders.quote", auth.Public())
	ship    = mono.NewQueue[order]("orders.ship", auth.Require(auth.Scope("orders:write"), auth.CarryToken()), mono.MaxAttempts(3), mono.Backoff(mono.Constant(time.Hour)))
	notify  = mono.NewQueue[order]("orders.notify", mono.MaxAttempts(1))
)

// path is a way to deliver messages.
type path struct {
	name         string
	noLocalCalls bool
	open         func(t testing.TB) transport.Transport
}

var paths = []path{{"local", false, openInproc}, {"inproc", true, openInproc}, {"nats", true, openNATS}}

func openInproc(t testing.TB) transport.Transport { return inproc.New(inproc.Options{}) }

func openNATS(t testing.TB) transport.Transport {
	tr, err := embedded.Open(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func onPaths(t *testing.T, test func(t *testing.T, p path)) {
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// output is a log in memory.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func module(name string, bind func(s *mono.Scope)) mono.Module {
	return mono.NewModule(name, func(s *mono.Scope) error {
		bind(s)
		return nil
	})
}

func discard() mono.AppOption { return mono.Logger(slog.New(slog.DiscardHandler)) }

// app returns an App on a path with a middleware.
func (p path) app(t testing.TB, o auth.Options, opts ...mono.AppOption) *mono.App {
	opts = append([]mono.AppOption{discard(), auth.Propagate()}, opts...)
	if p.noLocalCalls {
		opts = append(opts, mono.NoLocalCalls())
	}
	app := mono.New(p.open(t), opts...)
	app.Use(auth.New(o))
	return app
}

func begin(t testing.TB, app *mono.App) {
	t.Helper()
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, app) })
}

func end(t testing.TB, app *mono.App) {
	t.Helper()
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// user answers with the user of the message.
func user(ctx context.Context, o order) (order, error) {
	o.User = subject(ctx)
	return o, nil
}

// subject returns the user of a message, "" if there is none.
func subject(ctx context.Context) string {
	if c := auth.From(ctx); c != nil {
		return c.Subject
	}
	return ""
}

// leaks reports whether a text has a part of a token.
func leaks(text, token string) bool {
	for part := range strings.SplitSeq(token, ".") {
		for i := 0; i+24 <= len(part); i += 8 {
			if strings.Contains(text, part[i:i+24]) {
				return true
			}
		}
	}
	return strings.Contains(text, "ada-lovelace")
}

// refuses reports an error that has another code, or that leaks a token.
func refuses(t *testing.T, what string, err error, code mono.Code, text, token string) {
	t.Helper()
	if mono.CodeOf(err) != code || err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %s and %q", what, err, code, text)
	}
	if err != nil && leaks(err.Error(), token) {
		t.Errorf("%s: the error has a part of the token: %v", what, err)
	}
}
