package auth_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/auth"
	"gomono.dev/mono/limit"
)

// Of gives the verified user to middleware: to an access log that comes before the Auth, also for a
// message that lacks a scope, and to a limit behind it.
func TestOf(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		users := auth.New(options())
		userOf := func(c *mono.Call) string {
			if claims := users.Of(c); claims != nil {
				return claims.Subject
			}
			return "nobody"
		}
		var log output
		opts := []mono.AppOption{discard(), auth.Propagate()}
		if p.noLocalCalls {
			opts = append(opts, mono.NoLocalCalls())
		}
		app := mono.New(p.open(t), opts...)
		app.Use(accesslog.New(slog.NewTextHandler(&log, nil), accesslog.Sent(), accesslog.Fields(accesslog.Code), accesslog.Attrs(func(_ context.Context, c *mono.Call) []slog.Attr {
			return []slog.Attr{slog.String("side", string(c.Side())), slog.String("user", userOf(c))}
		})))
		app.Use(users, limit.Rate(1, time.Hour, limit.By(userOf), limit.For(place)))
		app.Add(module("orders", func(s *mono.Scope) {
			place.Handle(s, user)
			quote.Handle(s, user)
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		grace, forged := token(jwt.MapClaims{"sub": "grace"}), sign(jwt.SigningMethodEdDSA, "rsa", edKey, claims())
		wrong := token(jwt.MapClaims{"sub": "eve", "scope": "other"})
		for _, c := range []struct {
			token string
			code  mono.Code
		}{{token(), ""}, {token(jwt.MapClaims{"jti": "2"}), mono.ResourceExhausted}, {grace, ""}, {wrong, mono.PermissionDenied}, {forged, mono.Unauthenticated}, {"", mono.Unauthenticated}} {
			if err := call(app, c.token); mono.CodeOf(err) != c.code {
				t.Errorf("got %v, want %q", err, c.code)
			}
		}
		if _, err := quote.Call(auth.With(t.Context(), grace), app, order{}); err != nil {
			t.Error(err)
		}
		end(t, app) // which writes the log
		var got []string
		for line := range strings.Lines(log.String()) {
			_, attrs, _ := strings.Cut(line, "msg=")
			if _, after, ok := strings.Cut(attrs, "side=receiving user="); ok {
				got = append(got, strings.TrimSpace(after))
			} else if !strings.Contains(attrs, "user=nobody") {
				t.Errorf("a send: %s", line)
			}
		}
		want := []string{"ada-lovelace-1815", "ada-lovelace-1815", "grace", "eve", "nobody", "nobody", "nobody"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q, in\n%s", got, want, log.String())
		}
		if users.Of(mono.CallFrom(t.Context())) != nil {
			t.Error("an empty Call has claims")
		}
	})
}

// Of does not wait for keys, and takes the time of a stored message.
func TestOfWithJWKS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{body: goodSet}
		users := auth.New(s.options())
		app := mono.New(openInproc(t), discard(), auth.Propagate())
		var early []time.Duration
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				if began := time.Now(); c.Side() == mono.SideReceiver {
					users.Of(c)
					early = append(early, time.Since(began))
				}
				return next(ctx, c)
			}
		}), users)
		var handled []string
		app.Add(module("orders", func(sc *mono.Scope) {
			ship.Handle(sc, func(ctx context.Context, _ order) error {
				handled = append(handled, users.Of(mono.CallFrom(ctx)).Subject)
				if len(handled) == 1 {
					return mono.Errorf(mono.Unavailable, "no truck")
				}
				return nil
			})
		}))
		begin(t, app)
		enqueue := func(token string) {
			if err := ship.Enqueue(auth.With(t.Context(), token), app, order{}); err != nil {
				t.Fatal(err)
			}
		}
		enqueue(token(jwt.MapClaims{"exp": in(time.Minute)}))
		pass(2 * time.Hour) // the second attempt is an hour later
		if !slices.Equal(handled, []string{"ada-lovelace-1815", "ada-lovelace-1815"}) {
			t.Errorf("handled for %q", handled)
		}
		s.set(func(s *server) { s.hangs = true })
		enqueue(sign(jwt.SigningMethodEdDSA, "new", edKey, claims()))
		pass(time.Minute)
		if len(early) != 3 || slices.Max(early) != 0 {
			t.Errorf("it took %v", early)
		}
	})
}
