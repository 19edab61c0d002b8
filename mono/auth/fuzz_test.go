package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
)

// No value of the header that has no valid token is accepted, and none ends the process.
func FuzzHeader(f *testing.F) {
	for _, a := range attacks() {
		if a.code == mono.Unauthenticated {
			f.Add("Bearer " + a.token)
		}
	}
	f.Add("")
	f.Add("Basic YTpi")
	served := false
	h := auth.New(options()).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		served = served || auth.From(r.Context()) != nil
	}))
	f.Fuzz(func(t *testing.T, value string) {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header[auth.Header] = []string{value}
		served = false
		h.ServeHTTP(w, r)
		if served {
			t.Errorf("%q was accepted", value)
		}
	})
}
