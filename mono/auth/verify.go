package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
)

// refusal is why a token is not accepted. Its text has no part of the token.
type refusal struct {
	code mono.Code
	text string
	wait time.Duration // until it can be decided, 0 if that is not known
}

// unauthenticated is the code of a token that is not valid.
const unauthenticated = mono.Unauthenticated

// verifier verifies tokens.
type verifier struct {
	options *Options
	parser  *jwt.Parser
	cache   cache
}

func (v *verifier) init(o *Options) {
	v.options = o
	v.cache.limit = o.CacheSize
	v.parser = jwt.NewParser(jwt.WithValidMethods(o.Algorithms), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
}

// verify returns the claims of the token in a header's value, if it was valid when its message was
// stored. The time stored is zero for other messages, whose token has to be valid now.
func (v *verifier) verify(ctx context.Context, value string, stored, now time.Time) (*Claims, *refusal) {
	at, since := now, time.Time{}
	if !stored.IsZero() {
		at, since = stored, stored.Add(v.options.Leeway)
	}
	claims := v.cache.get(value, now)
	if claims == nil {
		token, ok := tokenIn(value)
		if !ok {
			return nil, &refusal{code: unauthenticated, text: "the header " + Header + " has no bearer token"}
		}
		if len(token) > v.options.MaxToken {
			return nil, &refusal{code: unauthenticated, text: "the token is too large"}
		}
		epoch := v.cache.epoch()
		var bad *refusal
		if claims, bad = v.parse(ctx, token, since); bad != nil {
			return nil, bad
		}
		v.cache.put(value, claims, claims.Expires.Add(v.options.Leeway), now, epoch)
	}
	if bad := claims.valid(at, v.options.Leeway); bad != nil {
		return nil, bad
	}
	return claims, nil
}

// parse verifies the signature of a token, and what does not depend on the time.
func (v *verifier) parse(ctx context.Context, token string, since time.Time) (*Claims, *refusal) {
	all := jwt.MapClaims{}
	_, err := v.parser.ParseWithClaims(token, all, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok { // RFC 7515, section 4.1.11
			return nil, errCritical
		}
		return v.options.Keys.key(ctx, t, since)
	})
	if err != nil {
		return nil, refusalOf(err)
	}
	part := strings.Split(token, ".")[1]
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, refusalOf(jwt.ErrTokenMalformed)
	}
	return newClaims(all, raw, v.options)
}

var (
	errCritical    = errors.New("critical header")
	errUnknownKey  = errors.New("unknown key")
	errUnavailable = errors.New("no keys")
)

// unknownYet is the error of a key that the next fetch may find, which begins after this time.
type unknownYet time.Duration

func (unknownYet) Error() string { return "unknown key, and none are fetched yet" }

// refusalOf returns the refusal for an error of the parser, without its text: that may have parts of
// the token.
func refusalOf(err error) *refusal {
	if wait, ok := errors.AsType[unknownYet](err); ok {
		return &refusal{code: mono.Unavailable, text: "the token is signed with a key that is not known yet", wait: time.Duration(wait)}
	}
	switch {
	case errors.Is(err, errUnavailable):
		return &refusal{code: mono.Unavailable, text: "the keys that verify the token are not available"}
	case errors.Is(err, errUnknownKey):
		return &refusal{code: unauthenticated, text: "the token is signed with an unknown key"}
	case errors.Is(err, errCritical):
		return &refusal{code: unauthenticated, text: "the token has a critical header, which is not supported"}
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return &refusal{code: unauthenticated, text: "the signature of the token is not valid, or its algorithm is not allowed"}
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return &refusal{code: unauthenticated, text: "the token cannot be verified: its key or its algorithm does not fit"}
	}
	return &refusal{code: unauthenticated, text: "the token is malformed"}
}
