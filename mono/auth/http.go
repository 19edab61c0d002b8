package auth

import (
	"context"
	"net/http"
	"time"

	"gomono.dev/mono"
)

// Handler takes the bearer token of each request that next serves. The messages that are sent with
// the request's context have it, and [From] returns its claims. A request without a token, or with
// another scheme, is passed on without claims: handles decide what they require.
//
// A token that is not valid gets 401, with the reason in WWW-Authenticate (RFC 6750). If the keys are
// not available, the response is 503.
func (a *Auth) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := r.Header.Values(Header)
		if len(values) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if len(values) > 1 {
			challenge(w, "the request has several headers "+Header)
			return
		}
		if _, ok := tokenIn(values[0]); !ok {
			next.ServeHTTP(w, r)
			return
		}
		if a.err != nil {
			http.Error(w, "authentication is not configured", http.StatusInternalServerError)
			return
		}
		claims, bad := a.verifier.verify(r.Context(), values[0], time.Time{}, time.Now())
		switch {
		case bad == nil:
			token, _ := tokenIn(values[0])
			ctx := context.WithValue(With(r.Context(), token), claimsKey{}, claims)
			next.ServeHTTP(w, r.WithContext(ctx))
		case bad.code == mono.Unavailable:
			w.Header().Set("Retry-After", "10")
			http.Error(w, bad.text, http.StatusServiceUnavailable)
		default:
			challenge(w, bad.text)
		}
	})
}

// challenge answers a request whose token is not valid. text has no quotes.
func challenge(w http.ResponseWriter, text string) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="`+text+`"`)
	http.Error(w, text, http.StatusUnauthorized)
}
