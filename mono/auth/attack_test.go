package auth_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
	"gomono.dev/transport"
)

// attack is a token that must be refused.
type attack struct {
	name, token string
	code        mono.Code
	text        string
}

func attacks() []attack {
	const no, denied = mono.Unauthenticated, mono.PermissionDenied
	b64 := base64.RawURLEncoding.EncodeToString
	good := token()
	parts := strings.Split(good, ".")
	der := must(x509.MarshalPKIXPublicKey(&rsaKey.PublicKey))
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	none := func(alg string) string {
		return b64([]byte(`{"alg":"`+alg+`","kid":"ed"}`)) + "." + parts[1] + "."
	}
	all := []attack{
		{"no token", "", no, "requires a token"},
		{"no segments", "abc", no, "malformed"},
		{"no base64", "a.b.c", no, "malformed"},
		{"four segments", good + ".x", no, "malformed"},
		{"many dots", strings.Repeat(".", 4000), no, "malformed"},
		{"white space inside", parts[0] + " ." + parts[1] + "." + parts[2], no, ""},
		{"HS with the public key in PEM", sign(jwt.SigningMethodHS256, "rsa", text, claims()), no, "its algorithm is not allowed"},
		{"HS with the public key in DER", sign(jwt.SigningMethodHS256, "rsa", der, claims()), no, "its algorithm is not allowed"},
		{"another algorithm of the same key", sign(jwt.SigningMethodRS512, "rsa", rsaKey, claims()), no, "its algorithm is not allowed"},
		{"a key of another type", sign(jwt.SigningMethodRS256, "ed", rsaKey, claims()), no, "signature"},
		{"another key", sign(jwt.SigningMethodRS256, "rsa", otherRSAKey, claims()), no, "signature"},
		{"an unknown key", sign(jwt.SigningMethodRS256, "new", rsaKey, claims()), no, "unknown key"},
		{"no key id, of several keys", sign(jwt.SigningMethodRS256, "", rsaKey, claims()), no, "unknown key"},
		{"a key id that is no text", sign(jwt.SigningMethodRS256, "", rsaKey, claims(), map[string]any{"kid": 1}), no, "unknown key"},
		{"a key in the header", sign(jwt.SigningMethodRS256, "new", otherRSAKey, claims(), map[string]any{"jwk": map[string]any{"kty": "RSA"}, "jku": "http://127.0.0.1:1/"}), no, "unknown key"},
		{"a critical header", sign(jwt.SigningMethodEdDSA, "ed", edKey, claims(), map[string]any{"crit": []string{"exp"}}), no, "critical"},
		{"other claims", parts[0] + "." + b64([]byte(`{"sub":"eve","iss":"`+issuer+`","aud":"orders","exp":9999999999}`)) + "." + parts[2], no, "signature"},
		{"no signature", parts[0] + "." + parts[1] + ".", no, "signature"},
		{"another audience", token(jwt.MapClaims{"aud": "payments"}), no, "another audience"},
		{"no audience", token(jwt.MapClaims{"aud": nil}), no, "another audience"},
		{"another issuer", token(jwt.MapClaims{"iss": issuer + "/"}), no, "another issuer"},
		{"no issuer", token(jwt.MapClaims{"iss": nil}), no, "another issuer"},
		{"no expiry", token(jwt.MapClaims{"exp": nil}), no, "no valid expiry"},
		{"an expiry that is no number", token(jwt.MapClaims{"exp": "9999999999"}), no, "no valid expiry"},
		{"an expiry without an end", token(jwt.MapClaims{"exp": 1e300}), no, "no valid expiry"},
		{"expired", token(jwt.MapClaims{"exp": in(-2 * auth.DefaultLeeway)}), no, "has expired"},
		{"not valid yet", token(jwt.MapClaims{"nbf": in(2 * auth.DefaultLeeway)}), no, "not valid yet"},
		{"issued in the future", token(jwt.MapClaims{"iat": in(2 * auth.DefaultLeeway)}), no, "not valid yet"},
		{"a time that is no number", token(jwt.MapClaims{"nbf": "now"}), no, "a time that is not valid"},
		{"too large", token(jwt.MapClaims{"fill": strings.Repeat("x", auth.DefaultMaxToken)}), no, "too large"},
		{"a scope too few", token(jwt.MapClaims{"scope": "orders:read orders:write:all"}), denied, `lacks the scope "orders:write"`},
		{"no scopes", token(jwt.MapClaims{"scope": nil}), denied, `lacks the scope "orders:write"`},
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		all = append(all, attack{"algorithm " + alg, none(alg), no, ""})
	}
	return all
}

// Each token that is not valid is refused before the handler, on each path, with a code and a text
// that does not have the token. Valid ones before and after it change nothing.
func TestAttacks(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var handled atomic.Int64
		app := p.app(t, options())
		app.Add(module("orders", func(s *mono.Scope) {
			place.Handle(s, func(ctx context.Context, o order) (order, error) {
				handled.Add(1)
				return user(ctx, o)
			})
		}))
		begin(t, app)
		good := auth.With(t.Context(), token())
		for i, a := range attacks() {
			_, err := place.Call(auth.With(t.Context(), a.token), app, order{})
			refuses(t, a.name, err, a.code, a.text, a.token)
			if _, err := place.With(mono.Header(auth.Header, "Bearer "+a.token+"x")).Call(good, app, order{}); mono.CodeOf(err) != mono.Unauthenticated {
				t.Errorf("%s: the header beside a valid token of the context got %v", a.name, err)
			}
			o, err := place.Call(good, app, order{})
			if err != nil || o.User != "ada-lovelace-1815" || handled.Load() != int64(i+1) {
				t.Fatalf("%s: after it got %+v, %v, and the handler ran %d times", a.name, o, err, handled.Load())
			}
		}
	})
}

// A message of a plain client cannot claim to be somebody: by headers of its own, by several tokens,
// by another spelling of the header, or by another scheme.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t, options())
		app.Add(module("orders", func(s *mono.Scope) { place.Handle(s, user) }))
		begin(t, app)
		good := "Bearer " + token()
		for name, header := range map[string]transport.Header{
			"claims":       {{Name: "X-User", Value: "ada"}, {Name: "Mono-Auth", Value: `{"sub":"ada"}`}, {Name: "Claims", Value: "ada"}},
			"a sender":     {{Name: transport.HeaderSender, Value: "auth"}},
			"two tokens":   {{Name: auth.Header, Value: good}, {Name: auth.Header, Value: good}},
			"two, one bad": {{Name: auth.Header, Value: good}, {Name: auth.Header, Value: "Bearer x"}},
			"lower case":   {{Name: "authorization", Value: good}},
			"no scheme":    {{Name: auth.Header, Value: token()}},
			"basic":        {{Name: auth.Header, Value: "Basic YTpi"}},
			"bearer only":  {{Name: auth.Header, Value: "Bearer"}},
		} {
			m := &transport.Message{Subject: "services.orders.place", Header: header, Body: []byte(`{}`)}
			reply, err := mono.Raw(app).Request(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if e := transport.ErrorFromHeader(reply.Header); e == nil || e.Code != mono.Unauthenticated {
				t.Errorf("%s: got %v", name, e)
			}
		}
		m := &transport.Message{Subject: "services.orders.place", Header: transport.Header{{Name: auth.Header, Value: strings.Replace(good, "Bearer", "bearer", 1)}}, Body: []byte(`{}`)}
		if reply, err := mono.Raw(app).Request(t.Context(), m); err != nil || transport.ErrorFromHeader(reply.Header) != nil {
			t.Errorf("a valid token: got %v, %v", reply, err)
		}
	})
}

// Tokens of each allowed algorithm are accepted, clocks may differ by the leeway, and a token may
// have its scopes and roles in the forms that issuers use.
func TestAccepted(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		o := options()
		o.Algorithms, o.Keys, o.RolesClaim = []string{"RS256", "PS256", "ES256", "EdDSA", "HS256"}, allKeys, "realm_access.roles"
		app := p.app(t, o)
		app.Add(module("orders", func(s *mono.Scope) {
			place.Handle(s, user)
			audited.Handle(s, user)
			quote.Handle(s, user)
		}))
		begin(t, app)
		half := auth.DefaultLeeway / 2
		for name, token := range map[string]string{
			"RS256":         sign(jwt.SigningMethodRS256, "rsa", rsaKey, claims()),
			"PS256":         sign(jwt.SigningMethodPS256, "rsa", rsaKey, claims()),
			"ES256":         sign(jwt.SigningMethodES256, "ec", ecKey, claims()),
			"EdDSA":         token(),
			"HS256":         sign(jwt.SigningMethodHS256, "hs", secret, claims()),
			"just expired":  token(jwt.MapClaims{"exp": in(-half)}),
			"almost valid":  token(jwt.MapClaims{"nbf": in(half), "iat": in(half)}),
			"one audience":  token(jwt.MapClaims{"aud": audience}),
			"list of scp":   token(jwt.MapClaims{"scope": nil, "scp": []string{"a", "orders:write"}}),
			"text of scp":   token(jwt.MapClaims{"scope": nil, "scp": "a orders:write"}),
			"fractions":     token(jwt.MapClaims{"exp": float64(in(time.Hour)) + 0.5}),
			"no issue time": token(jwt.MapClaims{"iat": nil}),
		} {
			for range 2 {
				if o, err := place.Call(auth.With(t.Context(), token), app, order{}); err != nil || o.User != "ada-lovelace-1815" {
					t.Errorf("%s: got %+v, %v", name, o, err)
				}
			}
		}
		roles := func(names ...string) jwt.MapClaims {
			return jwt.MapClaims{"realm_access": map[string]any{"roles": names}}
		}
		for _, c := range []struct {
			token  string
			tenant string
			want   string
		}{
			{token(roles("admin")), "acme", ""},
			{token(roles("clerk", "auditor")), "acme", ""},
			{token(roles("clerk")), "acme", "lacks the role auditor or admin"},
			{token(), "acme", "lacks the role"},
			{token(roles("admin"), jwt.MapClaims{"aud": audience}), "acme", `lacks the audience "other"`},
			{token(roles("admin")), "umbrella", `the check "tenant" has refused it`},
		} {
			_, err := audited.Call(auth.With(t.Context(), c.token), app, order{Tenant: c.tenant})
			if c.want == "" && err != nil {
				t.Errorf("got %v", err)
			}
			if c.want != "" {
				refuses(t, c.want, err, mono.PermissionDenied, c.want, c.token)
			}
		}
		for _, token := range []string{"", "bad", token()} {
			if o, err := quote.Call(auth.With(t.Context(), token), app, order{}); err != nil || o.User != "" {
				t.Errorf("a public handle: got %+v, %v", o, err)
			}
		}
	})
}
