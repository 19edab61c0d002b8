package auth_test

import (
	"context"
	"crypto"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
	"gomono.dev/transport"
)

// pass lets virtual time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// letters returns the dead letters of the queue.
func letters(t *testing.T, app *mono.App) (all []mono.DeadLetter[order]) {
	t.Helper()
	for l, err := range ship.DeadLetters(app).List(t.Context(), mono.DeadLetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// A job of a handle with CarryToken has the token of its sender's context. Without a valid one it
// becomes a dead letter at its first attempt, and its handler does not run.
func TestJobs(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t, options())
		users := make(chan string, 10)
		app.Add(module("orders", func(s *mono.Scope) {
			s.Use(ship)
			place.Handle(s, func(ctx context.Context, o order) (order, error) { return o, ship.Enqueue(ctx, s, o) })
			ship.Handle(s, func(ctx context.Context, o order) error {
				users <- o.ID + " " + subject(ctx)
				return nil
			})
		}))
		begin(t, app)
		if _, err := place.Call(auth.With(t.Context(), token()), app, order{ID: "first"}); err != nil {
			t.Fatal(err)
		}
		if got := <-users; got != "first ada-lovelace-1815" {
			t.Errorf("got %q", got)
		}
		bad := map[string]string{"none": "", "expired": token(jwt.MapClaims{"exp": in(-time.Hour)}), "scope": token(jwt.MapClaims{"scope": "other"})}
		for id, token := range bad {
			if err := ship.Enqueue(auth.With(t.Context(), token), app, order{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if err := ship.Enqueue(auth.With(t.Context(), token()), app, order{ID: "last"}); err != nil {
			t.Fatal(err)
		}
		if got := <-users; got != "last ada-lovelace-1815" {
			t.Errorf("got %q", got)
		}
		all := letters(t, app)
		if len(all) != len(bad) {
			t.Fatalf("got %d dead letters", len(all))
		}
		for _, l := range all {
			o, err := l.Value()
			want := mono.Unauthenticated
			if o.ID == "scope" {
				want = mono.PermissionDenied
			}
			if err != nil || l.Reason != mono.ReasonPermanent || l.Code != want || l.Attempts != 1 || leaks(l.Error, bad[o.ID]) {
				t.Errorf("%s: got %s, %s, %d attempts, %q, %v", o.ID, l.Reason, l.Code, l.Attempts, l.Error, err)
			}
			if got := strings.TrimPrefix(l.Header.Get(auth.Header), "Bearer "); got != bad[o.ID] {
				t.Errorf("%s: the dead letter has another token", o.ID)
			}
		}
	})
}

// A token has to be valid when its message is stored, and not when it is handled: it may expire
// before a later attempt, whose calls need another token. A job that comes due and a dead letter
// that is replayed are stored then, and need a valid token.
func TestExpiryOfStoredMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := paths[1].app(t, options())
		var handled []string
		app.Add(module("orders", func(s *mono.Scope) {
			s.Use(place)
			place.Handle(s, user)
			ship.Handle(s, func(ctx context.Context, o order) error {
				handled = append(handled, o.ID)
				_, err := place.Call(ctx, s, o)
				if first := mono.CallFrom(ctx).Attempt() == 1; first != (err == nil) || !first && mono.CodeOf(err) != mono.Unauthenticated {
					t.Errorf("attempt %d at %s: a call with its token got %v", mono.CallFrom(ctx).Attempt(), o.ID, err)
				}
				if _, err := place.Call(auth.With(ctx, token()), s, o); err != nil {
					t.Error(err)
				}
				if mono.CallFrom(ctx).Attempt() < 3 || o.ID == "fails" {
					return mono.Errorf(mono.Unavailable, "no truck")
				}
				return nil
			})
		}))
		begin(t, app)
		enqueue := func(id string, opts ...mono.QueueSendOption) {
			short := token(jwt.MapClaims{"exp": in(time.Minute)})
			if err := ship.With(opts...).Enqueue(auth.With(t.Context(), short), app, order{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		enqueue("retried") // attempts at once, after one hour, and after two
		pass(3 * time.Hour)
		if !slices.Equal(handled, []string{"retried", "retried", "retried"}) || len(letters(t, app)) != 0 {
			t.Fatalf("handled %q, %d dead letters", handled, len(letters(t, app)))
		}
		handled = nil
		enqueue("soon", mono.Delay(30*time.Second))
		pass(3 * time.Hour)
		if len(handled) != 3 {
			t.Errorf("handled %q", handled)
		}
		handled = nil
		enqueue("late", mono.Delay(2*time.Minute))
		pass(3 * time.Hour)
		all := letters(t, app)
		if len(handled) != 0 || len(all) != 1 || all[0].Code != mono.Unauthenticated || !strings.Contains(all[0].Error, "has expired") {
			t.Fatalf("handled %q, %d dead letters", handled, len(all))
		}
		replay := func(l mono.DeadLetter[order]) {
			if err := ship.DeadLetters(app).Replay(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			pass(3 * time.Hour)
		}
		replay(all[0])
		if all = letters(t, app); len(handled) != 0 || len(all) != 1 || all[0].Code != mono.Unauthenticated {
			t.Fatalf("replayed with the old token: handled %q, %d dead letters", handled, len(all))
		}
		all[0].Header.Set(auth.Header, "Bearer "+token(jwt.MapClaims{"exp": in(time.Minute)}))
		replay(all[0])
		if len(handled) != 3 || len(letters(t, app)) != 0 {
			t.Errorf("replayed with a new token: handled %q, %d dead letters", handled, len(letters(t, app)))
		}
	})
}

// The server's clock decides on NATS, too: a token may expire before a later attempt, and not before a
// delayed job is due.
func TestExpiryOnNATS(t *testing.T) {
	t.Parallel()
	const life = 5 * time.Second
	o := options()
	o.Leeway = -1
	app := paths[2].app(t, o)
	jobs := mono.NewQueue[order]("orders.brief", auth.Require(auth.CarryToken()), mono.MaxAttempts(2), mono.Backoff(mono.Constant(0)))
	var expires time.Time
	handled := make(chan string, 10)
	app.Add(module("orders", func(s *mono.Scope) {
		jobs.Handle(s, func(ctx context.Context, o order) error {
			handled <- o.ID
			if mono.CallFrom(ctx).Attempt() == 1 {
				<-time.After(time.Until(expires) + 100*time.Millisecond)
				return mono.Errorf(mono.Unavailable, "no truck")
			}
			return nil
		})
	}))
	begin(t, app)
	expires = time.Now().Add(life)
	ctx := auth.With(t.Context(), token(jwt.MapClaims{"exp": float64(expires.UnixMilli()) / 1000}))
	for id, opts := range map[string][]mono.QueueSendOption{"retried": nil, "late": {mono.Delay(life + time.Second)}} {
		if err := jobs.With(opts...).Enqueue(ctx, app, order{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if first, second := <-handled, <-handled; first != "retried" || second != "retried" {
		t.Errorf("handled %q and %q", first, second)
	}
	for {
		for l, err := range jobs.DeadLetters(app).List(t.Context(), mono.DeadLetterFilter{}) {
			if err != nil || l.Code != mono.Unauthenticated || !strings.Contains(l.Error, "has expired") {
				t.Errorf("got %s %q, %v", l.Code, l.Error, err)
			}
			return
		}
		select {
		case id := <-handled:
			t.Fatalf("handled %q", id)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// A job whose keys are missing is tried again, and is not a dead letter at once.
func TestJobWithoutKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{body: goodSet, down: true}
		app := paths[1].app(t, s.options())
		handled := 0
		app.Add(module("orders", func(sc *mono.Scope) {
			ship.Handle(sc, func(context.Context, order) error { handled++; return nil })
		}))
		begin(t, app)
		if err := ship.Enqueue(auth.With(t.Context(), token()), app, order{}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		s.set(func(s *server) { s.down = false })
		pass(2 * time.Hour)
		if handled != 1 || len(letters(t, app)) != 0 {
			t.Errorf("handled %d times, %d dead letters", handled, len(letters(t, app)))
		}
	})
}

// A job whose token names a new key, within 10 seconds after a fetch, is handled when the keys have
// been fetched again. If they do not have its key then, it becomes a dead letter, and so does a job
// whose key was removed before it is handled.
func TestJobWithNewKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{body: goodSet}
		app := paths[1].app(t, s.options())
		var handled []string
		app.Add(module("orders", func(sc *mono.Scope) {
			ship.Handle(sc, func(_ context.Context, o order) error { handled = append(handled, o.ID); return nil })
		}))
		begin(t, app)
		enqueue := func(id string) {
			signed := sign(jwt.SigningMethodRS256, id, otherRSAKey, claims())
			if err := ship.Enqueue(auth.With(t.Context(), signed), app, order{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		dead := func() (all []string) {
			for _, l := range letters(t, app) {
				o, err := l.Value()
				if err != nil || l.Code != mono.Unauthenticated || l.Reason != mono.ReasonPermanent || !strings.Contains(l.Error, "unknown key") {
					t.Errorf("%s: got %s, %s, %q, %v", o.ID, l.Reason, l.Code, l.Error, err)
				}
				all = append(all, o.ID)
			}
			return all
		}
		pass(time.Second)
		enqueue("unknown")
		pass(time.Second)
		s.set(func(s *server) {
			s.body = set(map[string]crypto.PublicKey{"ed": edKey.Public(), "new": &otherRSAKey.PublicKey})
		})
		enqueue("new")
		if all := dead(); len(all) != 0 {
			t.Fatalf("dead letters before the next fetch: %q", all)
		}
		pass(10 * time.Second)
		if !slices.Equal(handled, []string{"new"}) || !slices.Equal(dead(), []string{"unknown"}) {
			t.Errorf("handled %q, dead letters %q", handled, dead())
		}
		s.set(func(s *server) { s.down = true })
		pass(time.Minute)
		enqueue("removed") // it waits, because the server is down
		pass(time.Minute)
		s.set(func(s *server) { s.down = false })
		pass(2 * time.Hour)
		if !slices.Equal(handled, []string{"new"}) || !slices.Equal(dead(), []string{"unknown", "removed"}) {
			t.Errorf("handled %q, dead letters %q", handled, dead())
		}
	})
}

// Read returns the messages of a stream that requires a token, without one.
func TestReadWithoutToken(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t, options())
		ledger := mono.NewStream[order]("orders.ledger", auth.Require(auth.CarryToken()))
		app.Add(module("reader", func(s *mono.Scope) { ledger.Reader(s) }))
		begin(t, app)
		if err := ledger.Append(t.Context(), app, order{ID: "a1"}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for m, err := range ledger.Read(t.Context(), app) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Value.ID)
		}
		if !slices.Equal(got, []string{"a1"}) {
			t.Errorf("got %q", got)
		}
	})
}

// Messages of handles without CarryToken, and headers of public services' jobs, have no token: it is
// not stored.
func TestNotStored(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t, options())
		headers := make(chan transport.Header, 1)
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				if c.Side() == mono.SideReceiver && c.Handle().Name() == "orders.notify" {
					headers <- transport.Header{{Name: auth.Header, Value: c.Header(auth.Header) + mono.Propagated(ctx, auth.Header)}}
				}
				return next(ctx, c)
			}
		}))
		app.Add(module("orders", func(s *mono.Scope) {
			s.Use(notify, place)
			quote.Handle(s, func(ctx context.Context, o order) (order, error) {
				if err := notify.Enqueue(ctx, s, o); err != nil {
					return o, err
				}
				return place.Call(ctx, s, o) // a public service passes the token on
			})
			place.Handle(s, user)
			notify.Handle(s, func(context.Context, order) error { return nil })
		}))
		begin(t, app)
		o, err := quote.Call(auth.With(t.Context(), token()), app, order{ID: "a1"})
		if err != nil || o.User != "ada-lovelace-1815" {
			t.Errorf("got %+v, %v", o, err)
		}
		if h := <-headers; h.Get(auth.Header) != "" {
			t.Error("the job has the token")
		}
	})
}
