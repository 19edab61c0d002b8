package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
)

// Handler takes the token of a request. A bad token gets 401, and 503 if the keys are missing.
// Requests without a token, and with another scheme, are served without claims.
func TestHandler(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		users := auth.New(options())
		opts := []mono.AppOption{discard(), auth.Propagate()}
		if p.noLocalCalls {
			opts = append(opts, mono.NoLocalCalls())
		}
		app := mono.New(p.open(t), opts...)
		app.Use(users)
		app.Add(module("orders", func(s *mono.Scope) { place.Handle(s, user) }))
		begin(t, app)
		h := users.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			o, err := place.Call(r.Context(), app, order{})
			switch mono.CodeOf(err) {
			case "":
				_, _ = w.Write([]byte(o.User + " " + subject(r.Context())))
			case mono.Unauthenticated:
				w.WriteHeader(http.StatusTeapot) // the handler decides
			default:
				t.Error(err)
			}
		}))
		good := token()
		for _, c := range []struct {
			headers []string
			code    int
			want    string
		}{
			{nil, http.StatusTeapot, ""},
			{[]string{"Basic YTpi"}, http.StatusTeapot, ""},
			{[]string{"Bearer " + good}, http.StatusOK, "ada-lovelace-1815 ada-lovelace-1815"},
			{[]string{"bEARER " + good}, http.StatusOK, "ada-lovelace-1815 ada-lovelace-1815"},
			{[]string{"Bearer " + token(jwt.MapClaims{"iss": "eve"})}, http.StatusUnauthorized, "another issuer"},
			{[]string{"Bearer " + good + "x"}, http.StatusUnauthorized, "malformed"},
			{[]string{"Bearer \xff\x00"}, http.StatusUnauthorized, "malformed"},
			{[]string{"Bearer " + good, "Bearer " + good}, http.StatusUnauthorized, "several"},
		} {
			r, w := httptest.NewRequest(http.MethodPost, "/", nil), httptest.NewRecorder()
			r.Header[auth.Header] = c.headers
			h.ServeHTTP(w, r)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%.20q: got %d %s", c.headers, w.Code, w.Body)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (c.code == http.StatusUnauthorized) || challenge != "" && !strings.HasPrefix(challenge, `Bearer error="invalid_token", error_description="`) {
				t.Errorf("%.20q: the challenge is %s", c.headers, challenge)
			}
		}
	})
	o := options()
	o.Keys = auth.JWKS("https://id.example.com/keys") // of an App that has not started
	bad := options()
	bad.Issuer = ""
	for code, o := range map[int]auth.Options{http.StatusServiceUnavailable: o, http.StatusInternalServerError: bad} {
		r, w := httptest.NewRequest(http.MethodPost, "/", nil), httptest.NewRecorder()
		r.Header.Set(auth.Header, "Bearer "+token())
		auth.New(o).Handler(nil).ServeHTTP(w, r)
		if w.Code != code || code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
			t.Errorf("got %d, want %d", w.Code, code)
		}
	}
}
