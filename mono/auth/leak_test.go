package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/audit"
	"gomono.dev/mono/auth"
	"gomono.dev/mono/requestid"
)

// The token and its claims are in no log line, access log record, audit entry, error, topology,
// health report or observation, also if handlers fail and panic.
func TestNoLeaks(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var log, trail output
		app := p.app(t, options(), mono.Logger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))), requestid.Propagate())
		key, public, err := audit.GenerateKey("example.com/audit")
		if err != nil {
			t.Fatal(err)
		}
		app.Use(accesslog.New(slog.NewJSONHandler(&log, nil), accesslog.Sent()), audit.New(audit.Options{Key: key}))
		app.Observe(mono.ObserverFunc(func(o mono.Observation) { fmt.Fprintf(&log, "%T %+v\n", o, o) }))
		done := make(chan struct{}, 10)
		app.Add(module("orders", func(s *mono.Scope) {
			s.Use(ship)
			place.Handle(s, func(ctx context.Context, o order) (order, error) {
				slog.New(slog.NewTextHandler(&log, nil)).InfoContext(ctx, "placed", "ctx", fmt.Sprint(ctx), "call", mono.CallFrom(ctx).Handle())
				if err := errors.Join(ship.Enqueue(ctx, s, o), audit.Record(ctx, "order.placed", slog.String("order", o.ID))); err != nil {
					return o, err
				}
				if o.ID == "panics" {
					panic("a bug")
				}
				return o, mono.Errorf(mono.Internal, "it fails")
			})
			ship.Handle(s, func(context.Context, order) error {
				done <- struct{}{}
				return mono.Permanent(errors.New("it fails"))
			})
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		good := token()
		for _, id := range []string{"fails", "panics"} {
			_, err := place.Call(auth.With(t.Context(), good), app, order{ID: id})
			if err == nil || leaks(err.Error(), good) {
				t.Errorf("got %v", err)
			}
			<-done
		}
		bad := token(jwt.MapClaims{"iss": "eve"})
		_, _ = place.Call(auth.With(t.Context(), bad), app, order{})
		topology := must(json.Marshal(app.Describe()))
		health := must(json.Marshal(app.Health(t.Context())))
		for e, err := range audit.Read(t.Context(), mono.Raw(app), audit.ReadOptions{Key: public}) {
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&trail, e.Event, e.Actor, e.Module, e.Handle, e.Message, string(e.Details))
		}
		end(t, app) // the access log is complete
		for name, text := range map[string]string{"the log": log.String(), "the audit log": trail.String(), "the topology": string(topology), "health": string(health)} {
			if leaks(text, good) || leaks(text, bad) {
				t.Errorf("%s has a part of the token, or of its claims: %s", name, text)
			}
		}
		if !strings.Contains(log.String(), "unauthenticated") || !strings.Contains(log.String(), "a bug") || !strings.Contains(trail.String(), "order.placed") {
			t.Errorf("a log is not complete: %s%s", &log, &trail)
		}
	})
}

// Claims print nothing, and Decode and Text give the others.
func TestClaims(t *testing.T) {
	t.Parallel()
	app := paths[0].app(t, options())
	var seen *auth.Claims
	app.Add(module("orders", func(s *mono.Scope) {
		place.Handle(s, func(ctx context.Context, o order) (order, error) { seen = auth.From(ctx); return o, nil })
	}))
	begin(t, app)
	until := time.Unix(in(time.Hour), 0)
	if _, err := place.Call(auth.With(t.Context(), token(jwt.MapClaims{"email": "ada@example.com", "jti": "t1", "exp": until.Unix()})), app, order{}); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", seen, seen, seen, seen); text != strings.TrimSpace(strings.Repeat("auth.Claims ", 4)) {
		t.Errorf("printed as %s", text)
	}
	var own struct{ Email, Tenant string }
	if err := seen.Decode(&own); err != nil || own.Email != "ada@example.com" || own.Tenant != seen.Text("tenant") || seen.Text("exp") != "" {
		t.Errorf("got %+v, %v", own, err)
	}
	if seen.ID != "t1" || seen.Issuer != issuer || len(seen.Audience) != 2 || len(seen.Scopes) != 2 || len(seen.Roles) != 1 || !seen.Expires.Equal(until) {
		t.Errorf("got %q %q %q %q %q %v", seen.ID, seen.Issuer, seen.Audience, seen.Scopes, seen.Roles, seen.Expires)
	}
	if auth.From(t.Context()) != nil {
		t.Error("a context without a message has claims")
	}
}

// Many different tokens, valid or not, need no more memory than the cache has entries. A cached token
// is refused once it has expired.
func TestTokenStorm(t *testing.T) {
	o := options()
	o.CacheSize = 16
	h := auth.New(o).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	serve := func(token string) int {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set(auth.Header, "Bearer "+token)
		h.ServeHTTP(w, r)
		return w.Code
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	fill, hot := strings.Repeat("x", 4000), token()
	before := heap()
	for i := range 1000 {
		valid := token(jwt.MapClaims{"jti": fmt.Sprint(i), "fill": fill})
		if code := serve(valid); code != http.StatusOK {
			t.Fatalf("got %d", code)
		}
		if code := serve(valid + "x"); code != http.StatusUnauthorized {
			t.Fatalf("got %d", code)
		}
		if code := serve(hot); code != http.StatusOK {
			t.Fatalf("got %d", code)
		}
	}
	if after := heap(); after > before+5<<20 { // 1,000 tokens with their claims have more than 12 MB
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	synctest.Test(t, func(t *testing.T) {
		h = auth.New(options()).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		short := token(jwt.MapClaims{"exp": in(time.Minute)})
		<-time.After(time.Minute + auth.DefaultLeeway - time.Second)
		if code := serve(short); code != http.StatusOK {
			t.Errorf("got %d", code)
		}
		<-time.After(time.Second)
		if code := serve(short); code != http.StatusUnauthorized {
			t.Errorf("after it has expired, got %d", code)
		}
	})
}

// Tokens may be verified concurrently, while the cache drops others and the App stops.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	o := options()
	o.CacheSize = 4
	app := paths[0].app(t, o)
	app.Add(module("orders", func(s *mono.Scope) { place.Handle(s, user) }))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var tokens []string
	for i := range 8 {
		tokens = append(tokens, token(jwt.MapClaims{"sub": fmt.Sprint("user-", i)}))
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				k := (i + n) % len(tokens)
				if o, err := place.Call(auth.With(context.Background(), tokens[k]), app, order{}); err != nil || o.User != fmt.Sprint("user-", k) {
					t.Errorf("got %+v, %v", o, err)
				}
			}
		})
	}
	all.Wait()
	end(t, app)
}
