package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
	"gomono.dev/mono/limit"
)

// server is the server of a JWKS, as the transport of its clients.
type server struct {
	mu      sync.Mutex
	fetches int
	body    []byte
	status  int
	down    bool
	hangs   bool
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.fetches++
	body, status, down, hangs := s.body, s.status, s.down, s.hangs
	s.mu.Unlock()
	switch {
	case hangs:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case down:
		return nil, errors.New("connection refused")
	case status == 0:
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func (s *server) set(change func(s *server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func (s *server) options() auth.Options {
	o := options()
	o.Keys = auth.JWKS("https://id.example.com/keys", auth.HTTPClient(&http.Client{Transport: s}))
	return o
}

var goodSet = set(map[string]crypto.PublicKey{"ed": edKey.Public(), "rsa": &rsaKey.PublicKey})

// withJWKS runs a test of an App whose keys are fetched, in virtual time. When it returns, all
// goroutines have ended, or the test fails.
func withJWKS(t *testing.T, s *server, test func(t *testing.T, app *mono.App, log *output)) {
	for _, p := range paths[:2] {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fresh := &server{body: s.body, status: s.status, down: s.down, hangs: s.hangs}
				var log output
				app := p.app(t, fresh.options(), mono.Logger(slog.New(slog.NewTextHandler(&log, nil))))
				app.Add(module("orders", func(sc *mono.Scope) { place.Handle(sc, user) }))
				app.Add(module("test", func(sc *mono.Scope) { servers.Store(sc.Instance(), fresh) }))
				if err := app.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				test(t, app, &log)
				end(t, app)
			})
		})
	}
}

// servers are the servers of running Apps, by their instances.
var servers sync.Map

func serverOf(app *mono.App) *server {
	s, _ := servers.Load(app.Scope().Instance())
	return s.(*server)
}

func call(app *mono.App, token string) error {
	_, err := place.Call(auth.With(context.Background(), token), app, order{})
	return err
}

func unhealthy(app *mono.App) bool { return !app.Health(context.Background()).Modules["auth"].Healthy }

// If the server of the JWKS is down at the start, the App starts, is unhealthy, and refuses tokens as
// unavailable, until a later fetch succeeds.
func TestServerDownAtStart(t *testing.T) {
	t.Parallel()
	withJWKS(t, &server{body: goodSet, down: true}, func(t *testing.T, app *mono.App, log *output) {
		s := serverOf(app)
		good := token()
		refuses(t, "no keys", call(app, good), mono.Unavailable, "keys that verify the token are not available", good)
		if !unhealthy(app) || !strings.Contains(log.String(), "auth: JWKS not fetched") || !strings.Contains(log.String(), "keys=0") {
			t.Errorf("the App is healthy, or has not logged the failure: %s", log)
		}
		<-time.After(time.Minute)
		if n := s.count(); n < 5 || n > 8 {
			t.Errorf("there were %d fetches within a minute", n)
		}
		s.set(func(s *server) { s.down = false })
		<-time.After(11 * time.Second)
		if err := call(app, good); err != nil || unhealthy(app) {
			t.Errorf("after the fetch: %v", err)
		}
		if text := log.String(); strings.Count(text, "JWKS not fetched") != 1 || !strings.Contains(text, "JWKS fetched again") {
			t.Errorf("the log has %s", text)
		}
	})
}

// A call that is refused was not done, and limit.Retry repeats it until there are keys. One whose
// token is not valid is not repeated.
func TestRefusedCallIsNotDone(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &server{body: goodSet, down: true}
				app := p.app(t, s.options())
				attempts := 0
				app.Use(limit.Retry(limit.Attempts(1000), limit.Budget(1000, 1), limit.Pause(time.Second, time.Second)), sends(func() { attempts++ }))
				app.Add(module("orders", func(sc *mono.Scope) { place.Handle(sc, user) }))
				if err := app.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				within := func(d time.Duration, token string) error {
					attempts = 0
					ctx, cancel := context.WithTimeout(auth.With(t.Context(), token), d)
					defer cancel()
					_, err := place.Call(ctx, app, order{})
					return err
				}
				err := within(5*time.Second, token())
				if mono.CodeOf(err) != mono.Unavailable || mono.OutcomeOf(err) != mono.OutcomeNotDone || attempts < 4 {
					t.Errorf("no keys: got %v, %v after %d attempts", err, mono.OutcomeOf(err), attempts)
				}
				s.set(func(s *server) { s.down = false })
				if err := within(time.Minute, token()); err != nil {
					t.Errorf("got %v after %d attempts", err, attempts)
				}
				for _, bad := range []string{"", token(jwt.MapClaims{"exp": in(-time.Hour)}), token(jwt.MapClaims{"scope": "other"})} {
					err := within(time.Minute, bad)
					if code := mono.CodeOf(err); code != mono.Unauthenticated && code != mono.PermissionDenied || mono.OutcomeOf(err) != mono.OutcomeNotDone || attempts != 1 {
						t.Errorf("got %v, %v after %d attempts", err, mono.OutcomeOf(err), attempts)
					}
				}
				end(t, app)
			})
		})
	}
}

// sends is a middleware that is called for each attempt to send.
type sends func()

func (f sends) Selects(_ mono.Handle, side mono.Side, _ bool) bool { return side == mono.SideSender }

func (f sends) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		f()
		return next(ctx, c)
	}
}

// If the server goes down later, known keys remain valid. A token with an unknown key is refused as
// unavailable, since the key may be new.
func TestServerDownLater(t *testing.T) {
	t.Parallel()
	withJWKS(t, &server{body: goodSet}, func(t *testing.T, app *mono.App, _ *output) {
		s := serverOf(app)
		s.set(func(s *server) { s.down = true })
		<-time.After(2 * auth.DefaultRefresh)
		if err := call(app, token()); err != nil || unhealthy(app) {
			t.Errorf("a known key: %v", err)
		}
		unknown := sign(jwt.SigningMethodRS256, "new", otherRSAKey, claims())
		refuses(t, "an unknown key", call(app, unknown), mono.Unavailable, "not available", unknown)
		s.set(func(s *server) { s.down, s.status = false, http.StatusInternalServerError })
		<-time.After(time.Minute)
		refuses(t, "an unknown key", call(app, unknown), mono.Unavailable, "not available", unknown)
		s.set(func(s *server) { s.status = 0 })
		<-time.After(time.Minute)
		refuses(t, "an unknown key, and the set was fetched", call(app, unknown), mono.Unauthenticated, "unknown key", unknown)
	})
}

// A storm of tokens with unknown keys causes one fetch each 10 seconds, and delays no valid token.
func TestUnknownKeyStorm(t *testing.T) {
	t.Parallel()
	withJWKS(t, &server{body: goodSet}, func(t *testing.T, app *mono.App, _ *output) {
		s := serverOf(app)
		good := token()
		for second := range 60 {
			var all sync.WaitGroup
			for i := range 16 {
				bad := sign(jwt.SigningMethodEdDSA, fmt.Sprint("kid-", second, "-", i), edKey, claims())
				all.Go(func() { refuses(t, "storm", call(app, bad), mono.Unauthenticated, "unknown key", bad) })
			}
			all.Wait()
			if err := call(app, good); err != nil {
				t.Error(err)
			}
			<-time.After(time.Second)
		}
		if n := s.count(); n > 7 {
			t.Errorf("960 tokens within a minute caused %d fetches", n)
		}
	})
}

// If the server hangs, at most 16 messages wait for it, 5 seconds at most. Others are refused at
// once, and tokens with known keys are accepted.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	withJWKS(t, &server{body: goodSet}, func(t *testing.T, app *mono.App, _ *output) {
		serverOf(app).set(func(s *server) { s.hangs = true })
		<-time.After(time.Minute)
		began := time.Now()
		var mu sync.Mutex
		var waited []time.Duration
		var all sync.WaitGroup
		for i := range 100 {
			bad := sign(jwt.SigningMethodEdDSA, fmt.Sprint("kid-", i), edKey, claims())
			all.Go(func() {
				refuses(t, "hanging", call(app, bad), mono.Unavailable, "not available", bad)
				mu.Lock()
				defer mu.Unlock()
				waited = append(waited, time.Since(began))
			})
		}
		if err := call(app, token()); err != nil || time.Since(began) != 0 {
			t.Errorf("a known key took %v: %v", time.Since(began), err)
		}
		all.Wait()
		long := 0
		for _, d := range waited {
			if d > 5*time.Second {
				t.Errorf("a message waited %v", d)
			}
			if d > 0 {
				long++
			}
		}
		if long == 0 || long > 16 {
			t.Errorf("%d messages waited", long)
		}
	})
}

// A new key is found when a token names it. A key that was withdrawn is refused after the next
// fetch, also for tokens that are cached.
func TestRotation(t *testing.T) {
	t.Parallel()
	withJWKS(t, &server{body: goodSet}, func(t *testing.T, app *mono.App, _ *output) {
		old, young := token(jwt.MapClaims{"exp": in(10 * time.Hour)}), sign(jwt.SigningMethodRS256, "new", otherRSAKey, claims(jwt.MapClaims{"exp": in(10 * time.Hour)}))
		if err := call(app, old); err != nil {
			t.Error(err)
		}
		serverOf(app).set(func(s *server) {
			s.body = set(map[string]crypto.PublicKey{"rsa": &rsaKey.PublicKey, "new": &otherRSAKey.PublicKey})
		})
		refuses(t, "within 10 seconds", call(app, young), mono.Unauthenticated, "unknown key", young)
		if err := call(app, old); err != nil {
			t.Error(err)
		}
		<-time.After(10 * time.Second)
		if err := call(app, young); err != nil {
			t.Error(err)
		}
		refuses(t, "a withdrawn key", call(app, old), mono.Unauthenticated, "unknown key", old)
	})
}

// Sets that are broken, too large, or without keys for signatures fail like a server that is down.
// Of a good set, secrets, weak keys, keys for encryption and unknown types are ignored.
func TestSets(t *testing.T) {
	t.Parallel()
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	oct := map[string]any{"kty": "oct", "kid": "hs", "k": "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M"}
	for name, body := range map[string][]byte{
		"no JSON":   []byte("<html>"),
		"empty":     []byte(`{}`),
		"secrets":   set(nil, oct),
		"weak keys": set(map[string]crypto.PublicKey{"weak": &weak.PublicKey}),
		"too large": append(bytes.Repeat([]byte(" "), 1<<20), goodSet...),
	} {
		withJWKS(t, &server{body: body}, func(t *testing.T, app *mono.App, _ *output) {
			good := token()
			refuses(t, name, call(app, good), mono.Unavailable, "not available", good)
		})
	}
	enc := map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "enc", "use": "enc", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
	mixed := set(map[string]crypto.PublicKey{"ed": edKey.Public(), "weak": &weak.PublicKey}, oct, enc, map[string]any{"kty": "new", "kid": "new"})
	withJWKS(t, &server{body: mixed}, func(t *testing.T, app *mono.App, _ *output) {
		if err := call(app, token()); err != nil {
			t.Error(err)
		}
		for _, bad := range []string{
			sign(jwt.SigningMethodRS256, "weak", weak, claims()),
			sign(jwt.SigningMethodHS256, "hs", secret, claims()),
			sign(jwt.SigningMethodEdDSA, "enc", edKey, claims()),
		} {
			refuses(t, "an ignored key", call(app, bad), mono.Unauthenticated, "", bad)
		}
	})
}

// Over HTTP the set is fetched with the default client, and a redirect to an address that anybody
// could answer for is refused.
func TestFetch(t *testing.T) {
	t.Parallel()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(goodSet) }))
	defer good.Close()
	elsewhere := httptest.NewServer(http.RedirectHandler("http://id.example.com/keys", http.StatusFound))
	defer elsewhere.Close()
	for address, want := range map[string]mono.Code{good.URL: "", elsewhere.URL: mono.Unavailable} {
		o := options()
		o.Keys = auth.JWKS(address)
		app := paths[0].app(t, o)
		app.Add(module("orders", func(s *mono.Scope) { place.Handle(s, user) }))
		begin(t, app)
		if err := call(app, token()); mono.CodeOf(err) != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
