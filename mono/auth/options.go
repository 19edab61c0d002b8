package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gomono.dev/mono"
)

// The defaults of Options.
const (
	DefaultCacheSize  = 4096
	DefaultLeeway     = 30 * time.Second
	DefaultMaxToken   = 8 << 10
	DefaultRolesClaim = "roles"
)

// maxLeeway bounds the difference of clocks.
const maxLeeway = 5 * time.Minute

// Options are the options of New. Algorithms, Audience, Issuer and Keys are required.
type Options struct {
	// Algorithms are the signature algorithms of valid tokens: RS256, RS384, RS512, PS256,
	// PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384 or HS512. There is no default,
	// because a token must not choose how it is verified.
	Algorithms []string

	// Audience is a value that the claim "aud" of valid tokens has.
	Audience string

	// CacheSize is the maximum number of verified tokens that are cached, 4096 by default.
	CacheSize int

	// Checks are the functions of [Check], by name. A function reports whether a message with
	// these claims may be handled. It must not change the claims, and may be called
	// concurrently.
	Checks map[string]func(ctx context.Context, c *mono.Call, claims *Claims) bool

	// Closed are the kinds of handles that must declare [Require] or [Public], services by
	// default. With an empty list that is not nil, handles without a declaration are open.
	Closed []mono.Kind

	// Issuer is the claim "iss" of valid tokens. An App accepts tokens of one issuer, for one
	// audience.
	Issuer string

	// Keys verify the signatures: [JWKS] or [StaticKeys].
	Keys Keys

	// Leeway is the accepted difference between the clocks of the issuer and of this process,
	// 30 seconds by default and 5 minutes at most. A negative one means none.
	Leeway time.Duration

	// MaxToken is the maximum size of a token in bytes, 8192 by default. A larger one is
	// refused before it is parsed.
	MaxToken int

	// Open are the names of handles that declare nothing and are open, such as "health.ready",
	// which a package without auth declares.
	Open []string

	// RolesClaim is the claim with the roles, "roles" by default. Dots separate the names of
	// nested claims, as in "realm_access.roles".
	RolesClaim string
}

func (o Options) withDefaults() Options {
	if o.CacheSize == 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.Closed == nil {
		o.Closed = []mono.Kind{mono.KindService}
	}
	switch {
	case o.Leeway == 0:
		o.Leeway = DefaultLeeway
	case o.Leeway < 0:
		o.Leeway = 0
	}
	if o.MaxToken == 0 {
		o.MaxToken = DefaultMaxToken
	}
	if o.RolesClaim == "" {
		o.RolesClaim = DefaultRolesClaim
	}
	if o.Keys == nil {
		o.Keys = noKeys{}
	}
	return o
}

// algorithms are the names of all algorithms. "none" is not one of them.
var algorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
}

func (o *Options) check() error {
	var errs []error
	reject := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("auth.Options: "+format, args...))
		}
	}
	reject(len(o.Algorithms) == 0, "Algorithms is empty: name those of valid tokens, such as RS256")
	for _, name := range o.Algorithms {
		reject(!slices.Contains(algorithms, name), "Algorithms has %q: want some of %s", name, strings.Join(algorithms, ", "))
	}
	reject(o.Audience == "", "Audience is empty: want the value of \"aud\" in tokens for this system")
	reject(o.Issuer == "", "Issuer is empty: want the value of \"iss\" in valid tokens")
	reject(o.CacheSize < 2, "CacheSize is %d: want 2 or more", o.CacheSize)
	reject(o.Leeway > maxLeeway, "Leeway is %v: want at most %v", o.Leeway, maxLeeway)
	reject(o.MaxToken < 0, "MaxToken is %d: want a positive number of bytes", o.MaxToken)
	for name, check := range o.Checks {
		reject(check == nil, "Checks[%q] is nil: want a function", name)
	}
	if err := o.Keys.check(o.Algorithms); err != nil {
		errs = append(errs, fmt.Errorf("auth.Options: Keys: %w", err))
	}
	return errors.Join(errs...)
}
