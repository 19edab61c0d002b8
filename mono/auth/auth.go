// Package auth authenticates the user behind a message by a bearer token, a signed JSON Web Token
// in the header Authorization.
//
//	var place = mono.NewService[Order, Receipt]("orders.place", auth.Require(auth.Scope("orders:write")))
//
//	users := auth.New(auth.Options{
//		Algorithms: []string{"RS256"},
//		Audience:   "orders",
//		Issuer:     "https://id.example.com",
//		Keys:       auth.JWKS("https://id.example.com/keys"),
//	})
//	app := mono.New(t, auth.Propagate())
//	app.Use(users)
//	http.ListenAndServe(address, users.Handler(mux))
//
// Handler takes the token of an HTTP request. The calls that follow from the request have it, over
// the transport and local, and each receiver verifies it. [From] returns its claims. Claims in any
// other header are not trusted.
//
// # What is closed
//
// A service must declare [Require] or [Public]: otherwise the App does not start, and its start
// report has the service. The same holds for other kinds with [Options.Closed]. A handle that
// declares Require is never received without this middleware: such an App does not start.
//
// A token is checked before the handler and before the middleware that follows, and after the
// message was decoded. [mono.Unauthenticated] means that there is no valid token,
// [mono.PermissionDenied] that a valid one is not enough, and [mono.Unavailable] that it cannot be
// decided, because keys are missing. The outcome of all of them is [mono.OutcomeNotDone], so
// limit.Retry repeats a call that is Unavailable. Errors and log lines never have a token or a part of it.
//
// # Verified once
//
// A verified token is cached until it expires, so a further message with the same token costs a
// look-up. The cache is bounded by [Options.CacheSize] and [Options.MaxToken], however many
// different tokens arrive. The look-up compares the whole token, so a local call, which gets the
// token from its caller's context, is as safe as one over the transport.
//
// # Limits and logs by user
//
// [Auth.Of] returns the claims of a message to other middleware, which has its [mono.Call]:
//
//	byUser := func(c *mono.Call) string {
//		if claims := users.Of(c); claims != nil {
//			return claims.Subject
//		}
//		return ""
//	}
//	app.Use(users, limit.Rate(100, time.Second, limit.By(byUser)))
//
// # Messages of other kinds
//
// Jobs, events and messages of streams have no token, unless their handle declares [CarryToken]. A
// token that is stored can be read by everybody who may read the log, and is in the dead letter too.
// Who may send such messages is the decision of the server's permissions.
//
// The token of a stored message must be valid at the time when the message was stored, by the clock
// of the store, and not when it is handled: later attempts, and a handler that comes late, do not
// need a longer life. A delayed job is stored in its queue when its time has come, and the replay of
// a dead letter is stored when it is replayed, so the token must be valid then. Give a dead letter a
// new token before its replay:
//
//	letter.Header.Set(auth.Header, "Bearer "+token)
//	err := letters.Replay(ctx, letter)
//
// A handler that calls a closed service passes the token of its message on, and that may have expired
// by then: such a call is refused. A job that comes late calls with a token of its own, by [With].
//
// A stored message that is refused becomes a dead letter at once. One whose keys are missing is
// tried again, and so is one with an unknown key, until the keys have been fetched after it was
// stored. The key of a stored token must be published until the message is handled: messages that
// have waited longer become dead letters when the issuer removes it. A handle with Require cannot be received in batches, which would be checked by the
// token of their first message only.
package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gomono.dev/mono"
)

// Header is the header of messages and of HTTP requests that has the token.
const Header = "Authorization"

// Propagate makes an App pass tokens on: to services, and to handles with [CarryToken].
func Propagate() mono.AppOption { return mono.PropagateTo(Header, carries) }

func carries(h mono.Handle) bool {
	r := ruleOf(h)
	return h.Kind() == mono.KindService || r != nil && r.carry
}

// With returns a context whose messages have a token, for work that begins outside a request. It
// replaces the token of the message whose handler has ctx. A token "" means none.
func With(ctx context.Context, token string) context.Context {
	if token != "" {
		token = "Bearer " + token
	}
	return mono.WithPropagated(ctx, Header, token)
}

// From returns the verified claims of the message whose handler has ctx, or of the HTTP request. It
// returns nil if the handle is [Public] or open, and for other contexts.
func From(ctx context.Context) *Claims {
	c, _ := ctx.Value(claimsKey{}).(*Claims)
	return c
}

type claimsKey struct{}

// Auth is a middleware that verifies tokens. Create one with New. It can be used by several Apps.
type Auth struct {
	options  Options
	err      error // of the options
	verifier verifier

	mu      sync.Mutex
	running int // Apps
}

// New returns an Auth. The start of the App reports mistakes in the options.
func New(o Options) *Auth {
	a := &Auth{options: o.withDefaults()}
	if a.err = a.options.check(); a.err == nil {
		a.verifier.init(&a.options)
	}
	return a
}

// Name returns "auth".
func (a *Auth) Name() string { return "auth" }

// Selects implements [mono.Selective]: it selects the receiving side.
func (a *Auth) Selects(_ mono.Handle, side mono.Side, _ bool) bool { return side == mono.SideReceiver }

// Bind implements [mono.Module]. It returns the mistakes in the options.
func (a *Auth) Bind(s *mono.Scope) error {
	if a.err == nil {
		a.options.Keys.log(s.Logger())
	}
	return a.err
}

// Start fetches the keys. If that fails, the App starts nevertheless: it is unhealthy, and tokens are
// refused with [mono.Unavailable] until there are keys.
func (a *Auth) Start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running++; a.running == 1 {
		a.options.Keys.start(ctx, a.verifier.cache.clear)
	}
	return nil
}

// Stop ends the refresh of the keys.
func (a *Auth) Stop(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running--; a.running == 0 {
		a.options.Keys.stop()
	}
	return nil
}

// Health returns an error as long as there are no keys. A failed refresh is logged, and the known
// keys remain valid.
func (a *Auth) Health(context.Context) error { return a.options.Keys.health() }

// CheckReceiver implements [mono.ReceiverChecker].
func (a *Auth) CheckReceiver(r mono.ReceiverInfo) error {
	if ruleOf(r.Handle) != nil || a.isOpen(r.Handle) {
		return nil
	}
	return errNotDeclared
}

// isOpen reports whether a handle may be without a declaration.
func (a *Auth) isOpen(h mono.Handle) bool {
	return !slices.Contains(a.options.Closed, h.Kind()) || slices.Contains(a.options.Open, h.Name())
}

// Wrap implements [mono.Middleware].
func (a *Auth) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		r, _ := c.Annotation(annotation).(*rule)
		switch {
		case r == nil && a.isOpen(c.Handle()), r != nil && r.public:
			return next(ctx, c)
		case r == nil:
			return refused(c, mono.PermissionDenied, errNotDeclared.Error())
		case c.Count() > 1:
			return refused(c, mono.Internal, errBatch.Error())
		}
		claims, err := a.admit(ctx, c, r)
		if err != nil {
			return err
		}
		return next(context.WithValue(ctx, claimsKey{}, claims), c)
	}
}

// admit returns the claims of a message that may be handled.
func (a *Auth) admit(ctx context.Context, c *mono.Call, r *rule) (*Claims, error) {
	value := c.Header(Header)
	if value == "" {
		return nil, refused(c, mono.Unauthenticated, "it requires a token, and the message has none")
	}
	if len(c.HeaderValues(Header)) > 1 {
		return nil, refused(c, mono.Unauthenticated, "the message has several headers "+Header+": want one")
	}
	claims, bad := a.verifier.verify(ctx, value, c.Time(), time.Now())
	switch {
	case bad != nil && bad.wait > 0:
		return nil, mono.RetryAfter(bad.wait, refused(c, bad.code, bad.text))
	case bad != nil:
		return nil, refused(c, bad.code, bad.text)
	}
	if why := r.denies(ctx, c, claims, &a.options); why != "" {
		return nil, refused(c, mono.PermissionDenied, why)
	}
	return claims, nil
}

// Of returns the claims of the valid token of a message that the App receives. It returns nil if there
// is none, if the handle is [Public] or open, and for a batch. It does not wait for keys.
//
// Of needs no context that has passed the middleware, so limit.By and accesslog.Attrs can use it. A log
// that comes before the Auth has the user of a message that lacks a scope, too.
func (a *Auth) Of(c *mono.Call) *Claims {
	if a.err != nil || c.Side() != mono.SideReceiver || c.Count() > 1 || len(c.HeaderValues(Header)) > 1 {
		return nil
	}
	if r, _ := c.Annotation(annotation).(*rule); r == nil || r.public {
		return nil
	}
	claims, bad := a.verifier.verify(ended, c.Header(Header), c.Time(), time.Now())
	if bad != nil {
		return nil
	}
	return claims
}

// ended is a context that has ended: nothing waits with it.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// refused returns the error of a message that no handler has received. A stored one gets no other
// attempt, unless it could not be decided.
func refused(c *mono.Call, code mono.Code, text string) error {
	message := fmt.Sprintf("%s %s: %s", c.Handle().Kind(), c.Handle().Name(), text)
	err := &mono.Error{Code: code, Outcome: mono.OutcomeNotDone, Message: message}
	if code == mono.Unavailable {
		return err
	}
	return mono.Permanent(err)
}

// tokenIn returns the token of a header's value.
func tokenIn(value string) (string, bool) {
	const scheme = "bearer "
	if len(value) <= len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	return value[len(scheme):], true
}
